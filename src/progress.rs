//! Telling somebody how far a long piece of work has come.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How far opening or looking at a store has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Steps of it that are done.
    pub done: u64,
    /// Steps of it in all.
    pub total: u64,
}

/// What a store, or who looks at one, is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Looking at each segment: its table of contents, or all of it where there is none.
    Segments,
    /// Rewriting the records of a segment that was in use when the process died.
    Tail,
    /// Filling the index from the tables of contents.
    Index,
    /// Reading all of each segment.
    Verify,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Segments => "looking at segments",
            Self::Tail => "rewriting the tail",
            Self::Index => "filling the index",
            Self::Verify => "reading segments",
        })
    }
}

/// Whom to tell, if anybody.
#[derive(Clone, Default)]
pub(crate) struct Observer {
    told: Option<Arc<Told>>,
}

struct Told {
    call: Box<dyn Fn(Progress) + Send + Sync>,
    /// One that has panicked is not called again.
    panicked: AtomicBool,
}

impl Observer {
    pub(crate) fn new(call: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        let told = Told { call: Box::new(call), panicked: AtomicBool::new(false) };
        Self { told: Some(Arc::new(told)) }
    }

    /// Tells it. A panic of whoever is told ends there: nothing may depend on it.
    pub(crate) fn tell(&self, phase: Phase, done: usize, total: usize) {
        let Some(told) = self.told.as_ref().filter(|told| !told.panicked.load(Ordering::Relaxed))
        else {
            return;
        };
        let progress = Progress { phase, done: done as u64, total: total as u64 };
        if catch_unwind(AssertUnwindSafe(|| (told.call)(progress))).is_err() {
            told.panicked.store(true, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.told.is_some() { "Observer" } else { "nobody" })
    }
}
