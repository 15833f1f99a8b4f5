//! The traffic is what it says: repeatable, in order, with the truths of the requests' reasons.

use std::collections::{BTreeSet, HashMap};

use super::{Labelled, Score, Set, Synth};
use crate::audit::{Classifier, EventKind, Rules, Verdict};

fn some(seed: u64, set: Set, events: usize) -> Vec<Labelled> {
    Synth::new(seed, set).take(events).collect()
}

#[test]
fn a_seed_is_a_traffic_and_no_two_are_the_same() {
    assert_eq!(some(3, Set::Tuning, 5000), some(3, Set::Tuning, 5000));
    assert_ne!(some(3, Set::Tuning, 500), some(4, Set::Tuning, 500));
    assert_ne!(some(3, Set::Tuning, 500), some(3, Set::HeldOut, 500));
}

#[test]
fn events_are_in_order_and_dense_and_collisions_alone_have_a_truth() {
    let events = some(11, Set::HeldOut, 50_000);
    let mut claims = HashMap::new();
    let mut truths = BTreeSet::new();
    for (sequence, labelled) in events.iter().enumerate() {
        let event = labelled.event;
        assert_eq!(event.id.sequence, sequence as u64);
        assert_eq!(labelled.truth.is_some(), event.kind.is_collision(), "{labelled:?}");
        truths.extend(labelled.truth);
        let claims_now =
            matches!(event.kind, EventKind::Claimed | EventKind::TakenOver | EventKind::LateRetry);
        if let Some(token) = event.token {
            let is_new = claims.insert(token, event.key_hash).is_none();
            assert_eq!(is_new, claims_now, "a token is its claim's: {event:?}");
            assert_eq!(claims[&token], event.key_hash);
        }
    }
    assert!(events.is_sorted_by_key(|labelled| labelled.event.at));
    let missing: Vec<_> = Verdict::ALL.into_iter().filter(|v| !truths.contains(v)).collect();
    assert_eq!(missing, [Verdict::Unclear], "whoever sends knows why");
}

/// The bars of the audit, on seeds and policies that no threshold was chosen on. The bench
/// `verdicts` measures more of them.
#[test]
fn verdicts_reach_their_bars_on_unseen_traffic() {
    let bars = [
        (Verdict::LegitimateRetry, 0.99, 0.99),
        (Verdict::Race, 0.99, 0.99),
        (Verdict::KeyReuse, 0.99, 0.99),
        (Verdict::StaleHolder, 1.0, 1.0),
        (Verdict::SuspiciousReplay, 0.95, 0.90),
    ];
    let mut score = Score::new();
    for seed in 3000..3004 {
        let mut classifier = Classifier::new(Rules::new());
        for labelled in Synth::new(seed, Set::HeldOut).take(250_000) {
            let judgement = classifier.classify(&labelled.event);
            assert_eq!(judgement.is_some(), labelled.truth.is_some());
            if let (Some(truth), Some(judgement)) = (labelled.truth, judgement) {
                score.add(truth, judgement.verdict);
            }
        }
    }
    for (verdict, precision, recall) in bars {
        let reached = (score.precision(verdict), score.recall(verdict));
        assert!(reached.0 >= precision && reached.1 >= recall, "{verdict}: {reached:?}\n{score:?}");
    }
}

#[test]
fn shares_are_of_what_was_given_and_of_what_was_true() {
    let mut score = Score::new();
    for (truth, verdict) in [
        (Verdict::Race, Verdict::Race),
        (Verdict::Race, Verdict::Unclear),
        (Verdict::Race, Verdict::LegitimateRetry),
        (Verdict::LateRetry, Verdict::Race),
    ] {
        score.add(truth, verdict);
    }
    let mut twice = score.clone();
    twice.merge(&score);
    for score in [score, twice] {
        assert!((score.precision(Verdict::Race) - 0.5).abs() < 1e-9);
        assert!((score.recall(Verdict::Race) - 1.0 / 3.0).abs() < 1e-9);
        assert!((score.recall(Verdict::KeyReuse) - 1.0).abs() < 1e-9);
    }
}
