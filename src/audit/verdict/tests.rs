//! Each rule by an example, each reason by some event, and what holds for all events.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Classifier, Judgement, Reason, Reasons, Rules, Verdict};
use crate::audit::synth::{Labelled, Set, Synth};
use crate::audit::{Context, Event, EventId, EventKind, Label};
use crate::ids::{StoreTime, Token};
use crate::types::Difference;

const KEY: u64 = 42;
const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;

fn party(client: u64, network: u64, agent: u64) -> Context {
    let label = |number: u64| (number != 0).then(|| Label::new(number << 32));
    Context { client: label(client), network: label(network), agent: label(agent), request: None }
}

fn home() -> Context {
    party(1, 1, 1)
}

fn event(at_ms: u64, kind: EventKind, context: Context) -> Event {
    let id = EventId::new(1, at_ms);
    let mut event = Event::new(id, StoreTime::from_millis(at_ms), kind, KEY);
    event.context = context;
    event.token = Some(Token::new(7));
    event.holder = kind.is_collision().then(home);
    event
}

/// A key that was claimed at 0 and completed after 100 ms, then these; the last one's judgement.
fn after_completion(events: &[Event]) -> Judgement {
    let before = [event(0, EventKind::Claimed, home()), event(100, EventKind::Completed, home())];
    last(before.iter().chain(events))
}

fn last<'a>(events: impl IntoIterator<Item = &'a Event>) -> Judgement {
    let mut classifier = Classifier::new(Rules::new());
    let judged = events.into_iter().map(|event| classifier.classify(event));
    judged.last().flatten().expect("a collision at the end")
}

fn has(judgement: Judgement, reasons: &[Reason]) {
    for reason in reasons {
        assert!(judgement.reasons.contains(*reason), "no {reason} in {judgement:?}");
    }
}

#[test]
fn a_retry_of_the_same_party_is_legitimate_however_late() {
    for at_ms in [120, 700, 30 * SECOND_MS, HOUR_MS, 23 * HOUR_MS] {
        let judgement = after_completion(&[event(at_ms, EventKind::Replayed, home())]);
        assert_eq!(judgement.verdict, Verdict::LegitimateRetry, "{at_ms}");
        assert_eq!(judgement.against, Some(EventId::new(1, 0)), "the claim");
        has(judgement, &[Reason::SameParty]);
    }
}

#[test]
fn gaps_name_the_backoffs_they_are_consistent_with() {
    let tries = |gaps: &[u64]| {
        let mut at_ms = 0;
        let events: Vec<_> = gaps
            .iter()
            .map(|gap| {
                at_ms += gap;
                event(at_ms, EventKind::MetUnresolved, home())
            })
            .collect();
        last(std::iter::once(&event(0, EventKind::Claimed, home())).chain(&events))
    };
    has(tries(&[100]), &[Reason::GapImmediate, Reason::EffectUnknown]);
    has(tries(&[600]), &[Reason::GapShort]);
    has(tries(&[600, 610]), &[Reason::GapFixed]);
    has(tries(&[600, 1200]), &[Reason::GapExponential, Reason::GapDecorrelated]);
    has(tries(&[900, 300]), &[Reason::GapFullJitter, Reason::GapDecorrelated]);
    assert!(!tries(&[300, 9000]).reasons.contains(Reason::GapDecorrelated), "over three times");
    has(tries(&[HOUR_MS]), &[Reason::GapLong, Reason::Stale]);
}

#[test]
fn a_copy_in_the_first_moment_is_a_race_and_later_a_retry() {
    let meet = |after_ms: u64| {
        let mut copy = event(after_ms, EventKind::InFlight, home());
        copy.age_ms = Some(after_ms);
        last(&[event(0, EventKind::Claimed, home()), copy])
    };
    assert_eq!(meet(200).verdict, Verdict::Race);
    has(meet(200), &[Reason::InFlight, Reason::JustBegun]);
    assert_eq!(meet(10 * SECOND_MS).verdict, Verdict::LegitimateRetry, "a client that gave up");
}

#[test]
fn whoever_meets_a_claim_that_was_let_go_has_been_told() {
    let mut retry = event(300, EventKind::InFlight, home());
    retry.age_ms = Some(300);
    let events =
        [event(0, EventKind::Claimed, home()), event(100, EventKind::Dropped, home()), retry];
    assert_eq!(last(&events).verdict, Verdict::LegitimateRetry);
}

