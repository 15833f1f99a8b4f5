//! One pass over all that was read of the log: the claims in flight, and the records of what may be
//! sealed where it lies. Each frame is decoded and checked once.
//!
//! A segment is taken in parts, by several threads. What a part does to a key of which no claim was
//! there before it does not depend on what was before; so each part is replayed as if nothing had
//! been, and then joined to the parts before it: of the keys claimed by then, and of no others, its
//! frames are replayed once more. That is the same as replaying all of it in one go, and is done on
//! one thread, too, so that simulated runs try it.

use super::census::{Census, Counted, Data, each_frame_in, frame_at, name_of};
use super::claims::Claims;
use super::crew;
use super::keep;
use crate::engine::flight::Flight;
use crate::engine::segment::{Contents, Segment};
use crate::error::Result;
use crate::ids::{KeyHash, Token};
use crate::index::KeyHasher;
use crate::log::{FLAG_RESTATEMENT, Frame, ScannedBatch, SegmentKind};
use crate::sabotage::{self, Bug};

/// With fewer bytes a second thread is not worth its start.
const BYTES_A_WORKER: usize = 1 << 20;

/// Replays the log from the newest restatement on, and lists what may be sealed.
pub(super) fn replay(
    census: &mut Census<'_>,
    counted: &mut [Counted],
    hasher: &KeyHasher,
) -> Result<Vec<Flight>> {
    let from = first_stated(census, counted);
    for unread in counted.iter_mut().skip(from).filter(|c| is_log(c) && c.data.is_none()) {
        read_sealed(census, unread)?;
    }
    let mut claims = Claims::default();
    let mut listed = Vec::new();
    for (number, counted) in counted.iter().enumerate() {
        let Some(data) = &counted.data else { continue };
        let is_stated = number >= from && is_log(counted);
        let mut listing = keep::listing(counted, data);
        if !is_stated && listing.is_none() {
            continue;
        }
        let log = Log { segment: &counted.segment, data, hasher, is_stated };
        let kept = listing.is_some().then(Contents::empty);
        for part in log.parts(census.workers, kept.as_ref())? {
            log.join(&mut claims, part.claims, &part.steps)?;
            if let (Some(listing), Some(more)) = (&mut listing, part.listing) {
                keep::append(listing, more);
            }
        }
        listed.push((number, listing));
    }
    let flights = claims.into_flights();
    for (number, listing) in listed {
        if let Some(counted) = counted.get_mut(number) {
            counted.listed = listing;
        }
    }
    Ok(flights)
}

/// The segment that states all claims in flight for the last time; without one they are lost.
fn first_stated(census: &mut Census<'_>, counted: &[Counted]) -> usize {
    let restated =
        |c: &Counted| is_log(c) && c.first.is_some_and(|first| first.flags & FLAG_RESTATEMENT != 0);
    let newest = match sabotage::is_on(Bug::UndeadClaim) {
        false => counted.iter().rposition(restated),
        true => counted.iter().position(restated),
    };
    newest.unwrap_or_else(|| {
        if let Some(last) = counted.iter().rfind(|c| is_log(c)) {
            let name = last.segment.slot.file_name();
            census.lose(&name, 0, 0, "no segment states the claims in flight: they are lost");
        }
        counted.len()
    })
}

fn is_log(counted: &Counted) -> bool {
    counted.segment.kind == SegmentKind::Log
}

/// Reads a sealed segment for the claims that its log states.
fn read_sealed(census: &mut Census<'_>, sealed: &mut Counted) -> Result<()> {
    let end = sealed.footer.as_ref().map(|footer| footer.data_end);
    let data = census.read(&sealed.segment, end)?;
    let name = sealed.segment.slot.file_name();
    for damage in &data.scan.damage {
        let what = format!("{}: claims stated there are lost", damage.reason);
        census.lose(&name, u64::from(damage.offset), u64::from(damage.bytes), &what);
    }
    sealed.data = Some(data);
    Ok(())
}

/// A segment whose frames are replayed.
struct Log<'a> {
    segment: &'a Segment,
    data: &'a Data,
    hasher: &'a KeyHasher,
    /// Whether its claims are believed; else it is only listed.
    is_stated: bool,
}

/// What came of a part of a segment.
struct Part<'a> {
    /// The claims as it leaves them if there was none before it.
    claims: Claims<'a>,
    steps: Vec<Step>,
    listing: Option<Contents>,
}

/// A frame that may be about a claim.
struct Step {
    offset: u32,
    about: About,
}

enum About {
    Key(KeyHash),
    Claim(Token),
}

impl<'a> Log<'a> {
    /// Replays the segment in parts of about as many bytes.
    fn parts(&self, workers: usize, listing: Option<&Contents>) -> Result<Vec<Part<'a>>> {
        let data: &'a Data = self.data;
        let batches = data.scan.batches.as_slice();
        let ends = batches.last().map_or(0, |last| last.offset as usize);
        let (workers, count) = (workers.min(ends / BYTES_A_WORKER + 1), workers.max(2));
        let begin = |part: usize| {
            let offset = ends * part / count;
            batches.partition_point(|batch| (batch.offset as usize) < offset)
        };
        let (_, parts) = crew::share(
            workers,
            count,
            || (),
            |(), part| {
                let end = if part + 1 == count { batches.len() } else { begin(part + 1) };
                self.part(batches.get(begin(part)..end).unwrap_or_default(), listing.cloned())
            },
        )?;
        Ok(parts)
    }

    fn part(&self, batches: &[ScannedBatch], listing: Option<Contents>) -> Result<Part<'a>> {
        let mut part = Part { claims: Claims::default(), steps: Vec::new(), listing };
        each_frame_in(self.segment, self.data, batches, |offset, frame| {
            let hash = name_of(&frame).map(|(scope, key)| self.hasher.hash(scope, key));
            if self.is_stated {
                part.steps.extend(about(&frame, hash).map(|about| Step { offset, about }));
                part.claims.apply(&frame, hash);
            }
            if let (Some(listing), Some(hash)) = (&mut part.listing, hash) {
                keep::list(self.segment, listing, (offset, &frame), hash);
            }
            Ok(())
        })?;
        Ok(part)
    }

    /// Joins what a part came to by itself to the claims that were there before it.
    fn join(&self, claims: &mut Claims<'a>, others: Claims<'a>, steps: &[Step]) -> Result<()> {
        let own = claims.hashes();
        if own.is_empty() {
            *claims = others;
            return Ok(());
        }
        for step in steps {
            let (is_own, hash) = match step.about {
                About::Key(hash) => (own.find(hash.0, |h| *h == hash).is_some(), Some(hash)),
                About::Claim(token) => (claims.has_token(token), None),
            };
            if is_own {
                claims.apply(&frame_at(self.segment, self.data, step.offset)?, hash);
            }
        }
        claims.absorb(others, &own);
        Ok(())
    }
}

fn about(frame: &Frame<'_>, hash: Option<KeyHash>) -> Option<About> {
    match frame {
        Frame::Claim(_) | Frame::Completion(_) => hash.map(About::Key),
        Frame::Release { token }
        | Frame::Unresolved { token, .. }
        | Frame::Checkpoint { token, .. } => Some(About::Claim(*token)),
        Frame::Forget(_) => None,
    }
}

#[cfg(test)]
mod tests;
