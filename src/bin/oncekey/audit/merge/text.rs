//! The merged view for people.

use std::fmt::Write as _;

use oncekey::StoreTime;
use oncekey::audit::merge::{
    Ending, Execution, Finding, FindingKind, MergeGap, StoreState, StoreView, Timing,
};

use super::{Shown, View};
use crate::audit::words::{moment, span};
use crate::words::{escape, table};

/// Findings shown in full; the rest is counted.
const MAX_FINDINGS: usize = 50;

/// All of it.
pub(super) fn view(view: &View, shown: &Shown<'_>) -> String {
    if view.stores.is_empty() {
        return "Nothing in these sources tells of a store.\n".into();
    }
    let mut text = status(view);
    gaps(view, &mut text);
    findings(view, shown, &mut text);
    text
}

/// How far the stores are.
pub(super) fn status(view: &View) -> String {
    let mut text = stores(view);
    for note in notes(view) {
        let _ = writeln!(text, "{note}");
    }
    text
}

fn stores(view: &View) -> String {
    let mut rows = table([
        "source",
        "store",
        "openings",
        "events",
        "again",
        "complete up to",
        "lags",
        "missing",
        "state",
    ]);
    for store in &view.stores {
        let id = store.store_id.to_string();
        let missing = match (store.missing, store.gaps.iter().any(|gap| gap.count.is_none())) {
            (0, false) => "none".to_owned(),
            (missing, false) => missing.to_string(),
            (missing, true) => format!("{missing} or more"),
        };
        rows.add_row([
            escape(&store.sources.join(", ")),
            id.get(..8).unwrap_or(&id).to_owned(),
            store.boots.to_string(),
            store.events.to_string(),
            store.duplicates.to_string(),
            store.complete_to.map_or_else(|| "-".into(), moment),
            store.lag_ms.map_or_else(|| "-".into(), span),
            missing,
            state(store).to_owned(),
        ]);
    }
    format!("{rows}\n")
}

fn state(store: &StoreView) -> &'static str {
    match store.state {
        StoreState::Closed => "closed",
        StoreState::Died => "ended without close",
        _ if store.is_waited_for || store.lag_ms.is_some() => "open",
        _ => "not waited for",
    }
}

fn notes(view: &View) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |holds: bool, text: String| notes.extend(holds.then_some(text));
    for source in &view.silent {
        note(true, format!("{}: nothing in it tells of a store", escape(source)));
    }
    note(
        view.stores.len() > 1 && view.secrets > 1,
        format!(
            "WARNING: these stores' hashes were made with {} secrets: keys are compared only \
             between stores that were given one (Audit::secret); what was executed twice between \
             the others is not found",
            view.secrets
        ),
    );
    for store in view.stores.iter().filter(|store| store.was_copied) {
        note(
            true,
            format!(
                "WARNING: store {} ran twice at the same time: a copy of its directory is in use, \
                 and neither knows what the other executes",
                store.store_id
            ),
        );
    }
    let late: u64 = view.stores.iter().map(|store| store.late).sum();
    note(late > 0, format!("{late} events came late, and are out of order in the stream"));
    let unsure: u64 = view.stores.iter().map(|store| store.unsure).sum();
    note(
        unsure > 0,
        format!("{unsure} events came for gaps that were given up: they are in nothing"),
    );
    let pressure = view.pressure;
    note(
        pressure.forced > 0,
        format!(
            "{} events were handed on before all stores had come so far (--max-events)",
            pressure.forced
        ),
    );
    note(
        pressure.refused > 0,
        format!("{} events of more openings than fit, or without sense, are left out", {
            pressure.refused
        }),
    );
    note(
        pressure.forgotten_keys > 0,
        format!(
            "{} keys went to make room: a second execution later than that is not found \
             (--max-keys)",
            pressure.forgotten_keys
        ),
    );
    note(
        pressure.findings_not_kept > 0,
        format!("{} more keys with findings were not kept", pressure.findings_not_kept),
    );
    notes
}

