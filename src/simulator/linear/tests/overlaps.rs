//! Calls that overlap: any order will do that explains them, and none that does not.

use super::hand::{ANSWER, Hand, LEASE_MS, TTL_MS, claim, claimed, complete, in_flight};
use crate::DropPolicy;
use crate::simulator::linear::history::{Call, Digest, Response, Seen};
use crate::simulator::linear::tests::hand::claim_under;
use crate::simulator::linear::verdict::Verdict;

#[test]
fn one_of_two_claims_at_once_is_won() {
    for (second, is_good) in [(in_flight(1, LEASE_MS), true), (claimed(6, 1), false)] {
        let hand = Hand::new();
        let one = hand.invoke(0, claim());
        let other = hand.invoke(1, claim());
        hand.returned(other, second);
        hand.returned(one, claimed(5, 1));
        assert_eq!(hand.verdict().is_linearizable(), is_good, "{second:?}");
    }
}

#[test]
fn a_look_beside_a_completion_sees_one_or_the_other() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    let completion = hand.invoke(0, complete(5));
    hand.told(1, Call::Get, Response::Held { token: 5, attempt: 1 });
    let seen = hand.seen(5, 1);
    hand.told(1, Call::Get, Response::Record(seen));
    hand.returned(completion, Response::Record(seen));
    hand.assert_good();
    // But not the one after the other.
    let hand = Hand::new();
    hand.won(0, 5, 1);
    let completion = hand.invoke(0, complete(5));
    hand.told(1, Call::Get, Response::Record(seen));
    hand.told(1, Call::Get, Response::Held { token: 5, attempt: 1 });
    hand.returned(completion, Response::Record(seen));
    hand.assert_bad();
}

#[test]
fn an_unknown_outcome_may_appear_later() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    hand.invoke(0, complete(5));
    hand.told(1, claim(), in_flight(1, LEASE_MS));
    let seen = hand.seen(5, 1);
    hand.told(1, claim(), Response::Record(seen));
    hand.assert_good();
}

#[test]
fn an_unknown_outcome_may_not_appear_and_disappear() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    hand.invoke(0, complete(5));
    let seen = hand.seen(5, 1);
    hand.told(1, claim(), Response::Record(seen));
    hand.told(1, claim(), in_flight(1, LEASE_MS));
    hand.assert_bad();
}

#[test]
fn an_unknown_outcome_may_never_appear() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    hand.invoke(0, complete(5));
    hand.advance(LEASE_MS);
    hand.won(1, 6, 2);
    hand.completed(1, 6, 2);
    hand.assert_good();
}

#[test]
fn an_unknown_claim_holds_the_key_with_a_token_of_its_own() {
    for (token, is_good) in [(6, true), (5, false)] {
        let hand = Hand::new();
        hand.won(0, 5, 1);
        hand.told(0, Call::Release { token: 5 }, Response::Done);
        hand.invoke(1, claim());
        hand.told(2, Call::Get, Response::Held { token, attempt: 1 });
        hand.told(2, Call::Get, Response::Held { token, attempt: 1 });
        hand.advance(LEASE_MS);
        hand.won(2, 7, 2);
        assert_eq!(hand.verdict().is_linearizable(), is_good, "{token}");
    }
}

#[test]
fn a_cancelled_claim_is_taken_back_whatever_its_policy() {
    for policy in [DropPolicy::Hold, DropPolicy::Release, DropPolicy::Unresolved] {
        for (then, is_good) in [(claimed(6, 1), true), (in_flight(1, LEASE_MS), false)] {
            let hand = Hand::new();
            let cancelled = hand.invoke(0, claim_under(policy));
            hand.told(1, claim(), in_flight(1, LEASE_MS));
            let back = hand.recorder.cancel(cancelled, hand.now_ms.get());
            hand.returned(back, Response::Done);
            hand.told(1, claim(), then);
            assert_eq!(hand.verdict().is_linearizable(), is_good, "{policy} {then:?}");
        }
    }
}

#[test]
fn a_cancelled_takeover_is_a_takeover_still() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    hand.advance(LEASE_MS);
    let cancelled = hand.invoke(1, claim());
    let back = hand.recorder.cancel(cancelled, hand.now_ms.get());
    hand.returned(back, Response::Done);
    hand.told(0, complete(5), Response::LeaseLost);
    hand.won(2, 7, 3);
    hand.assert_good();
}

