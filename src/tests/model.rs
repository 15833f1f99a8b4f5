//! A store against a model of it: any sequence of operations has the outcome that promises 1, 3, 4,
//! 5 and 6 say, also with all keys colliding, through crashes, compactions and expiry.

mod book;
mod judge;
mod machine;

use std::time::Duration;

use proptest::prelude::*;

use crate::index::with_masked_hashes;
use crate::simulation::Survival;
use crate::{DropPolicy, Options};
use machine::Machine;

/// A key of the model: one of two scopes, one of three names.
pub(crate) type KeyId = u8;
const KEYS: KeyId = 6;

/// What is done to a store. Where a claim is needed, `usize` chooses one of those that were ever
/// handed out.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Claim {
        key: KeyId,
        payload: bool,
        policy: DropPolicy,
        ttl_s: u64,
        lease_s: u64,
    },
    Complete(usize, usize),
    Release(usize),
    Drop(usize),
    Checkpoint(usize),
    Extend(usize),
    Resolve(KeyId, bool),
    Forget(KeyId),
    Get(KeyId),
    Advance(Duration),
    /// A leap over the threshold and its confirmation.
    Leap,
    Upkeep,
    Tidy,
    Close,
    Crash(Survival),
}

fn op() -> impl Strategy<Value = Op> {
    let policy = prop_oneof![
        3 => Just(DropPolicy::Hold),
        1 => Just(DropPolicy::Release),
        1 => Just(DropPolicy::Unresolved),
    ];
    let claim = (0..KEYS, prop::bool::weighted(0.2), policy, prop_oneof![Just(1800), Just(86_400)]);
    prop_oneof![
        12 => (claim, prop_oneof![Just(5), Just(60)]).prop_map(
            |((key, payload, policy, ttl_s), lease_s)| Op::Claim {
                key, payload, policy, ttl_s, lease_s,
            }
        ),
        8 => (any::<usize>(), prop_oneof![Just(0), Just(30), Just(6000)])
            .prop_map(|(claim, size)| Op::Complete(claim, size)),
        2 => any::<usize>().prop_map(Op::Release),
        4 => any::<usize>().prop_map(Op::Drop),
        2 => any::<usize>().prop_map(Op::Checkpoint),
        1 => any::<usize>().prop_map(Op::Extend),
        2 => (0..KEYS, any::<bool>()).prop_map(|(key, done)| Op::Resolve(key, done)),
        2 => (0..KEYS).prop_map(Op::Forget),
        3 => (0..KEYS).prop_map(Op::Get),
        3 => (1_u64..20_000).prop_map(|ms| Op::Advance(Duration::from_millis(ms))),
        2 => Just(Op::Advance(Duration::from_secs(61))),
        2 => Just(Op::Advance(Duration::from_secs(1801))),
        1 => Just(Op::Leap),
        4 => Just(Op::Upkeep),
        2 => Just(Op::Tidy),
        1 => Just(Op::Close),
        1 => Just(Op::Crash(Survival::Nothing)),
        1 => Just(Op::Crash(Survival::Everything)),
    ]
}

fn check(ops: &[Op], options: Options) {
    let mut machine = Machine::new(options);
    for op in ops {
        machine.apply(op);
    }
    machine.apply(&Op::Crash(Survival::Nothing));
    (0..KEYS).for_each(|key| machine.apply(&Op::Get(key)));
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn promises_1_to_6_hold_for_any_sequence(ops in prop::collection::vec(op(), 1..80)) {
        check(&ops, Options::new());
    }

    #[test]
    fn promises_1_to_6_hold_where_all_keys_collide(ops in prop::collection::vec(op(), 1..80)) {
        with_masked_hashes(0, || check(&ops, Options::new()));
    }

    #[test]
    fn promise_6_late_retries_are_refused_where_they_are_known(
        ops in prop::collection::vec(op(), 1..80),
    ) {
        check(&ops, Options::new().refuse_late_retries(true));
    }
}
