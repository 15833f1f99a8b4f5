//! Each promise that a client can see, kept and broken, in calls one after the other.

use super::hand::{
    ANSWER, Hand, LEASE_MS, OTHER_ANSWER, TTL_MS, claim, claim_under, claimed, complete, in_flight,
    other_claim,
};
use crate::simulator::linear::history::{Call, Digest, Response, Seen};
use crate::simulator::linear::verdict::Verdict;
use crate::{Difference, DropPolicy};

const MISMATCH: Response = Response::Mismatch { differs: Difference::Payload, in_flight: true };

#[test]
fn a_life_of_a_key() {
    let hand = Hand::new();
    hand.told(0, Call::Get, Response::Nothing);
    hand.won(0, 5, 1);
    hand.told(1, Call::Get, Response::Held { token: 5, attempt: 1 });
    hand.advance(10);
    hand.told(1, claim(), in_flight(1, LEASE_MS - 10));
    hand.told(2, other_claim(), MISMATCH);
    hand.told(2, Call::Forget, Response::Busy);
    let seen = hand.completed(0, 5, 1);
    hand.advance(TTL_MS - 1);
    hand.told(1, claim(), Response::Record(seen));
    hand.told(1, Call::Get, Response::Record(seen));
    hand.told(1, Call::Resolve { answer: None }, Response::NotFound);
    let done = Response::Mismatch { differs: Difference::Payload, in_flight: false };
    hand.told(2, other_claim(), done);
    hand.told(2, Call::Forget, Response::Forgotten(true));
    hand.told(2, Call::Forget, Response::Forgotten(false));
    hand.told(2, other_claim(), claimed(6, 1));
    hand.assert_good();
}

#[test]
fn promise_1_two_holders_at_once() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    hand.won(1, 6, 1);
    hand.assert_bad();
}

#[test]
fn promise_1_a_takeover_before_the_lease_is_over() {
    for (waited_ms, is_good) in [(LEASE_MS - 1, false), (LEASE_MS, true)] {
        let hand = Hand::new();
        hand.won(0, 5, 1);
        hand.advance(waited_ms);
        hand.won(1, 6, 2);
        assert_eq!(hand.verdict().is_linearizable(), is_good, "after {waited_ms} ms");
    }
}

#[test]
fn promise_1_a_takeover_that_does_not_say_so() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    hand.advance(LEASE_MS);
    hand.won(1, 6, 1);
    hand.assert_bad();
}

#[test]
fn promise_1_in_flight_after_the_lease() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    hand.advance(LEASE_MS);
    hand.told(1, claim(), in_flight(1, 1));
    hand.assert_bad();
}

#[test]
fn promise_1_a_lease_that_ran_out_ends_nothing_by_itself() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    hand.advance(10 * LEASE_MS);
    hand.completed(0, 5, 1);
    hand.assert_good();
}

#[test]
fn promise_1_a_stale_holder_is_refused_whatever_it_asks() {
    let seen = Seen {
        token: 5,
        attempt: 1,
        answer: ANSWER,
        completed_ms: 1_000 + LEASE_MS,
        expires_ms: 1_000 + LEASE_MS + TTL_MS,
    };
    let calls = [
        (complete(5), Response::Record(seen)),
        (Call::Release { token: 5 }, Response::Done),
        (Call::Extend { token: 5, lease_ms: 9 }, Response::Done),
        (Call::Checkpoint { token: 5, saved: Digest(9) }, Response::Done),
    ];
    for (call, told) in calls {
        for (response, is_good) in [(Response::LeaseLost, true), (told, false)] {
            let hand = Hand::new();
            hand.won(0, 5, 1);
            hand.advance(LEASE_MS);
            hand.won(1, 6, 2);
            hand.told(0, call, response);
            assert_eq!(hand.verdict().is_linearizable(), is_good, "{call:?} {response:?}");
        }
    }
}

#[test]
fn promise_1_a_holder_is_refused_that_lost_nothing() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    hand.told(0, complete(5), Response::LeaseLost);
    hand.assert_bad();
}

#[test]
fn promise_1_an_unresolved_attempt_is_nobodys_until_it_is_resolved() {
    let unresolved = Response::Unresolved { token: 5, attempt: 1 };
    for (then, is_good) in [(unresolved, true), (claimed(6, 2), false), (claimed(6, 1), false)] {
        let hand = Hand::new();
        hand.told(0, claim_under(DropPolicy::Unresolved), claimed(5, 1));
        hand.advance(LEASE_MS);
        hand.told(1, claim(), unresolved);
        hand.advance(10 * TTL_MS);
        hand.told(1, claim(), then);
        assert_eq!(hand.verdict().is_linearizable(), is_good, "{then:?}");
    }
    let hand = Hand::new();
    hand.told(0, claim_under(DropPolicy::Unresolved), claimed(5, 1));
    hand.told(0, Call::Drop { token: 5 }, Response::Done);
    hand.told(1, Call::Resolve { answer: Some(OTHER_ANSWER) }, Response::Done);
    let seen = Seen { answer: OTHER_ANSWER, ..hand.seen(5, 1) };
    hand.told(1, claim(), Response::Record(seen));
    hand.assert_good();
}