#[test]
fn a_rival_is_one_when_it_asks_again_and_when_its_wait_is_over() {
    let copy = |at_ms: u64, kind| {
        let mut copy = event(at_ms, kind, home());
        copy.age_ms = Some(at_ms);
        copy
    };
    let mut waited = event(3000, EventKind::Waited, home());
    waited.duration_ms = Some(3000 - 1400);
    let events = [
        event(0, EventKind::Claimed, home()),
        copy(200, EventKind::InFlight),
        copy(1400, EventKind::InFlight),
        waited,
    ];
    assert_eq!(last(&events[..3]).verdict, Verdict::Race);
    assert_eq!(last(&events), last(&events[..3]), "one try, one verdict");
}

#[test]
fn another_request_under_the_key_is_key_reuse_whoever_sends_it() {
    for (differs, reasons) in [
        (Difference::Operation, vec![Reason::OtherOperation]),
        (Difference::Payload, vec![Reason::OtherPayload]),
        (Difference::OperationAndPayload, vec![Reason::OtherOperation, Reason::OtherPayload]),
    ] {
        for who in [home(), party(9, 9, 9)] {
            let mut reuse = event(HOUR_MS, EventKind::Mismatch, who);
            reuse.differs = Some(differs);
            let judgement = after_completion(&[reuse]);
            assert_eq!(judgement.verdict, Verdict::KeyReuse);
            has(judgement, &reasons);
        }
    }
}

#[test]
fn another_party_is_suspicious_when_the_request_is_stale() {
    let replay = |at_ms, who| after_completion(&[event(at_ms, EventKind::Replayed, who)]);
    let other_agent = replay(5 * MINUTE_MS, party(1, 1, 2));
    assert_eq!(other_agent.verdict, Verdict::SuspiciousReplay);
    has(other_agent, &[Reason::OtherAgent]);
    let other_client = replay(5 * MINUTE_MS, party(2, 1, 1));
    assert_eq!(other_client.verdict, Verdict::SuspiciousReplay);
    has(other_client, &[Reason::OtherClient]);
    assert_eq!(
        replay(5 * MINUTE_MS, party(1, 2, 1)).verdict,
        Verdict::LegitimateRetry,
        "on the move"
    );
    let other_network = replay(HOUR_MS, party(1, 2, 1));
    assert_eq!(other_network.verdict, Verdict::SuspiciousReplay);
    has(other_network, &[Reason::OtherNetwork, Reason::Stale]);
    let nameless = replay(5 * MINUTE_MS, party(1, 1, 0));
    assert_eq!(nameless.verdict, Verdict::SuspiciousReplay, "an agent that is left out is another");
    assert_eq!(replay(10 * SECOND_MS, party(2, 2, 2)).verdict, Verdict::Unclear, "too soon");
}

#[test]
fn who_moved_while_fresh_is_known_afterwards() {
    let judgement = after_completion(&[
        event(20 * SECOND_MS, EventKind::Replayed, party(1, 2, 1)),
        event(HOUR_MS, EventKind::Replayed, party(1, 2, 1)),
    ]);
    assert_eq!(judgement.verdict, Verdict::LegitimateRetry);
    has(judgement, &[Reason::SameParty]);
}

#[test]
fn who_is_answered_from_elsewhere_and_asks_again_is_suspicious() {
    let elsewhere = |at_ms| event(at_ms, EventKind::Replayed, party(1, 2, 1));
    let judgement = after_completion(&[elsewhere(5 * MINUTE_MS), elsewhere(6 * MINUTE_MS)]);
    assert_eq!(judgement.verdict, Verdict::SuspiciousReplay);
    has(judgement, &[Reason::AnsweredBefore]);
}

#[test]
fn a_claim_that_took_long_brings_its_sender_back() {
    let mut slow = event(9 * SECOND_MS, EventKind::Completed, home());
    slow.duration_ms = Some(9 * SECOND_MS);
    let back = event(HOUR_MS, EventKind::Replayed, party(1, 2, 1));
    let judgement = last(&[event(0, EventKind::Claimed, home()), slow, back]);
    assert_eq!(judgement.verdict, Verdict::LegitimateRetry);
    has(judgement, &[Reason::RetryExpected]);
}

#[test]
fn a_job_at_growing_intervals_may_run_anywhere() {
    let met = |at_ms, who| event(at_ms, EventKind::MetUnresolved, who);
    let judgement = after_completion(&[
        met(5 * MINUTE_MS, home()),
        met(15 * MINUTE_MS, home()),
        met(35 * MINUTE_MS, party(1, 2, 1)),
    ]);
    assert_eq!(judgement.verdict, Verdict::LegitimateRetry);
    has(judgement, &[Reason::Series, Reason::OtherNetwork]);
    let judgement = after_completion(&[
        met(5 * MINUTE_MS, home()),
        met(15 * MINUTE_MS, home()),
        met(35 * MINUTE_MS, party(1, 1, 2)),
    ]);
    assert_eq!(judgement.verdict, Verdict::LegitimateRetry, "after a deploy");
}

