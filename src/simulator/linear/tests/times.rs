//! Expiry and leases: exact where the times are known, and no false alarm where they are not.

use super::hand::{
    Hand, LEASE_MS, TTL_MS, claim, claim_under, claimed, complete, in_flight, other_claim,
};
use crate::simulator::linear::history::{Call, Response, Seen};
use crate::simulator::linear::recorder::End;
use crate::{Difference, DropPolicy};

const DROP: Call = Call::Drop { token: 5 };

#[test]
fn promise_6_expiry_is_exact() {
    for (waited_ms, is_replayed) in [(TTL_MS - 1, true), (TTL_MS, false)] {
        let hand = Hand::new();
        hand.won(0, 5, 1);
        let seen = hand.completed(0, 5, 1);
        hand.advance(waited_ms);
        hand.told(1, claim(), Response::Record(seen));
        assert_eq!(hand.verdict().is_linearizable(), is_replayed, "replayed after {waited_ms}");
        let hand = Hand::new();
        hand.won(0, 5, 1);
        hand.completed(0, 5, 1);
        hand.advance(waited_ms);
        hand.told(1, other_claim(), claimed(6, 1));
        assert_eq!(hand.verdict().is_linearizable(), !is_replayed, "claimed after {waited_ms}");
    }
}

#[test]
fn promise_6_the_ttl_counts_from_the_completion() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    let seen = hand.seen(5, 1);
    hand.advance(TTL_MS);
    let late = Seen { completed_ms: hand.now_ms.get(), ..seen };
    hand.told(0, complete(5), Response::Record(late));
    hand.assert_bad();
}

#[test]
fn promise_6_what_was_told_to_be_over_stays_over() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    let completion = hand.invoke(0, complete(5));
    hand.advance(50);
    // Nobody was told when it was completed: at 1000 to 1050 ms.
    hand.recorder.untold(completion, hand.now_ms.get());
    hand.advance(TTL_MS - 25);
    let seen = |ms| Seen { completed_ms: ms, expires_ms: ms + TTL_MS, ..hand.seen(5, 1) };
    let (later, sooner) = (seen(1_040), seen(1_010));
    hand.told(1, Call::Get, Response::Nothing);
    assert!(sooner.expires_ms < hand.now_ms.get() && hand.now_ms.get() < later.expires_ms);
    hand.told(1, claim(), Response::Record(later));
    hand.assert_bad();
}

#[test]
fn promise_6_an_unknown_completion_is_pinned_by_who_sees_it() {
    for (completed_ms, is_good) in [(1_040, true), (1_020, false), (1_051, false)] {
        let hand = Hand::new();
        hand.won(0, 5, 1);
        let completion = hand.invoke(0, complete(5));
        hand.advance(50);
        hand.recorder.untold(completion, hand.now_ms.get());
        hand.advance(TTL_MS - 25);
        let expires_ms = completed_ms + TTL_MS;
        let seen = Seen { completed_ms, expires_ms, ..hand.seen(5, 1) };
        hand.told(1, claim(), Response::Record(seen));
        assert_eq!(hand.verdict().is_linearizable(), is_good, "{completed_ms}");
    }
}

/// The earliest moment is not the best for a claim: its lease must last until somebody meets it.
#[test]
fn a_claims_moment_may_be_late_in_its_call() {
    for (met_ms, left_ms, is_good) in [(75, 35, true), (119, 1, true), (120, 1, false)] {
        let hand = Hand::new();
        let claimant = hand.invoke(0, claim());
        hand.advance(20);
        hand.returned(claimant, claimed(5, 1));
        hand.told(1, Call::Get, Response::Held { token: 5, attempt: 1 });
        hand.advance(met_ms - 20);
        hand.told(1, claim(), in_flight(1, left_ms));
        assert_eq!(hand.verdict().is_linearizable(), is_good, "at {met_ms} ms");
    }
}

#[test]
fn what_is_left_of_a_lease_says_when_it_began() {
    let hand = Hand::new();
    let claimant = hand.invoke(0, claim());
    hand.advance(20);
    hand.returned(claimant, claimed(5, 1));
    // It began at 1010 ms, so it ends at 1110.
    hand.told(1, claim(), in_flight(1, LEASE_MS - 10));
    hand.advance(85);
    hand.told(1, claim(), claimed(6, 2));
    hand.assert_bad();
}

#[test]
fn a_lease_is_seen_by_who_returned_before_it_can_have_begun() {
    let hand = Hand::new();
    let claimant = hand.invoke(0, claim());
    hand.advance(10);
    hand.told(1, Call::Get, Response::Held { token: 5, attempt: 1 });
    hand.advance(10);
    hand.returned(claimant, claimed(5, 1));
    // So it began at 1010 ms at the latest.
    hand.advance(LEASE_MS - 10);
    hand.told(1, claim(), in_flight(1, 1));
    hand.assert_bad();
}

#[test]
fn an_extension_moves_the_leases_end_either_way() {
    for (lease_ms, then, is_good) in [
        (500, in_flight(1, 400), true),
        (500, claimed(6, 2), false),
        (50, claimed(6, 2), true),
        (50, in_flight(1, 1), false),
    ] {
        let hand = Hand::new();
        hand.won(0, 5, 1);
        hand.told(0, Call::Extend { token: 5, lease_ms }, Response::Done);
        hand.advance(LEASE_MS);
        hand.told(1, claim(), then);
        assert_eq!(hand.verdict().is_linearizable(), is_good, "{lease_ms} {then:?}");
    }
}