#[test]
fn promise_1_drops_follow_the_policy() {
    let cases = [
        (DropPolicy::Hold, in_flight(1, LEASE_MS), true),
        (DropPolicy::Hold, claimed(6, 1), false),
        (DropPolicy::Hold, claimed(6, 2), false),
        (DropPolicy::Release, claimed(6, 1), true),
        (DropPolicy::Release, in_flight(1, LEASE_MS), false),
        (DropPolicy::Unresolved, Response::Unresolved { token: 5, attempt: 1 }, true),
        (DropPolicy::Unresolved, claimed(6, 1), false),
    ];
    for (policy, then, is_good) in cases {
        let hand = Hand::new();
        hand.told(0, claim_under(policy), claimed(5, 1));
        hand.told(0, Call::Drop { token: 5 }, Response::Done);
        hand.told(1, claim(), then);
        assert_eq!(hand.verdict().is_linearizable(), is_good, "{policy} {then:?}");
    }
}

#[test]
fn promise_1_a_takeover_gets_the_last_checkpoint() {
    for (checkpoint, is_good) in [(Some(Digest(8)), true), (Some(Digest(7)), false), (None, false)]
    {
        let hand = Hand::new();
        hand.won(0, 5, 1);
        hand.told(0, Call::Checkpoint { token: 5, saved: Digest(7) }, Response::Done);
        hand.told(0, Call::Checkpoint { token: 5, saved: Digest(8) }, Response::Done);
        hand.advance(LEASE_MS);
        hand.told(1, claim(), Response::Claimed { token: 6, attempt: 2, checkpoint });
        assert_eq!(hand.verdict().is_linearizable(), is_good, "{checkpoint:?}");
    }
}

#[test]
fn promise_3_a_replay_with_other_bytes() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    let seen = hand.completed(0, 5, 1);
    hand.told(1, claim(), Response::Record(Seen { answer: OTHER_ANSWER, ..seen }));
    hand.assert_bad();
}

#[test]
fn promise_3_a_replay_of_nothing() {
    let hand = Hand::new();
    hand.told(1, claim(), Response::Record(hand.seen(5, 1)));
    hand.assert_bad();
}

#[test]
fn promise_4_a_mismatch_that_replays_or_claims() {
    for in_flight in [true, false] {
        let hand = Hand::new();
        hand.won(0, 5, 1);
        if in_flight {
            hand.advance(LEASE_MS);
            hand.told(1, other_claim(), claimed(6, 2));
        } else {
            let seen = hand.completed(0, 5, 1);
            hand.told(1, other_claim(), Response::Record(seen));
        }
        hand.assert_bad();
    }
}

#[test]
fn promise_4_a_mismatch_of_the_same_request() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    hand.told(1, claim(), MISMATCH);
    hand.assert_bad();
}

#[test]
fn promise_5_a_token_that_falls() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    hand.told(0, Call::Release { token: 5 }, Response::Done);
    hand.won(0, 4, 1);
    hand.assert_bad();
    // Of two keys as well, since tokens are the store's.
    let hand = Hand::new();
    hand.won(0, 5, 1);
    let other = hand.recorder.invoke(1, 1, claim(), 1_000);
    hand.returned(other, claimed(5, 1));
    let verdict = hand.verdict();
    assert!(matches!(verdict, Verdict::TokenFell { .. }), "{verdict}");
}

#[test]
fn promise_2_in_flight_is_told_after_the_completion_was_acknowledged() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    hand.completed(0, 5, 1);
    hand.told(1, claim(), in_flight(1, LEASE_MS));
    hand.assert_bad();
}

#[test]
fn an_explanation_says_what_cannot_be_placed() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    hand.told(2, Call::Get, Response::Held { token: 5, attempt: 1 });
    hand.won(1, 6, 1);
    let told = hand.verdict().to_string();
    assert!(told.starts_with("key 0 is not linearizable: 2 of 3 calls can be placed"), "{told}");
    assert!(told.ends_with("Claimed { token: 6, attempt: 1, checkpoint: None }\n"), "{told}");
}