#[test]
fn after_the_expiry_it_is_late_or_suspicious() {
    for kind in [EventKind::LateRetry, EventKind::Expired] {
        let late = |who| after_completion(&[event(25 * HOUR_MS, kind, who)]);
        assert_eq!(late(home()).verdict, Verdict::LateRetry);
        has(late(home()), &[Reason::RecordExpired]);
        assert_eq!(late(party(1, 9, 9)).verdict, Verdict::SuspiciousReplay);
        assert_eq!(late(home()).against, Some(EventId::new(1, 0)));
    }
}

#[test]
fn a_taken_over_claim_is_a_retry_and_its_first_holder_stale() {
    let mut over = event(61 * SECOND_MS, EventKind::TakenOver, home());
    over.token = Some(Token::new(8));
    let stale = event(90 * SECOND_MS, EventKind::StaleHolder, home());
    let claimed = event(0, EventKind::Claimed, home());
    let taken = last(&[claimed, over]);
    assert_eq!(taken.verdict, Verdict::LegitimateRetry);
    has(taken, &[Reason::TookOver]);
    let judgement = last(&[claimed, over, stale]);
    assert_eq!((judgement.verdict, judgement.score), (Verdict::StaleHolder, 100));
    has(judgement, &[Reason::ClaimOver]);
    assert_eq!(judgement.against, Some(over.id), "whoever overtook it");
}

#[test]
fn a_program_that_does_not_stop_is_a_loop() {
    let tight: Vec<_> =
        (1..12).map(|n| event(100 + 200 * n, EventKind::Replayed, home())).collect();
    let judgement = after_completion(&tight);
    assert_eq!(judgement.verdict, Verdict::AutomationLoop);
    has(judgement, &[Reason::Burst]);
    let slow: Vec<_> = (1..32).map(|n| event(MINUTE_MS * n, EventKind::Replayed, home())).collect();
    assert_eq!(after_completion(&slow[..20]).verdict, Verdict::LegitimateRetry);
    let judgement = after_completion(&slow);
    assert_eq!(judgement.verdict, Verdict::AutomationLoop);
    has(judgement, &[Reason::ManyTries]);
}

#[test]
fn without_a_caller_only_time_speaks() {
    let nobody = |at_ms| {
        let mut replay = event(at_ms, EventKind::Replayed, Context::default());
        replay.holder = Some(Context::default());
        last(&[event(0, EventKind::Claimed, Context::default()), replay])
    };
    assert_eq!(nobody(2 * SECOND_MS).verdict, Verdict::LegitimateRetry);
    assert_eq!(nobody(HOUR_MS).verdict, Verdict::Unclear);
    has(nobody(HOUR_MS), &[Reason::PartyUnknown]);
}

#[test]
fn a_key_that_is_not_remembered_is_judged_by_its_event() {
    let mut replay = event(30 * HOUR_MS, EventKind::Replayed, party(1, 2, 2));
    replay.age_ms = Some(5 * HOUR_MS);
    let judgement = last(&[replay]);
    assert_eq!(judgement.verdict, Verdict::SuspiciousReplay);
    assert_eq!(judgement.against, None);
    replay.context = home();
    replay.age_ms = None;
    has(last(&[replay]), &[Reason::GapUnknown, Reason::SameParty]);
}

#[test]
fn every_reason_is_reached_and_named_once() {
    let mut seen = Reasons::NONE;
    let mut classifier = Classifier::new(Rules::new());
    for labelled in Synth::new(9, Set::Tuning).take(300_000) {
        if let Some(judgement) = classifier.classify(&labelled.event) {
            seen = judgement.reasons.iter().fold(seen, Reasons::with);
            assert!((1..=100).contains(&judgement.score), "{judgement:?}");
        }
    }
    // Traffic from its beginning leaves no key unknown.
    let missing: Vec<_> = Reason::ALL.into_iter().filter(|r| !seen.contains(*r)).collect();
    assert_eq!(missing, [Reason::GapUnknown]);
    let names: BTreeMap<_, _> = Reason::ALL.iter().map(|r| (r.name(), *r)).collect();
    assert_eq!(names.len(), Reason::ALL.len());
}