#[test]
fn promise_6_an_abandoned_claim_expires_after_its_ttl() {
    for (waited_ms, attempt, is_good) in
        [(TTL_MS - 1, 2, true), (TTL_MS - 1, 1, false), (TTL_MS, 1, true), (TTL_MS, 2, false)]
    {
        let hand = Hand::new();
        hand.won(0, 5, 1);
        hand.restart(End::Crash);
        hand.advance(waited_ms);
        hand.won(1, 6, attempt);
        assert_eq!(hand.verdict().is_linearizable(), is_good, "{waited_ms} {attempt}");
    }
}

#[test]
fn promise_6_a_dropped_claim_is_abandoned_when_upkeep_comes_by() {
    for (waited_ms, attempt, is_good) in [
        (TTL_MS + LEASE_MS, 1, true),
        (TTL_MS + LEASE_MS, 2, true),
        (TTL_MS + LEASE_MS - 1, 1, false),
    ] {
        let hand = Hand::new();
        hand.won(0, 5, 1);
        hand.told(0, DROP, Response::Done);
        hand.advance(waited_ms);
        hand.won(1, 6, attempt);
        assert_eq!(hand.verdict().is_linearizable(), is_good, "{waited_ms} {attempt}");
    }
}

/// Nobody was told of the completion yet, so it may still be on its way to disk.
#[test]
fn promise_6_a_completion_that_expired_on_its_way_is_in_flight() {
    let on_its_way = Response::InFlight { attempt: 1, lease_left_ms: None };
    let mismatch = Response::Mismatch { differs: Difference::Payload, in_flight: true };
    for (call, told) in [(claim(), on_its_way), (other_claim(), mismatch)] {
        for (waited_ms, is_told, then, is_good) in [
            (TTL_MS, false, claimed(6, 1), true),
            (TTL_MS - 1, false, claimed(6, 1), false),
            // It is on disk, and the key free.
            (TTL_MS, true, claimed(6, 1), false),
            (TTL_MS, false, claimed(6, 2), false),
        ] {
            let hand = Hand::new();
            hand.won(0, 5, 1);
            let (seen, completion) = (hand.seen(5, 1), hand.invoke(0, complete(5)));
            if is_told {
                hand.returned(completion, Response::Record(seen));
            }
            hand.advance(waited_ms);
            hand.told(1, call, told);
            if !is_told {
                hand.returned(completion, Response::Record(seen));
            }
            hand.told(1, claim(), then);
            let found = hand.verdict().is_linearizable();
            assert_eq!(found, is_good, "{told:?} after {waited_ms} ms, {is_told}, {then:?}");
        }
    }
}

/// A mismatch waits for the disk: after it nobody finds the completion on its way.
#[test]
fn promise_6_a_mismatch_says_that_a_completion_is_on_disk() {
    let on_its_way = Response::InFlight { attempt: 1, lease_left_ms: None };
    let mismatch = Response::Mismatch { differs: Difference::Payload, in_flight: true };
    for (first, then, is_good) in [
        ((claim(), on_its_way), (other_claim(), mismatch), true),
        ((other_claim(), mismatch), (claim(), on_its_way), false),
    ] {
        let hand = Hand::new();
        hand.won(0, 5, 1);
        hand.invoke(0, complete(5));
        // So it is completed.
        hand.told(2, Call::Extend { token: 5, lease_ms: LEASE_MS }, Response::LeaseLost);
        hand.advance(TTL_MS);
        hand.told(1, first.0, first.1);
        hand.told(1, then.0, then.1);
        assert_eq!(hand.verdict().is_linearizable(), is_good, "{first:?} {then:?}");
    }
}

#[test]
fn promise_6_late_retries_are_told_what_they_are_late_for() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    let seen = hand.completed(0, 5, 1);
    hand.advance(TTL_MS);
    let late = |expired_ms| Response::Expired { completed_ms: Some(seen.completed_ms), expired_ms };
    hand.told(1, claim(), late(seen.expires_ms));
    hand.told(1, other_claim(), late(seen.expires_ms));
    hand.assert_good();
    for (waited_ms, wrong_ms) in [(TTL_MS - 1, 0), (TTL_MS, 1)] {
        let hand = Hand::new();
        hand.won(0, 5, 1);
        let seen = hand.completed(0, 5, 1);
        hand.advance(waited_ms);
        hand.told(1, claim(), late(seen.expires_ms + wrong_ms));
        hand.assert_bad();
    }
}

#[test]
fn promise_1_an_unresolved_attempt_outlives_its_ttl() {
    let hand = Hand::new();
    hand.told(0, claim_under(DropPolicy::Unresolved), claimed(5, 1));
    hand.told(0, DROP, Response::Done);
    hand.advance(10 * TTL_MS);
    let mismatch = Response::Mismatch { differs: Difference::Payload, in_flight: true };
    hand.told(1, other_claim(), mismatch);
    hand.told(1, claim(), Response::Unresolved { token: 5, attempt: 1 });
    hand.assert_good();
}
