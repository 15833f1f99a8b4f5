//! Clients that take turns, in a simulated world: what the checker's model says of one call after
//! the other is what the store does, through crashes, upkeep and expiry. Then the same histories as
//! if the calls had overlapped, and made wrong.

use std::time::Duration;

use proptest::prelude::*;

use super::client::{Client, Habits};
use super::{assert_linearizable, histories};
use crate::Store;
use crate::simulation::{Clock, Survival};
use crate::simulator::linear::history::{Call, Digest, History, Operation, Response, Seen};
use crate::simulator::linear::recorder::{End, Recorder};
use crate::tests::chaos::Numbers;
use crate::tests::world::World;
use crate::{Difference, Options};

const CLIENTS: u32 = 4;

fn habits() -> Habits {
    Habits {
        forgets: 1,
        keys: 3,
        ttls_ms: vec![30, 400, 3_600_000],
        leases_ms: vec![20, 200],
        patience_ms: 0,
    }
}

/// A run of some calls; the same for the same seed.
fn run(seed: u64, calls: u64, refuse_late: bool) -> History {
    let mut world = World::with(Options::new().refuse_late_retries(refuse_late));
    let recorder = Recorder::new(CLIENTS);
    let habits = habits();
    let mut numbers = Numbers(seed);
    let mut left = calls;
    while left > 0 {
        // Store time goes on with the wall clock from life to life.
        let clock = world.clock.clone();
        let start_ms = clock.wall_ms() - clock.monotonic_ms();
        let now_ms = move || start_ms + clock.monotonic_ms();
        let store = world.open();
        recorder.reopened(now_ms());
        let mut clients: Vec<_> = (0..CLIENTS)
            .map(|process| {
                let (seed, recorded) = (numbers.below(1 << 60), (&recorder, &habits));
                Client::new(process, seed, store.clone(), recorded, &now_ms)
            })
            .collect();
        let life = left.min(5 + numbers.below(60));
        left -= life;
        for _ in 0..life {
            step(&world, &store, &mut numbers);
            clients[numbers.below(u64::from(CLIENTS)) as usize].act();
        }
        if numbers.below(2) == 0 {
            // The disk goes before the claims are dropped.
            recorder.ended(End::Crash, now_ms());
            let survival = [Survival::Nothing, Survival::Everything][numbers.below(2) as usize];
            world.crash(survival, numbers.below(1 << 30));
        } else {
            clients.iter_mut().for_each(Client::drop_all);
            recorder.ended(End::Close, now_ms());
        }
    }
    recorder.history()
}

