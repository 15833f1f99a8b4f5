//! Pieces of one task, shared among threads that end with it.
//!
//! With one worker the pieces are done in their order on the calling thread, and nothing is
//! started: a simulated run stays a function of its seed. With several the order is any, but
//! results come in the order of the pieces, and of several errors the first piece's.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// More would wait for memory.
const MAX_WORKERS: usize = 4;

/// How many threads may work at one time, if there may be any.
pub(super) fn workers(threads: bool) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // Threads of the machine have no place in a schedule of shuttle's.
    if threads && !cfg!(oncekey_shuttle) { cores.min(MAX_WORKERS) } else { 1 }
}

/// Does the pieces `0..pieces` on at most `workers` threads, each with a state of its own; returns
/// the states and what came of each piece. After an error no further piece is begun.
pub(super) fn share<S: Send, T: Send>(
    workers: usize,
    pieces: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> Result<T> + Sync,
) -> Result<(Vec<S>, Vec<T>)> {
    let tasks = Tasks { pieces, next: AtomicUsize::new(0), failed: AtomicBool::new(false) };
    let run = || tasks.run(state(), &work);
    let workers = workers.min(pieces);
    let ends = if workers <= 1 {
        vec![run()]
    } else {
        std::thread::scope(|scope| {
            // A thread that cannot be had leaves its pieces to the others.
            let start = |_| std::thread::Builder::new().spawn_scoped(scope, run).ok();
            let started: Vec<_> = (1..workers).filter_map(start).collect();
            let own = run();
            let panicked = |_| Error::new(ErrorKind::Io, "a thread that opened a store panicked");
            let ends = started.into_iter().map(|thread| thread.join().map_err(panicked));
            std::iter::once(Ok(own)).chain(ends).collect::<Result<Vec<_>>>()
        })?
    };
    let (states, done): (Vec<S>, Vec<Done<T>>) = ends.into_iter().unzip();
    let mut done: Done<T> = done.into_iter().flatten().collect();
    done.sort_unstable_by_key(|(piece, _)| *piece);
    let done = done.into_iter().map(|(_, result)| result).collect::<Result<Vec<T>>>()?;
    Ok((states, done))
}

/// What came of pieces, each with its number.
type Done<T> = Vec<(usize, Result<T>)>;

struct Tasks {
    pieces: usize,
    /// The first piece that nobody has taken.
    next: AtomicUsize,
    failed: AtomicBool,
}

impl Tasks {
    /// One thread's work.
    fn run<S, T>(&self, mut state: S, work: impl Fn(&mut S, usize) -> Result<T>) -> (S, Done<T>) {
        let mut done = Vec::new();
        while !self.failed.load(Ordering::Relaxed) {
            let piece = self.next.fetch_add(1, Ordering::Relaxed);
            if piece >= self.pieces {
                break;
            }
            let result = work(&mut state, piece);
            if result.is_err() {
                self.failed.store(true, Ordering::Relaxed);
            }
            done.push((piece, result));
        }
        (state, done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_piece_is_done_once_and_results_come_in_their_order() {
        for (workers, pieces) in [(1, 0), (1, 5), (2, 1), (2, 100), (4, 3), (4, 1000)] {
            let (states, done) = share(workers, pieces, Vec::new, |own, piece| {
                own.push(piece);
                Ok(piece * 2)
            })
            .unwrap();
            assert!(states.len() <= workers);
            let mut all: Vec<usize> = states.into_iter().flatten().collect();
            all.sort_unstable();
            assert_eq!(all, (0..pieces).collect::<Vec<_>>());
            assert_eq!(done, (0..pieces).map(|piece| piece * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn one_worker_goes_in_order_on_the_calling_thread_and_stops_at_an_error() {
        let (own, seen) = (std::thread::current().id(), parking_lot::Mutex::new(Vec::new()));
        let failed = share(
            1,
            9,
            || (),
            |(), piece| {
                assert_eq!(std::thread::current().id(), own);
                seen.lock().push(piece);
                if piece == 3 { Err(Error::new(ErrorKind::Corrupt, "third")) } else { Ok(()) }
            },
        );
        assert_eq!(failed.unwrap_err().to_string(), "third");
        assert_eq!(*seen.lock(), [0, 1, 2, 3]);
    }

    #[test]
    fn a_panic_of_a_thread_is_an_error_and_not_a_result_that_is_missing() {
        let (own, both) = (std::thread::current().id(), std::sync::Barrier::new(2));
        let failed = share(
            2,
            2,
            || (),
            |(), _| {
                both.wait();
                assert_eq!(std::thread::current().id(), own, "on purpose");
                Ok(())
            },
        );
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Io);
    }
}
