//! What a fuzzer asks of rules and baselines: any text is one or is refused in words; a limit is a
//! finite number, and what a rule says it says the same way each time.

use super::baseline::Baseline;
use super::rule::{Limit, Rule, Sort};
use super::rules_file;

/// A rule, and the same bytes as a file of rules and as a baseline.
pub(crate) fn rules(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(rule) = Rule::parse(text) {
        check(&rule);
    }
    if let Ok((rules, _)) = rules_file::parse(text, || "a file".into()) {
        rules.iter().for_each(check);
    }
    if let Ok(baseline) = Baseline::parse(data, || "a file".into()) {
        assert!(baseline.figures.values().all(|value| value.is_finite()));
    }
}

fn check(rule: &Rule) {
    let (Limit::Value(limit) | Limit::Times(limit) | Limit::Plus(limit)) = rule.limit;
    assert!(limit.is_finite(), "{rule} is about {limit}");
    let again = Rule::parse(&rule.text).expect("it was one");
    assert_eq!(Rule { why: rule.why.clone(), ..again }, *rule);
    for value in [0.0, 0.5, 1e12, limit] {
        let limit = rule.limit(Some(value)).expect("there is a baseline");
        let _ = (rule.is_broken(value, limit), Sort::of(rule.figure).show(limit));
    }
}

/// The kept inputs, replayed.
#[cfg(test)]
#[test]
fn every_rule_that_was_kept_holds() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/check_rules");
    for input in std::fs::read_dir(folder).into_iter().flatten() {
        rules(&std::fs::read(input.expect("an entry").path()).expect("a file"));
    }
}
