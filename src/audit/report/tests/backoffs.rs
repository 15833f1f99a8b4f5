//! The policies that are inferred from gaps are those that made them.

use super::Dice;
use crate::audit::report::Policy;
use crate::audit::report::backoff::Gaps;
use crate::audit::report::tries::Tries;

/// The wait before a retry of this number, after the wait before it.
type Wait = Box<dyn Fn(i32, f64, &mut Dice) -> f64>;

/// Six retries of each of 500 keys, whose waits a policy draws from the retry's number and the
/// wait before it; with a network that takes 5 to 40 ms.
fn inferred(wait_ms: impl Fn(i32, f64, &mut Dice) -> f64) -> crate::audit::report::Backoff {
    let mut dice = Dice(9);
    let (mut gaps, mut tries) = (Gaps::default(), Tries::default());
    for key in 1..=500_u64 {
        let key_hash = dice.bits();
        let (mut at_ms, mut wait) = (key * 1_000_000, 0.0);
        for number in 0..6 {
            wait = wait_ms(number, wait, &mut dice);
            let gap_ms = (wait + 5.0 + dice.unit() * 35.0) as u64;
            at_ms += gap_ms;
            if let Some(retry) = tries.retry(key_hash, at_ms, Some(gap_ms)) {
                gaps.record(retry);
            }
        }
    }
    gaps.infer()
}

#[test]
fn known_policies_are_recognized() {
    let twice = |number: i32| 1000.0 * 2_f64.powi(number);
    let cases: [(Policy, Option<f64>, Wait); 8] = [
        (Policy::Immediate, None, Box::new(|_, _, _| 0.0)),
        (Policy::Fixed, Some(1.0), Box::new(|_, _, _| 500.0)),
        (Policy::Random, Some(1.0), Box::new(|_, _, dice| dice.unit() * 5000.0)),
        (Policy::Exponential, Some(2.0), Box::new(move |number, _, _| twice(number))),
        (
            Policy::Exponential,
            Some(1.5),
            Box::new(|number, _, dice| 500.0 * 1.5_f64.powi(number) * (0.95 + dice.unit() / 10.0)),
        ),
        (
            Policy::ExponentialEqualJitter,
            Some(2.0),
            Box::new(move |number, _, dice| twice(number) * (0.5 + dice.unit() / 2.0)),
        ),
        (
            Policy::ExponentialFullJitter,
            Some(2.0),
            Box::new(move |number, _, dice| twice(number) * dice.unit()),
        ),
        (
            Policy::DecorrelatedJitter,
            None,
            Box::new(|_, last, dice| {
                let last = if last == 0.0 { 1000.0 } else { last };
                (1000.0 + dice.unit() * (last * 3.0 - 1000.0)).min(20_000.0)
            }),
        ),
    ];
    for (policy, factor, wait_ms) in cases {
        let told = inferred(wait_ms);
        assert_eq!(told.policy, policy, "{told:?}");
        if let (Some(factor), Some(is)) = (factor, told.factor) {
            assert!((is / factor - 1.0).abs() < 0.1, "{policy:?}: {told:?}");
        }
        assert_eq!((told.gaps, told.retries), (3000, 5));
    }
}

#[test]
fn few_gaps_and_long_ones_are_said_to_be_so() {
    assert_eq!(Gaps::default().infer().policy, Policy::Unknown);
    assert_eq!(inferred(|_, _, dice| 600_000.0 * (1.0 + dice.unit())).policy, Policy::Slow);
}