/// What happens between two calls.
fn step(world: &World, store: &Store, numbers: &mut Numbers) {
    let advance = |ms| world.advance(Duration::from_millis(ms));
    match numbers.below(12) {
        0 | 1 => advance(1 + numbers.below(25)),
        2 => advance(numbers.below(500)),
        3 => store.step_upkeep(),
        4 => drop(store.step_commit()),
        _ => {}
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn what_a_store_does_in_sequence_is_what_the_model_says(seed in 0_u64..1 << 40) {
        assert_linearizable(&run(seed, 200, seed % 3 == 0).check(), seed);
    }

    /// The moment of each call is where it was, so there is an order still.
    #[test]
    fn calls_that_overlap_are_explained_by_their_sequence(seed in 0_u64..1 << 40) {
        let mut numbers = Numbers(seed);
        let reach = 1 + numbers.below(12);
        let history = widened(&run(seed, 200, seed % 3 == 0), reach, &mut numbers);
        assert_linearizable(&history.check(), seed);
    }
}

fn config(cases: u32) -> ProptestConfig {
    let cases = u32::try_from(histories(u64::from(cases))).unwrap_or(u32::MAX);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// The same calls, begun earlier and ended later: by up to so many invocations and returns of
/// others.
fn widened(history: &History, reach: u64, numbers: &mut Numbers) -> History {
    const APART: u64 = 1 << 20;
    let mut history = history.clone();
    for operations in history.keys.values_mut() {
        for operation in operations.iter_mut() {
            let is_restart = matches!(operation.call, Call::Restart { .. });
            let by = if is_restart { 0 } else { reach * APART };
            let (earlier, later) = (numbers.below(by + 1), numbers.below(by + 1));
            operation.invoked = (operation.invoked * APART).saturating_sub(earlier);
            operation.returned = operation.returned.saturating_mul(APART).saturating_add(later);
            operation.from_ms -= earlier / APART;
            operation.to_ms = operation.to_ms.saturating_add(later / APART);
        }
        operations.sort_by_key(|operation| operation.invoked);
    }
    history
}

#[test]
fn wrong_answers_are_found() {
    const HISTORIES: u64 = 600;
    let mut numbers = Numbers(7);
    let (mut in_sequence, mut overlapping) = (0, 0);
    for seed in 0..HISTORIES {
        let mut history = run(seed, 100, seed % 3 == 0);
        while !spoil(&mut history, &mut numbers) {}
        in_sequence += u64::from(history.check().is_wrong());
        overlapping += u64::from(widened(&history, 3, &mut numbers).check().is_wrong());
    }
    // The others are right as well: an attempt that nobody could know otherwise, a lease that
    // nobody met.
    assert!(in_sequence > HISTORIES * 9 / 10, "{in_sequence} of {HISTORIES} found in sequence");
    assert!(overlapping > HISTORIES * 8 / 10, "{overlapping} of {HISTORIES} found in overlaps");
}

/// Makes one answer wrong, if the one that is chosen can be.
fn spoil(history: &mut History, numbers: &mut Numbers) -> bool {
    let count = history.operations().count() as u64;
    let chosen = numbers.below(count.max(1)) as usize;
    let operation = history.keys.values_mut().flatten().nth(chosen);
    let Some(Operation { call, response: Some(response), .. }) = operation else { return false };
    let choice = numbers.below(4);
    let wrong = match (*response, choice) {
        (Response::Claimed { token, attempt, .. }, 0) => Response::Unresolved { token, attempt },
        (Response::Claimed { token, attempt, checkpoint }, 1) => {
            Response::Claimed { token, attempt: attempt + 1, checkpoint }
        }
        (Response::Claimed { .. }, 2) => Response::InFlight { attempt: 1, lease_left_ms: Some(9) },
        (Response::Claimed { token, attempt, .. }, _) => {
            Response::Claimed { token, attempt, checkpoint: Some(Digest(1)) }
        }
        (Response::Record(seen), choice) => Response::Record(match choice {
            0 => Seen { token: seen.token + 1, ..seen },
            1 => Seen { answer: Digest(seen.answer.0 ^ 1), ..seen },
            2 => Seen { expires_ms: seen.expires_ms + 1, ..seen },
            _ => Seen { attempt: seen.attempt + 1, ..seen },
        }),
        (Response::InFlight { attempt, lease_left_ms }, choice) => match choice {
            0 => Response::Unresolved { token: 1, attempt },
            1 => Response::Mismatch { differs: Difference::Payload, in_flight: true },
            2 => Response::InFlight { attempt, lease_left_ms: lease_left_ms.map(|ms| ms + 900) },
            _ => Response::InFlight { attempt: attempt + 1, lease_left_ms },
        },
        (Response::Mismatch { differs, in_flight }, 0 | 1) => {
            Response::Mismatch { differs, in_flight: !in_flight }
        }
        (Response::Mismatch { .. }, _) => Response::InFlight { attempt: 1, lease_left_ms: Some(9) },
        (Response::Unresolved { token, attempt }, _) => {
            Response::Unresolved { token: token + 1, attempt }
        }
        (Response::Held { token, attempt }, 0) => Response::Unresolved { token, attempt },
        (Response::Held { .. }, 1) => Response::Nothing,
        (Response::Held { token, attempt }, _) => Response::Held { token: token + 1, attempt },
        (Response::Nothing, _) => Response::Held { token: 1 << 60, attempt: 1 },
        (Response::Forgotten(was_there), _) => Response::Forgotten(!was_there),
        (Response::Done, _) => match call {
            Call::Resolve { .. } => Response::NotFound,
            Call::Release { .. } | Call::Extend { .. } | Call::Checkpoint { .. } => {
                Response::LeaseLost
            }
            _ => return false,
        },
        (Response::LeaseLost, _) => match call {
            Call::Complete { .. } => return false,
            _ => Response::Done,
        },
        (Response::NotFound, _) => Response::Busy,
        (Response::Busy, _) => match call {
            Call::Forget => Response::Forgotten(true),
            _ => Response::Done,
        },
        (Response::Expired { .. }, _) => {
            Response::Mismatch { differs: Difference::Payload, in_flight: false }
        }
    };
    *response = wrong;
    true
}
