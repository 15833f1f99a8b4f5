//! A check's outcome: for a terminal, for a pipeline's summary, and as JSON.

use oncekey::StoreTime;
use oncekey::audit::rfc3339;
use serde_json::{Value, json};

use super::outcome::{Judged, Outcome, State};
use super::rule::Sort;
use crate::words::{self, escape, table};

pub(super) fn text(outcome: &Outcome) -> String {
    let mut rows = table(["", "fails if", "measured", "limit", "baseline"]);
    for judged in &outcome.rules {
        let [value, limit, baseline] = values(judged);
        rows.add_row([
            word(judged.state).to_owned(),
            escape(&judged.rule.text),
            value,
            limit,
            baseline,
        ]);
    }
    let mut text = format!("{}\n{rows}\n", window(outcome));
    for judged in outcome.rules.iter().filter(|judged| judged.state == State::Failed) {
        if let Some(why) = &judged.rule.why {
            text.push_str(&format!("{}: {}\n", escape(&judged.rule.text), escape(why)));
        }
    }
    if let Some(missing) = missing(outcome) {
        text.push_str(&format!("{missing}\n"));
    }
    text.push_str(&format!("{}\n", verdict(outcome)));
    text
}

pub(super) fn markdown(outcome: &Outcome) -> String {
    let mut text =
        format!("### Idempotency audit: {}\n\n{}\n\n", verdict(outcome), window(outcome));
    text.push_str(
        "| | fails if | measured | limit | baseline |\n| --- | --- | ---: | ---: | ---: |\n",
    );
    for judged in &outcome.rules {
        let [value, limit, baseline] = values(judged);
        let sign = match judged.state {
            State::Holds => "ok",
            State::Failed => "**failed**",
            State::NoData => "no data",
        };
        let rule = in_markdown(&judged.rule.text);
        text.push_str(&format!("| {sign} | {rule} | {value} | {limit} | {baseline} |\n"));
    }
    let why = outcome.rules.iter().filter(|judged| judged.state == State::Failed);
    let why: String = why
        .filter_map(|judged| Some((in_markdown(&judged.rule.text), judged.rule.why.as_ref()?)))
        .map(|(rule, why)| format!("- {rule}: {}\n", in_markdown(why)))
        .collect();
    if !why.is_empty() {
        text.push_str(&format!("\n{why}"));
    }
    if let Some(missing) = missing(outcome) {
        text.push_str(&format!("\n> {missing}\n"));
    }
    text
}

pub(super) fn json(outcome: &Outcome) -> String {
    let rule = |judged: &Judged| {
        json!({
            "fail_on": judged.rule.text,
            "figure": judged.rule.figure,
            "state": judged.state.name(),
            "value": judged.value,
            "limit": judged.limit,
            "baseline": judged.baseline,
            "why": judged.rule.why,
        })
    };
    let now = &outcome.now;
    let is_empty = outcome.events == 0;
    let time =
        |ms: u64| if is_empty { Value::Null } else { json!(rfc3339(StoreTime::from_millis(ms))) };
    let object = json!({
        "passed": outcome.is_passed(),
        "complete": outcome.missing.is_none(),
        "missing": outcome.missing,
        "missing_allowed": outcome.is_complete,
        "from": time(now.from_ms),
        "to": time(now.to_ms),
        "stores": now.stores,
        "rules": outcome.rules.iter().map(rule).collect::<Vec<_>>(),
        "figures": now.figures,
        "baseline": outcome.baseline.as_ref().map(|baseline| &baseline.figures),
    });
    words::json(&object, true)
}

/// Value, limit and baseline, as people read them.
fn values(judged: &Judged) -> [String; 3] {
    let sort = Sort::of(judged.rule.figure);
    [judged.value, judged.limit, judged.baseline]
        .map(|value| value.map_or_else(|| "-".to_owned(), |value| sort.show(value)))
}

fn word(state: State) -> &'static str {
    match state {
        State::Holds => "ok",
        State::Failed => "FAILED",
        State::NoData => "no data",
    }
}

fn window(outcome: &Outcome) -> String {
    let Outcome { events, requests, now, .. } = outcome;
    if *events == 0 {
        return "There are no events.".into();
    }
    let time =
        |ms| rfc3339(StoreTime::from_millis(ms)).unwrap_or_else(|| format!("{ms} ms after 1970"));
    format!(
        "{events} events, {requests} requests, from {} to {}.",
        time(now.from_ms),
        time(now.to_ms)
    )
}

fn missing(outcome: &Outcome) -> Option<String> {
    let missing = outcome.missing.as_ref()?;
    Some(match outcome.is_complete {
        true => format!("Incomplete, which was allowed: {missing}."),
        false => format!(
            "Incomplete: {missing}. What is missing may be what the rules are about (--allow-gaps \
             says how much may be)."
        ),
    })
}

fn verdict(outcome: &Outcome) -> String {
    let (failed, all) = (outcome.failed(), outcome.rules.len());
    let no_data = outcome.rules.iter().filter(|judged| judged.state == State::NoData).count();
    let rest = if no_data > 0 { format!(", {no_data} without data") } else { String::new() };
    match (failed, outcome.is_complete) {
        (0, true) => format!("passed ({all} rules{rest})"),
        (0, false) => format!("failed: events are missing ({all} rules{rest})"),
        _ => format!("failed ({failed} of {all} rules{rest})"),
    }
}

/// A text as nothing but text in Markdown.
fn in_markdown(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in escape(text).chars() {
        match c {
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '&' => plain.push_str("&amp;"),
            c if c.is_ascii_punctuation() && !matches!(c, '.' | ',' | '%' | '=' | ':' | '/') => {
                plain.push('\\');
                plain.push(c);
            }
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_markup_in_markdown() {
        let said = in_markdown("a|b <img> [x](y) `c` *d* \u{1b}");
        assert_eq!(said, "a\\|b &lt;img&gt; \\[x\\]\\(y\\) \\`c\\` \\*d\\* \\\\u\\{1b\\}");
    }
}