#[test]
fn events_without_a_key_or_of_no_collision_are_not_judged() {
    let mut classifier = Classifier::new(Rules::new());
    for kind in EventKind::ALL {
        let mut event = event(5, kind, home());
        assert_eq!(classifier.classify(&event).is_some(), kind.is_collision(), "{kind}");
        event.key_hash = 0;
        assert_eq!(classifier.classify(&event), None, "{kind}");
    }
}

#[test]
fn gaps_are_filled_in_where_they_are_not_known() {
    let mut classifier = Classifier::new(Rules::new());
    let mut gaps = Vec::new();
    for (at_ms, kind) in
        [(10, EventKind::Claimed), (110, EventKind::Completed), (400, EventKind::Replayed)]
    {
        let mut event = event(at_ms, kind, home());
        classifier.observe(&mut event);
        gaps.push(event.gap_ms);
    }
    assert_eq!(gaps, [None, None, Some(390)], "since the last try");
    let mut given = event(500, EventKind::Replayed, home());
    given.gap_ms = Some(1);
    classifier.observe(&mut given);
    assert_eq!(given.gap_ms, Some(1), "what the event says stays");
    classifier.classify(&event(600, EventKind::Forgotten, home()));
    let mut after = event(700, EventKind::Claimed, home());
    classifier.observe(&mut after);
    assert_eq!(after.gap_ms, None, "a forgotten key has no past");
}

#[test]
fn memory_is_bounded_and_the_latest_keys_are_kept() {
    let mut classifier = Classifier::new(Rules::new().remembered_keys(1000));
    assert_eq!(classifier.capacity(), 1024);
    for number in 1..=100_000_u64 {
        let mut claim = event(number, EventKind::Claimed, home());
        claim.key_hash = number.wrapping_mul(0xA24B_AED4_963E_E407);
        classifier.classify(&claim);
        let mut again = event(number + 1, EventKind::Replayed, home());
        again.key_hash = claim.key_hash;
        let against = classifier.classify(&again).and_then(|judgement| judgement.against);
        assert_eq!(against, Some(claim.id), "the key that was seen last is remembered");
    }
    assert!(classifier.remembered() <= classifier.capacity());
}

/// The events of each key, in order, with what a classifier said of each.
fn by_key<'a>(
    events: impl IntoIterator<Item = &'a Labelled>,
) -> BTreeMap<u64, Vec<(EventId, Option<Judgement>)>> {
    let mut classifier = Classifier::new(Rules::new());
    let mut keys = BTreeMap::<_, Vec<_>>::new();
    for labelled in events {
        let judgement = classifier.classify(&labelled.event);
        keys.entry(labelled.event.key_hash).or_default().push((labelled.event.id, judgement));
    }
    keys
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A key's verdicts are its own: whatever other keys' events come between, in any order, or
    /// not at all.
    #[test]
    fn verdicts_do_not_depend_on_other_keys(seed in any::<u64>(), mix in any::<u64>()) {
        let events: Vec<_> = Synth::new(seed, Set::HeldOut).take(3000).collect();
        let expected = by_key(&events);
        prop_assert_eq!(&expected, &by_key(&events), "the same events, the same verdicts");
        let mut shuffled = events.clone();
        // Stable: the keys change places, a key's events keep their order.
        shuffled.sort_by_key(|labelled| labelled.event.key_hash ^ mix);
        prop_assert_eq!(&expected, &by_key(&shuffled));
        let half = events.iter().filter(|labelled| labelled.event.key_hash & 1 == mix & 1);
        for (key, judged) in by_key(half) {
            prop_assert_eq!(&expected[&key], &judged);
        }
    }

    /// Any event in any order is judged, and nothing panics.
    #[test]
    fn rubbish_is_judged(
        events in prop::collection::vec(
            (0..19_usize, any::<u64>(), any::<[u64; 4]>(), any::<[Option<u64>; 4]>()),
            1..60,
        ),
    ) {
        let mut classifier = Classifier::new(Rules::new().remembered_keys(0).loop_burst(0, 0));
        for (kind, at_ms, [key, client, network, agent], [age, duration, gap, token]) in events {
            let kind = EventKind::ALL[kind];
            let mut event = event(at_ms, kind, party(client, network, agent));
            event.key_hash = key % 5;
            event.age_ms = age;
            event.duration_ms = duration;
            event.gap_ms = gap;
            event.token = token.map(Token::new);
            let judgement = classifier.observe(&mut event);
            prop_assert_eq!(judgement.is_some(), kind.is_collision() && event.key_hash != 0);
            prop_assert!(judgement.is_none_or(|j| (1..=100).contains(&j.score)));
        }
    }
}
