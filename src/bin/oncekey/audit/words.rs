//! Events in words: what a trail's line says to a person. Nothing in it can steer a terminal.

use std::io::IsTerminal;

use clap::ValueEnum;
use oncekey::audit::{
    Context, Event, EventKind, Judgement, Label, Trail, TrailItem, Verdict, rfc3339,
};
use oncekey::{Difference, StoreTime};

use crate::words::escape;

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    Always,
    Never,
}

/// Colours, or leaves it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(bool);

/// What a part of a line means to whoever reads it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tone {
    Aside,
    Good,
    Odd,
    Bad,
}

impl Paint {
    pub(crate) fn new(colour: Colour) -> Self {
        Self(match colour {
            Colour::Always => true,
            Colour::Never => false,
            // https://no-color.org: set, and not empty.
            Colour::Auto => {
                let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
                std::io::stdout().is_terminal() && !is_unwanted
            }
        })
    }

    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Aside => "2",
            Tone::Good => "32",
            Tone::Odd => "33",
            Tone::Bad => "1;31",
        };
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// One line for an item.
pub(crate) fn line(
    item: &TrailItem,
    judgement: Option<&Judgement>,
    trail: &Trail,
    paint: Paint,
) -> String {
    match item {
        TrailItem::Event(event) => event_line(event, judgement, trail, paint),
        TrailItem::Gap(gap) => paint.paint(Tone::Bad, &format!("-- {gap} --")),
        TrailItem::Damage(damage) => {
            paint.paint(Tone::Bad, &format!("-- damage: {} --", escape(&damage.to_string())))
        }
        _ => String::new(),
    }
}

fn event_line(event: &Event, judgement: Option<&Judgement>, trail: &Trail, paint: Paint) -> String {
    let kind = format!("{:<15}", event.kind.name());
    let kind = paint.paint(tone_of_kind(event.kind), &kind);
    let mut parts = vec![
        paint.paint(Tone::Aside, &moment(event.at)),
        format!("{:<10}", event.id.to_string()),
        kind,
    ];
    if event.key_hash != 0 {
        parts.push(format!("key {:016x}", event.key_hash));
    }
    parts.extend(event.operation.map(|label| name(trail, label)));
    let who = party(trail, &event.context);
    parts.extend((!who.is_empty()).then(|| format!("by {who}")));
    let facts = facts(event);
    parts.extend((!facts.is_empty()).then(|| facts.join(", ")));
    parts.extend(judgement.map(|judgement| {
        let tone = tone_of_verdict(judgement.verdict);
        paint.paint(tone, &format!("-> {}", verdict(judgement)))
    }));
    parts.join("  ")
}

/// A moment, to the millisecond, without the letters of RFC 3339.
pub(crate) fn moment(at: StoreTime) -> String {
    rfc3339(at).map_or_else(
        || format!("{} ms after 1970", at.as_millis()),
        |text| text.replace('T', " ").trim_end_matches('Z').to_owned(),
    )
}

/// The text behind a label, or what stands for it.
pub(crate) fn name(trail: &Trail, label: Label) -> String {
    trail.name(label).map_or_else(|| nameless(label), |name| escape(&name))
}

/// What stands for a label without a name: half of it, or its mark, which is all there is of a
/// holder that was another.
pub(crate) fn nameless(label: Label) -> String {
    let hash = label.get();
    if hash >> 16 == 0 { format!("#{hash:04x}") } else { format!("#{:08x}", hash >> 32) }
}

/// Who it was, as far as it is known.
pub(crate) fn party(trail: &Trail, context: &Context) -> String {
    let parts = [
        context.client.map(|label| name(trail, label)),
        context.network.map(|label| format!("network {}", name(trail, label))),
        context.agent.map(|label| format!("agent {}", name(trail, label))),
        context.request.map(|label| format!("request {}", name(trail, label))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The numbers of an event, each with its meaning.
pub(crate) fn facts(event: &Event) -> Vec<String> {
    use EventKind::{
        ClockStep, Completed, Dropped, Expired, Forgotten, InFlight, LateRetry, LeftUnresolved,
        Released, Replayed, Resolved, TakenOver, Waited,
    };
    let mut facts = Vec::new();
    facts.extend(event.token.map(|token| format!("claim {token}")));
    facts.extend((event.attempt > 1).then(|| format!("attempt {}", event.attempt)));
    facts.extend(event.differs.map(|differs| another(differs).to_owned()));
    facts.extend(event.age_ms.map(|ms| match event.kind {
        LateRetry | Expired => format!("{} after it expired", span(ms)),
        TakenOver | InFlight => format!("of a claim {} old", span(ms)),
        Replayed | Waited | Forgotten => format!("{} after its completion", span(ms)),
        _ => format!("what was met is {} old", span(ms)),
    }));
    facts.extend(event.duration_ms.map(|ms| match event.kind {
        Completed | Released | Dropped | LeftUnresolved => format!("held for {}", span(ms)),
        Resolved => format!("{} after its claim", span(ms)),
        ClockStep => format!("by {}", span(ms)),
        _ => format!("waited for {}", span(ms)),
    }));
    facts.extend(event.gap_ms.map(|ms| format!("{} after the try before", span(ms))));
    facts
}

/// What differs, in words.
pub(crate) fn another(differs: Difference) -> &'static str {
    match differs {
        Difference::Operation => "another operation",
        Difference::Payload => "another payload",
        _ => "another operation and payload",
    }
}

/// A verdict with its reasons.
pub(crate) fn verdict(judgement: &Judgement) -> String {
    let reasons: Vec<_> = judgement.reasons.iter().map(|reason| reason.name()).collect();
    let against = judgement.against.map_or_else(String::new, |id| format!(", met {id}"));
    format!("{} ({}{against})", judgement.verdict, reasons.join(", "))
}

/// A length of time as it is said: 40 ms, 1.2 s, 5 min, 3 h, 2 d.
pub(crate) fn span(ms: u64) -> String {
    let tenths = |unit_ms: u64| format!("{}.{}", ms / unit_ms, ms % unit_ms * 10 / unit_ms);
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{} s", tenths(1_000)),
        120_000..7_200_000 => format!("{} min", tenths(60_000)),
        7_200_000..172_800_000 => format!("{} h", tenths(3_600_000)),
        _ => format!("{} d", tenths(86_400_000)),
    }
}

fn tone_of_kind(kind: EventKind) -> Tone {
    use EventKind::{
        Claimed, Completed, LeftUnresolved, Mismatch, Poisoned, Refused, Resolved, StaleHolder,
    };
    match kind {
        Completed | Resolved => Tone::Good,
        Claimed => Tone::Aside,
        Mismatch | StaleHolder | LeftUnresolved | Poisoned | Refused => Tone::Bad,
        _ => Tone::Odd,
    }
}

/// How a verdict is taken.
pub(crate) fn tone_of_verdict(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::LegitimateRetry => Tone::Good,
        Verdict::Race | Verdict::LateRetry | Verdict::Unclear => Tone::Odd,
        _ => Tone::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_in_their_unit() {
        let said = [0, 999, 1_000, 1_250, 119_999, 120_000, 7_199_999, 7_200_000, 172_800_000];
        let said = said.map(span);
        let expected = [
            "0 ms",
            "999 ms",
            "1.0 s",
            "1.2 s",
            "119.9 s",
            "2.0 min",
            "119.9 min",
            "2.0 h",
            "2.0 d",
        ];
        assert_eq!(said, expected);
    }
}
