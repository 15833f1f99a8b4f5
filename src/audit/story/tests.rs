//! Stories by hand: what each course of events comes to, and where missing events matter.

use super::*;
use crate::audit::{EventId, EventKind, Gap, TrailItem};
use crate::ids::Token;

use EventKind::{
    Claimed, Completed, Dropped, Expired, Forgotten, InFlight, LateRetry, LeftUnresolved, Mismatch,
    Released, Replayed, Resolved, StaleHolder, TakenOver, Waited,
};

const KEY: u64 = 42;
const KEY_ID: u64 = 9;
const HOUR_MS: u64 = 3_600_000;

/// A trail that is written by hand, from the making of the store on.
struct Hand {
    teller: Storyteller,
    boot: u64,
    sequence: u64,
    at_ms: u64,
}

impl Hand {
    fn new() -> Self {
        let teller = Storyteller::new(vec![(KEY_ID, KEY)]);
        Self { teller, boot: 1, sequence: 0, at_ms: 1_790_000_000_000 }
    }

    /// An event of the key, a second after the one before.
    fn event(mut self, kind: EventKind, token: u64, attempt: u32) -> Self {
        self.at_ms += 1000;
        let id = EventId::new(self.boot, self.sequence);
        let mut event = Event::new(id, StoreTime(self.at_ms), kind, KEY);
        event.token = (token > 0).then_some(Token(token));
        event.attempt = attempt;
        event.age_ms = Some(1);
        event.duration_ms = Some(1);
        self.sequence += 1;
        self.teller.take(Some(KEY_ID), &TrailItem::Event(event), None);
        self
    }

    fn events(self, events: &[(EventKind, u64, u32)]) -> Self {
        events.iter().fold(self, |hand, (kind, token, attempt)| hand.event(*kind, *token, *attempt))
    }

    /// An event of another key, so much later.
    fn other(mut self, later_ms: u64) -> Self {
        self.at_ms += later_ms;
        let id = EventId::new(self.boot, self.sequence);
        let event = Event::new(id, StoreTime(self.at_ms), Claimed, KEY + 1);
        self.sequence += 1;
        self.teller.take(Some(KEY_ID), &TrailItem::Event(event), None);
        self
    }

    fn gap(mut self, lost: Option<u64>) -> Self {
        if lost.is_none() {
            self.boot += 100;
            self.sequence = 0;
        }
        self.sequence += lost.unwrap_or(0);
        let before = Some(EventId::new(self.boot, self.sequence));
        let gap = Gap { after: None, before, lost };
        self.teller.take(Some(KEY_ID), &TrailItem::Gap(gap), None);
        self
    }

    fn end(self) -> Conclusion {
        self.teller.finish(true, None).conclusion
    }
}

#[test]
fn each_course_of_events_has_its_finding() {
    use Finding::{MaybeTwice, NotExecuted, NotSeen, Once, OnceOnTrust, Twice, Unsettled};
    let done = [(Claimed, 5, 1), (Completed, 5, 1)];
    let cases: &[(Finding, &[(EventKind, u64, u32)])] = &[
        (NotSeen, &[]),
        (Once, &done),
        (Once, &[(Claimed, 5, 1), (InFlight, 5, 1), (Waited, 5, 1), (Replayed, 5, 1)]),
        (Once, &[(Claimed, 5, 1), (Completed, 5, 1), (Mismatch, 5, 1), (Forgotten, 5, 1)]),
        (Once, &[(Replayed, 5, 1)]),
        (NotExecuted, &[(Claimed, 5, 1), (Released, 5, 1)]),
        (NotExecuted, &[(EventKind::Limited, 0, 0)]),
        (Unsettled, &[(Claimed, 5, 1), (Dropped, 5, 1)]),
        (Unsettled, &[(Claimed, 5, 1), (LeftUnresolved, 5, 1)]),
        (Unsettled, &[(Claimed, 5, 1), (LeftUnresolved, 5, 1), (Resolved, 5, 1)]),
        (Unsettled, &[(Expired, 0, 0)]),
        (OnceOnTrust, &[(Claimed, 5, 1), (Released, 5, 1), (Claimed, 6, 1), (Completed, 6, 1)]),
        (OnceOnTrust, &[(LeftUnresolved, 5, 1), (Resolved, 5, 1), (Replayed, 5, 1)]),
        (OnceOnTrust, &[(Resolved, 5, 1), (Claimed, 6, 1), (Completed, 6, 1)]),
        (MaybeTwice, &[(Claimed, 5, 1), (TakenOver, 6, 2), (Completed, 6, 2)]),
        (MaybeTwice, &[(TakenOver, 6, 2), (Completed, 6, 2)]),
        (MaybeTwice, &[(Replayed, 6, 2)]),
        (MaybeTwice, &[(Claimed, 5, 1), (Claimed, 6, 1), (Completed, 6, 1)]),
        (MaybeTwice, &[(LateRetry, 6, 1), (Completed, 6, 1)]),
        (MaybeTwice, &[(Claimed, 5, 1), (Completed, 5, 1), (LateRetry, 6, 1)]),
        (MaybeTwice, &[(Claimed, 5, 1), (Released, 5, 1), (StaleHolder, 5, 1), (Replayed, 6, 1)]),
        (MaybeTwice, &[(Claimed, 5, 1), (Completed, 5, 1), (StaleHolder, 4, 1)]),
        (MaybeTwice, &[(Claimed, 5, 1), (Released, 5, 1), (TakenOver, 7, 2), (Completed, 7, 2)]),
        (Twice, &[(Claimed, 5, 1), (Completed, 5, 1), (LateRetry, 6, 1), (Completed, 6, 1)]),
        (Twice, &[(Claimed, 5, 1), (Completed, 5, 1), (Replayed, 6, 1)]),
        (Twice, &[(Forgotten, 5, 1), (Claimed, 6, 1), (Completed, 6, 1)]),
        // A replay that was answered while the key went on to another claim.
        (Twice, &[(Claimed, 6, 1), (Completed, 6, 1), (Replayed, 5, 1)]),
    ];
    for (finding, events) in cases {
        // An event of another key, so that the trail begins with the store.
        let conclusion = Hand::new().other(0).events(events).end();
        assert_eq!(conclusion.finding, *finding, "{events:?}");
        assert_eq!(conclusion.missing, Some(0));
        assert_eq!(conclusion.reach.since, None);
    }
    let live = Hand::new().events(&[(Claimed, 5, 1), (InFlight, 5, 1)]).teller.finish(false, None);
    assert_eq!(live.conclusion.finding, Finding::InProgress);
}