#[test]
fn what_is_told_at_once_need_not_see_a_completion_on_its_way() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    let seen = hand.seen(5, 1);
    let completion = hand.invoke(0, complete(5));
    hand.advance(10);
    hand.told(1, Call::Resolve { answer: None }, Response::Busy);
    hand.returned(completion, Response::Record(seen));
    hand.told(1, claim(), Response::Record(seen));
    hand.assert_good();
}

/// A look that changes nothing is placed at once, but not before what nobody was told of and can
/// only have been before it.
#[test]
fn an_untold_forget_is_not_passed_over() {
    for (then, is_good) in [(Response::Nothing, true), (claimed(6, 2), false)] {
        let hand = Hand::new();
        hand.won(0, 5, 1);
        hand.completed(0, 5, 1);
        hand.recorder.untold(hand.invoke(0, Call::Forget), hand.now_ms.get());
        hand.told(1, Call::Resolve { answer: None }, Response::NotFound);
        let look = if is_good { Call::Get } else { claim() };
        hand.told(1, look, then);
        assert_eq!(hand.verdict().is_linearizable(), is_good, "{then:?}");
    }
}

/// A call that changes nothing where it is tried first may do so where it belongs.
#[test]
fn a_call_that_can_be_nothing_is_tried_where_it_is_something() {
    let hand = Hand::new();
    let dropped = hand.invoke(1, Call::Drop { token: 5 });
    let claimant = hand.invoke(0, claim_under(DropPolicy::Release));
    hand.returned(claimant, claimed(5, 1));
    hand.returned(dropped, Response::Done);
    hand.told(2, claim(), claimed(6, 1));
    hand.assert_good();
}

/// Also where other answers show that the completion was decided before.
#[test]
fn whoever_resolves_does_not_wait_for_a_completion() {
    for (is_told, is_good) in [(false, true), (true, false)] {
        let hand = Hand::new();
        hand.won(0, 5, 1);
        let completion = hand.invoke(0, complete(5));
        hand.told(1, Call::Extend { token: 5, lease_ms: 1 }, Response::LeaseLost);
        if is_told {
            hand.returned(completion, Response::Record(hand.seen(5, 1)));
        } else {
            hand.recorder.untold(completion, hand.now_ms.get());
        }
        hand.told(1, Call::Resolve { answer: None }, Response::Busy);
        assert_eq!(hand.verdict().is_linearizable(), is_good, "told: {is_told}");
    }
}

#[test]
fn keys_are_independent() {
    let hand = Hand::new();
    for key in 0..3 {
        let id = hand.recorder.invoke(key, key, claim(), 1_000);
        hand.returned(id, claimed(u64::from(key) + 5, 1));
    }
    hand.assert_good();
}

#[test]
fn calls_that_were_refused_are_struck_out() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    hand.recorder.refused(hand.invoke(0, complete(5)));
    hand.told(1, Call::Get, Response::Held { token: 5, attempt: 1 });
    let history = hand.recorder.history();
    assert_eq!(history.len(), 2);
    history.check().assert_linearizable();
}

/// Many unknown outcomes and an answer that none explains: the search is long, and says when it is
/// too long.
#[test]
fn too_much_work_is_told() {
    let hand = Hand::new();
    hand.won(0, 5, 1);
    for saved in 0..20 {
        hand.invoke(1, Call::Checkpoint { token: 5, saved: Digest(saved) });
    }
    hand.advance(LEASE_MS);
    let checkpoint = Some(Digest(99));
    hand.told(2, claim(), Response::Claimed { token: 6, attempt: 2, checkpoint });
    let verdict = hand.recorder.history().check_within(1_000);
    assert!(matches!(verdict, Verdict::GaveUp { key: 0 }), "{verdict}");
}

#[test]
fn a_resolution_nobody_was_told_of_is_seen_later() {
    for (answer, is_good) in [(ANSWER, true), (Digest(77), false)] {
        let hand = Hand::new();
        hand.told(0, claim_under(DropPolicy::Unresolved), claimed(5, 1));
        hand.told(0, Call::Drop { token: 5 }, Response::Done);
        hand.invoke(1, Call::Resolve { answer: Some(ANSWER) });
        hand.advance(5);
        let completed_ms = hand.now_ms.get();
        let expires_ms = completed_ms + TTL_MS;
        let seen = Seen { token: 5, attempt: 1, answer, completed_ms, expires_ms };
        hand.told(2, claim(), Response::Record(seen));
        assert_eq!(hand.verdict().is_linearizable(), is_good, "{answer:?}");
    }
}
