//! A trail, read to its end, judged and summed up; and what its store says of its records.

use std::path::Path;

use oncekey::audit::report::Summary;
use oncekey::audit::synth::{Set, Synth};
use oncekey::audit::{Classifier, Rules, TrailItem};
use oncekey::{Error, Inspector, KeyFilter, KeyState};

use super::judged::{Inside, Judged};
use super::source;
use super::window::Bounds;

/// Records that are looked at.
const SAMPLE: usize = 20_000;

/// What was read.
#[derive(Debug)]
pub(crate) struct Summed {
    pub(crate) summary: Summary,
    /// What is known of the records, if the trail is beside a store.
    pub(crate) records: Option<Records>,
}

/// What records are like, from those that are there now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Records {
    /// The TTL of most of them.
    pub(crate) ttl_ms: Option<u64>,
    /// Their mean sizes.
    pub(crate) response_bytes: Option<f64>,
    pub(crate) scope_bytes: Option<f64>,
    pub(crate) key_bytes: Option<f64>,
    pub(crate) segment_bytes: Option<u64>,
}

/// Sums up the trail of a store, or in a directory, within bounds of time.
pub(crate) fn of_place(place: &Path, bounds: Bounds) -> Result<Summed, Error> {
    let source = source::open(place)?;
    let begins_late = source.begins_late;
    let mut judged = Judged::new(source.trail);
    let mut inside = Inside::new(bounds);
    let mut summary = Summary::new(None);
    let mut store = None;
    while let Some((item, judgement)) = judged.next()? {
        if store != judged.trail.store_id() {
            store = judged.trail.store_id();
            store.into_iter().for_each(|store| summary.set_store(store));
            judged.trail.key_id().into_iter().for_each(|key_id| summary.set_key_id(key_id));
        }
        if let TrailItem::Event(event) = &item
            && event.at.as_millis() < bounds.from_ms
        {
            summary.follow(event);
        }
        let taken: Result<(), Error> = inside.take((item, judgement), |item, judgement| {
            match item {
                TrailItem::Event(event) => summary.observe(event, judgement),
                // Where the trail begins, its bounds have removed what was older.
                TrailItem::Gap(gap) if gap.after.is_none() && begins_late => {}
                TrailItem::Gap(gap) => summary.gap(gap),
                TrailItem::Damage(damage) => summary.damage(damage),
                _ => {}
            }
            Ok(())
        });
        taken?;
    }
    summary.learn_names(|label| judged.trail.name(label));
    // Without a look at the records there is still a report.
    let records = source.store.and_then(|store| records(&store).ok());
    Ok(Summed { summary, records })
}

/// Sums up made-up traffic.
pub(crate) fn of_synth(seed: u64, events: usize, bounds: Bounds) -> Summed {
    let mut classifier = Classifier::new(Rules::new());
    let mut summary = Summary::new(None);
    for labelled in Synth::new(seed, Set::HeldOut).take(events) {
        let mut event = labelled.event;
        let judgement = classifier.observe(&mut event);
        if bounds.contains(event.at) {
            summary.observe(&event, judgement.as_ref());
        } else if event.at.as_millis() < bounds.from_ms {
            summary.follow(&event);
        }
    }
    Summed { summary, records: None }
}

/// Looks at some of a store's records.
fn records(store: &Path) -> Result<Records, Error> {
    let inspector = Inspector::open(store)?;
    let segment_bytes = Some(inspector.summary()?.segment_bytes);
    let mut ttls = Vec::new();
    let (mut count, mut body, mut scope, mut key) = (0.0, 0.0, 0.0, 0.0);
    let rows = inspector.keys(KeyFilter::new().state(KeyState::Completed))?;
    for row in rows.flatten().take(SAMPLE) {
        count += 1.0;
        body += row.body_bytes.unwrap_or(0) as f64;
        scope += row.scope.as_str().len() as f64;
        key += row.key.as_str().len() as f64;
        let ttl = row.expires_at.map(|at| at.as_millis().saturating_sub(row.since.as_millis()));
        ttls.extend(ttl);
    }
    ttls.sort_unstable();
    let mean = |sum: f64| (count > 0.0).then(|| sum / count);
    Ok(Records {
        ttl_ms: ttls.get(ttls.len() / 2).copied(),
        response_bytes: mean(body),
        scope_bytes: mean(scope),
        key_bytes: mean(key),
        segment_bytes,
    })
}