#[test]
fn missing_events_matter_where_they_could_hide_an_execution() {
    use Finding::{Once, Unknown};
    let one = [(Claimed, 5, 1), (Completed, 5, 1)];
    let gap = Some(3);
    let cases = [
        ("before it", Unknown, Hand::new().other(0).gap(gap).events(&one)),
        (
            "a day before it",
            Once,
            Hand::new().other(0).gap(gap).other(0).other(25 * HOUR_MS).events(&one),
        ),
        (
            "within its claim",
            Once,
            Hand::new().event(Claimed, 5, 1).gap(gap).event(Completed, 5, 1),
        ),
        (
            "while there is its record",
            Once,
            Hand::new().events(&one).gap(gap).event(Replayed, 5, 1),
        ),
        ("after it", Unknown, Hand::new().events(&one).gap(gap).other(0)),
        ("a day after it", Once, Hand::new().events(&one).other(25 * HOUR_MS).gap(gap).other(0)),
        ("at the end", Unknown, Hand::new().events(&one).gap(gap)),
    ];
    for (place, finding, hand) in cases {
        let conclusion = hand.end();
        assert_eq!((conclusion.finding, conclusion.apparent), (finding, Once), "{place}");
        assert_eq!(conclusion.missing, Some(if finding == Unknown { 3 } else { 0 }), "{place}");
    }
    let released = Hand::new()
        .events(&[(Claimed, 5, 1), (Released, 5, 1)])
        .gap(gap)
        .events(&[(Claimed, 6, 1), (Completed, 6, 1)]);
    assert_eq!(released.end().finding, Unknown, "between two claims");
}

#[test]
fn how_far_an_answer_reaches_is_said() {
    let one = [(Claimed, 5, 1), (Completed, 5, 1)];
    let hand = Hand::new().other(0).gap(Some(3)).other(0);
    let since = StoreTime(hand.at_ms);
    let conclusion = hand.other(25 * HOUR_MS).events(&one).end();
    assert_eq!(conclusion.reach.since, Some(since));
    let hand = Hand::new().events(&one).other(25 * HOUR_MS);
    let until = StoreTime(hand.at_ms);
    let conclusion = hand.gap(Some(3)).other(HOUR_MS).end();
    assert_eq!(conclusion.reach.until, Some(until));
}

#[test]
fn a_death_takes_back_nothing_unless_the_store_may_lose_the_latest() {
    let story = |hand: Hand| {
        hand.events(&[(Claimed, 5, 1), (Completed, 5, 1)]).gap(None).event(Replayed, 5, 1).end()
    };
    assert_eq!(story(Hand::new()).finding, Finding::Once);
    let hand = Hand::new();
    let conclusion = story(Hand { teller: hand.teller.may_lose_the_latest(), ..hand });
    assert_eq!((conclusion.finding, conclusion.missing), (Finding::Unknown, None));
}

#[test]
fn the_store_says_what_has_become_of_the_key() {
    let present = |token, fate| Present {
        token: Token(token),
        attempt: 1,
        fate,
        since: StoreTime(1_790_000_002_000),
        is_running: false,
    };
    let finish = |token, fate| {
        let one = Hand::new().events(&[(Claimed, 5, 1), (Completed, 5, 1)]).gap(None);
        one.teller.finish(false, Some(present(token, fate))).conclusion
    };
    let same = finish(5, Fate::Completed);
    assert_eq!((same.finding, same.reach.until), (Finding::Once, None));
    assert_eq!(finish(7, Fate::Completed).finding, Finding::Twice);
    assert_eq!(finish(7, Fate::Open).finding, Finding::MaybeTwice);
}

#[test]
fn memory_is_bounded_however_often_a_key_is_asked_for() {
    let mut hand = Hand::new();
    for token in 5..5000 {
        hand = hand.events(&[(Claimed, token, 1), (Released, token, 1)]).gap(Some(1)).other(0);
    }
    let story = hand.event(Claimed, 5000, 1).event(Completed, 5000, 1).teller.finish(true, None);
    assert!(story.steps.len() <= 1024 && story.attempts.len() <= 256);
    assert!(story.steps_left_out > 9000);
    assert_eq!(story.conclusion.apparent, Finding::OnceOnTrust);
    assert_eq!(story.conclusion.missing, Some(4995));
}

#[test]
fn a_trail_that_begins_late_or_has_nothing_says_so() {
    let mut hand = Hand::new();
    hand.sequence = 7;
    let at = hand.at_ms;
    let conclusion = hand.other(0).other(25 * HOUR_MS).event(Claimed, 5, 1).end();
    assert_eq!(conclusion.reach.since, Some(StoreTime(at)));
    assert_eq!(conclusion.finding, Finding::Unsettled);
    let nothing = Storyteller::new(vec![(KEY_ID, KEY)]).finish(false, None).conclusion;
    assert_eq!((nothing.finding, nothing.apparent), (Finding::Unknown, Finding::NotSeen));
}
