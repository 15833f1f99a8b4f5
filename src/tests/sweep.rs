//! What all sweeps share: how much of one is run, and the line that says what was.
//!
//! `cargo test` runs as many cases of each as fit into seconds. With `ONCEKEY_SWEEP=full` every
//! case is run, which takes minutes:
//!
//! ```text
//! ONCEKEY_SWEEP=full cargo test --release --features simulation --lib sweep -- \
//!     --nocapture --test-threads=1
//! ```

#![allow(clippy::disallowed_methods, reason = "how long a sweep took is wall time")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Whether every case is wanted.
pub(crate) fn is_full() -> bool {
    std::env::var("ONCEKEY_SWEEP").is_ok_and(|value| value == "full")
}

/// All cases, or every `step`th of them. A prime step leaves out no kind of case where the kinds
/// take turns.
pub(crate) fn sample<C>(cases: Vec<C>, step: usize) -> Vec<C> {
    cases.into_iter().step_by(if is_full() { 1 } else { step }).collect()
}

/// Runs every case, on all processors if the sweep is a full one, and says what came of it in one
/// line. `check` returns how many runs a case was. A case that panics is a broken promise; it is
/// named, and the others go on.
pub(crate) fn sweep<C: Sync>(
    title: &str,
    cases: &[C],
    name: impl Fn(&C) -> String + Sync,
    check: impl Fn(&C) -> usize + Sync,
) {
    let started = Instant::now();
    let next = AtomicUsize::new(0);
    let (runs, broken) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            match catch_unwind(AssertUnwindSafe(|| check(case))) {
                Ok(count) => drop(runs.fetch_add(count, Ordering::Relaxed)),
                Err(_) => {
                    eprintln!("broken: {title}: {}", name(case));
                    broken.lock().expect("no panic under it").push(name(case));
                }
            }
        }
    };
    let threads = if is_full() {
        std::thread::available_parallelism().map_or(1, |threads| threads.get())
    } else {
        1
    };
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    let broken = broken.into_inner().expect("no panic under it");
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{title}: {} runs, {} broken promises, {seconds:.1} s",
        thousands(runs.into_inner() + broken.len()),
        broken.len()
    );
    assert!(broken.is_empty(), "{title}: {} broken: {:?}", broken.len(), broken.first());
}

/// A number as people write it.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
fn numbers_are_written_as_people_do() {
    assert_eq!([7, 999, 1000, 1_234_567].map(thousands), ["7", "999", "1,000", "1,234,567"]);
}

#[test]
fn a_sample_leaves_out_no_column() {
    let cases = sample((0..100).collect(), 3);
    assert!(cases.len() == 100 || (33..=34).contains(&cases.len()));
    for columns in [2, 5, 7] {
        let seen: std::collections::BTreeSet<_> = cases.iter().map(|case| case % columns).collect();
        assert_eq!(seen.len(), columns);
    }
}
