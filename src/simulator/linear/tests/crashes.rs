//! Ends of the process: what was told stays, what was not may go, and nobody holds anything.

use super::hand::{Hand, LEASE_MS, claim, claim_under, claimed, complete, in_flight};
use crate::DropPolicy;
use crate::simulator::linear::history::{Call, Digest, Response};
use crate::simulator::linear::recorder::End;

const HELD: Response = Response::Held { token: 5, attempt: 1 };
const RELEASE: Call = Call::Release { token: 5 };

#[test]
fn promise_2_an_acknowledged_completion_is_lost() {
    for end in [End::Crash, End::Close] {
        for (then, is_good) in [(Response::Nothing, false), (HELD, false)] {
            let hand = Hand::new();
            hand.won(0, 5, 1);
            let seen = hand.completed(0, 5, 1);
            hand.restart(end);
            hand.told(1, claim(), Response::Record(seen));
            hand.restart(end);
            hand.told(1, Call::Get, then);
            assert_eq!(hand.verdict().is_linearizable(), is_good, "{end:?} {then:?}");
        }
    }
}

#[test]
fn promise_2_an_acknowledged_claim_is_lost() {
    for (then, is_good) in [(claimed(6, 2), true), (claimed(6, 1), false)] {
        let hand = Hand::new();
        hand.won(0, 5, 1);
        hand.restart(End::Crash);
        hand.told(1, claim(), then);
        assert_eq!(hand.verdict().is_linearizable(), is_good, "{then:?}");
    }
}

#[test]
fn promise_1_a_crash_leaves_no_holder() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    hand.restart(End::Crash);
    hand.told(1, claim(), in_flight(1, LEASE_MS));
    hand.assert_bad();
}

#[test]
fn promise_1_a_crash_leaves_what_must_not_run_twice_unresolved() {
    let unresolved = Response::Unresolved { token: 5, attempt: 1 };
    for (then, is_good) in [(unresolved, true), (claimed(6, 2), false)] {
        let hand = Hand::new();
        hand.told(0, claim_under(DropPolicy::Unresolved), claimed(5, 1));
        hand.restart(End::Crash);
        hand.told(1, claim(), then);
        assert_eq!(hand.verdict().is_linearizable(), is_good, "{then:?}");
    }
}

#[test]
fn what_was_under_way_at_a_crash_came_to_be_or_not() {
    let seen = Hand::new().seen(5, 1);
    let cases = [
        (claimed(6, 2), None),
        (Response::Record(seen), Some(claimed(6, 2))),
        (Response::Record(seen), Some(Response::Record(seen))),
    ];
    for (first, second) in cases {
        let hand = Hand::new();
        hand.won(0, 5, 1);
        hand.invoke(0, complete(5));
        hand.restart(End::Crash);
        hand.told(1, claim(), first);
        if let Some(second) = second {
            hand.told(1, claim(), second);
        }
        let is_good = second != Some(claimed(6, 2));
        assert_eq!(hand.verdict().is_linearizable(), is_good, "{first:?} {second:?}");
    }
}

#[test]
fn what_had_no_effect_by_the_crash_never_has() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    hand.invoke(0, complete(5));
    hand.restart(End::Crash);
    hand.told(1, Call::Get, HELD);
    hand.told(1, Call::Get, Response::Record(hand.seen(5, 1)));
    hand.assert_bad();
}

/// `InFlight` need not wait for the claim to be on disk, so a crash may take that claim back.
#[test]
fn promise_2_in_flight_may_rest_on_a_claim_that_a_crash_loses() {
    let hand = Hand::new();
    hand.invoke(0, claim());
    hand.told(1, claim(), in_flight(1, LEASE_MS));
    hand.restart(End::Crash);
    hand.won(1, 6, 1);
    hand.assert_good();
    // A look waits for the disk.
    let hand = Hand::new();
    hand.invoke(0, claim());
    hand.told(1, Call::Get, HELD);
    hand.restart(End::Crash);
    hand.won(1, 6, 1);
    hand.assert_bad();
    // And a close loses nothing.
    let hand = Hand::new();
    hand.invoke(0, claim());
    hand.told(1, claim(), in_flight(1, LEASE_MS));
    hand.restart(End::Close);
    hand.won(1, 6, 1);
    hand.assert_bad();
}

#[test]
fn a_crash_undoes_the_last_of_what_nobody_was_told_of() {
    for (token, attempt, is_good) in [(7, 2, true), (7, 1, true), (7, 3, false)] {
        let hand = Hand::new();
        hand.won(0, 5, 1);
        hand.invoke(0, RELEASE);
        hand.told(1, Call::Get, Response::Nothing);
        hand.restart(End::Crash);
        hand.won(1, token, attempt);
        assert_eq!(hand.verdict().is_linearizable(), is_good, "{attempt}");
    }
    let hand = Hand::new();
    hand.won(0, 5, 1);
    hand.told(0, RELEASE, Response::Done);
    hand.told(1, Call::Get, Response::Nothing);
    hand.restart(End::Crash);
    hand.won(1, 7, 2);
    hand.assert_bad();
}

#[test]
fn promise_5_a_token_falls_across_a_crash() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    hand.restart(End::Crash);
    hand.won(1, 4, 2);
    hand.assert_bad();
}

#[test]
fn an_acknowledged_checkpoint_is_there_after_a_crash() {
    for (checkpoint, is_good) in [(Some(Digest(7)), true), (None, false)] {
        let hand = Hand::new();
        hand.won(0, 5, 1);
        hand.told(0, Call::Checkpoint { token: 5, saved: Digest(7) }, Response::Done);
        hand.restart(End::Crash);
        hand.told(1, claim(), Response::Claimed { token: 6, attempt: 2, checkpoint });
        assert_eq!(hand.verdict().is_linearizable(), is_good, "{checkpoint:?}");
    }
}