fn gaps(view: &View, text: &mut String) {
    let gaps = view.stores.iter().flat_map(|store| store.gaps.iter());
    let more: u64 = view.stores.iter().map(|store| store.more_gaps).sum();
    if gaps.clone().next().is_none() {
        text.push_str("\nNo event is missing, as far as is known.\n");
        return;
    }
    text.push_str("\nMissing:\n");
    for gap in gaps {
        let store = view.stores.iter().find(|store| store.store_id == gap.producer.store_id);
        let source = store.map(|store| escape(&store.sources.join(", "))).unwrap_or_default();
        let _ = writeln!(text, "  {source}: {}", gap_words(gap));
    }
    if more > 0 {
        let _ = writeln!(text, "  and {more} more gaps");
    }
}

fn gap_words(gap: &MergeGap) -> String {
    let MergeGap { producer, first, .. } = gap;
    let boot = producer.boot;
    let why = if gap.is_lost { "not in its trail" } else { "not here, may still come" };
    match gap.count {
        None => format!(
            "after {boot}.{first} an unknown number, maybe none: it ended without having been \
             closed"
        ),
        Some(1) => format!("event {boot}.{first} ({why})"),
        Some(count) => {
            let last = first.saturating_add(count - 1);
            format!("{count} events, {boot}.{first} to {boot}.{last} ({why})")
        }
    }
}

fn findings(view: &View, shown: &Shown<'_>, text: &mut String) {
    if view.findings.is_empty() {
        let unsure = view.faults > 0 || view.stores.iter().any(|store| !store.gaps.is_empty());
        text.push_str("\nNo key was executed in two stores, as far as they can be compared");
        text.push_str(match unsure {
            true => "; what is missing, or could not be read, may hide some.\n",
            false => ".\n",
        });
        return;
    }
    let count = view.findings.len();
    let _ = writeln!(text, "\nFound ({count}; clocks may differ by {}):", span(view.max_skew_ms));
    for found in view.findings.iter().take(MAX_FINDINGS) {
        text.push_str(&finding(found, shown));
    }
    if count > MAX_FINDINGS {
        let _ = writeln!(text, "  and {} more: --json has all", count - MAX_FINDINGS);
    }
}

/// A finding in a few lines.
pub(super) fn finding(finding: &Finding, shown: &Shown<'_>) -> String {
    let what = match finding.kind {
        FindingKind::ExecutedTwice => "executed in more than one store",
        FindingKind::MaybeExecutedTwice => "claimed in more than one store; maybe executed in each",
        FindingKind::KeyReuse => "used for different operations in different stores",
        FindingKind::ReplayedCopy => "executed in a store, and replayed by a copy of it",
        _ => finding.kind.name(),
    };
    let timing = match (finding.kind, finding.timing) {
        (FindingKind::ReplayedCopy, _) => "",
        (_, Timing::Overlapping) => ", at the same time",
        (_, Timing::OneAfterOther) => ", one after the other",
        _ => ", in an order that the clocks cannot tell",
    };
    let scope =
        finding.scope.map_or_else(String::new, |scope| format!(" of scope {}", shown.label(scope)));
    let mut text = format!("  key {:016x}{scope}: {what}{timing}\n", finding.key_hash);
    for execution in &finding.executions {
        let _ = writeln!(text, "    {}", execution_words(execution, shown));
    }
    if finding.is_cut {
        text.push_str("    and earlier ones\n");
    }
    text
}

fn execution_words(execution: &Execution, shown: &Shown<'_>) -> String {
    let store = shown.store(execution.producer.store_id);
    let operation = execution.operation.map(|label| format!(" {}", shown.label(label)));
    let claimed = match execution.claimed {
        Some((at, id)) => format!("claimed {} by {id}", moment(at)),
        None => "claimed by an event that is missing or long ago".into(),
    };
    let at = |at: StoreTime| moment(at);
    let ended = match execution.ended {
        None => "no end is known".to_owned(),
        Some((Ending::Completed, end)) => format!("completed {}", at(end)),
        Some((Ending::Released, end)) => format!("given back {}", at(end)),
        Some((Ending::Unresolved, end)) => format!("left with its effect unknown {}", at(end)),
        Some((Ending::Resolved, end)) => format!("settled {}", at(end)),
        Some((_, end)) => format!("let go without an end {}", at(end)),
    };
    let replays = match execution.replays {
        0 => String::new(),
        1 => ", replayed once".into(),
        count => format!(", replayed {count} times"),
    };
    format!("{store}{}: {claimed}, {ended}{replays}", operation.unwrap_or_default())
}
