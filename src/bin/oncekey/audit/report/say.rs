//! How figures are said, in tables and on the page alike.

use oncekey::audit::report::{
    Backoff, ClientReport, Direction, Grade, Hex, KeyQuality, OpenClaim, Policy, Report,
};

pub(super) use crate::audit::words::span;

/// A name, or what stands for it; what a terminal would obey is written as an escape.
pub(super) fn name(name: Option<&str>, label: Option<Hex>) -> String {
    match (name, label) {
        (Some(name), _) => shorten(&crate::words::escape(name), 40),
        (None, Some(label)) => format!("#{:08x}", label.0 >> 32),
        (None, None) => "(not given)".into(),
    }
}

fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// Names of clients that differ only beyond what is shown still differ.
pub(super) fn client(client: &ClientReport) -> String {
    name(client.name.as_deref(), client.client)
}

/// A part in percent, with as many digits as it needs.
pub(super) fn part(part: f64) -> String {
    match part * 100.0 {
        0.0 => "0%".into(),
        percent if percent < 0.01 => format!("{percent:.4}%"),
        percent if percent < 1.0 => format!("{percent:.3}%"),
        percent => format!("{percent:.2}%"),
    }
}

/// A number with its thousands apart.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(super) fn rate(per_s: f64) -> String {
    match per_s {
        rate if rate >= 10.0 => format!("{rate:.0}/s"),
        rate if rate >= 0.1 => format!("{rate:.2}/s"),
        rate if rate * 60.0 >= 0.1 => format!("{:.2}/min", rate * 60.0),
        rate => format!("{:.2}/h", rate * 3600.0),
    }
}

pub(super) fn span_or_dash(ms: Option<u64>) -> String {
    ms.map_or_else(|| "-".into(), span)
}

pub(super) fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Rising => "rising",
        Direction::Falling => "falling",
        Direction::Steady => "steady",
        _ => "-",
    }
}

/// How a client waits before it tries again.
pub(super) fn backoff(backoff: &Backoff) -> String {
    let policy = match backoff.policy {
        Policy::Immediate => "at once",
        Policy::Fixed => "fixed",
        Policy::Random => "random",
        Policy::Exponential => "exponential",
        Policy::ExponentialEqualJitter => "exponential, some jitter",
        Policy::ExponentialFullJitter => "exponential, full jitter",
        Policy::DecorrelatedJitter => "decorrelated jitter",
        Policy::Slow => "minutes and more",
        _ => return "-".into(),
    };
    let grows = matches!(
        backoff.policy,
        Policy::Exponential | Policy::ExponentialEqualJitter | Policy::ExponentialFullJitter
    );
    let factor = backoff.factor.filter(|_| grows);
    let factor = factor.map_or_else(String::new, |factor| format!(" ×{factor:.1}"));
    let first = backoff.first_ms.map_or_else(String::new, |ms| format!(", first {}", span(ms)));
    format!("{policy}{factor}{first}")
}

/// How good a client's keys are.
pub(super) fn quality(quality: &KeyQuality) -> String {
    let grade = match quality.grade {
        Grade::Good => "good",
        Grade::Weak => "WEAK",
        Grade::Bad => "BAD",
        _ => return "-".into(),
    };
    if quality.findings.is_empty() {
        let most = quality.formats.iter().max_by_key(|(_, count)| **count);
        return format!("{grade} ({})", most.map_or("", |(format, _)| format));
    }
    let but = if quality.grade == Grade::Good { ", but" } else { ":" };
    format!("{grade}{but} {}", quality.findings.join(", ")).replace('_', " ")
}

/// A chance, in words where digits say nothing.
pub(super) fn chance(chance: Option<f64>) -> String {
    match chance {
        None => "-".into(),
        Some(chance) if chance >= 0.9999 => "certain".into(),
        Some(chance) if chance >= 0.001 => part(chance),
        Some(chance) => format!("{chance:.0e}"),
    }
}

/// What may be missing, in one sentence.
pub(super) fn trust(report: &Report) -> String {
    let trust = &report.trust;
    if trust.is_whole {
        return "nothing is missing between the first event and the last".into();
    }
    let mut parts = Vec::new();
    if trust.gaps > trust.unknown_gaps {
        let events = count(trust.lost_events);
        parts.push(format!("{events} events are missing ({} ppm)", trust.lost_ppm));
    }
    if trust.unknown_gaps > 0 {
        let gaps = trust.unknown_gaps;
        parts.push(format!("an unknown number may be missing in {gaps} places"));
    }
    if trust.damaged > 0 {
        parts
            .push(format!("{} bytes are damaged in {} places", trust.damaged_bytes, trust.damaged));
    }
    parts.join("; ")
}

/// Who has a claim that has not ended.
pub(super) fn holder(claim: &OpenClaim) -> String {
    let client = name(claim.client_name.as_deref(), claim.client);
    match &claim.operation_name {
        Some(operation) => format!("{client}, {}", name(Some(operation), None)),
        None => client,
    }
}
