//! A directory in memory that loses, tears and refuses what a real one could.
//!
//! Invariants:
//! - Reads see every write at once (the page cache); a power cut leaves only what was synced and
//!   whatever part of the rest [`SimDisk::crash`] is told to leave.
//! - A file's bytes and its name become durable apart: `sync` is for the one, `sync_dir` for the
//!   other. Nothing is durable by accident, or a missing sync would go unnoticed.
//! - It is deterministic: the same calls and the same seed leave the same bytes.
//!
//! | file | what |
//! | --- | --- |
//! | `calls.rs` | what each call was for |
//! | `content.rs` | bytes that copies share |
//! | `inode.rs` | a file's bytes: seen, durable, and the changes between |
//! | `directory.rs` | the names, in the same three parts |
//! | `state.rs` | all of a disk, and what each call does to it |
//! | `faults.rs` | which calls fail, and how |
//! | `crash.rs` | what a power cut leaves |
//! | `handles.rs` | the [`Disk`](super::Disk), its files and its lock, on top |
//!
//! It has no threads, no delays and no blocks: a call takes no time, and a file takes its length.

mod calls;
mod content;
mod crash;
mod directory;
mod faults;
mod handles;
mod inode;
mod rng;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

pub use calls::{CallKind, SimCall};
pub use crash::Survival;
pub use faults::{Fault, FaultPlan};
pub use state::SimCounters;

use super::Disk;
use crate::sync::Mutex;
use state::State;

/// A simulated disk, shared by the store under test and the test that hurts it.
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// Disks of their own, so that a fault or a crash is of one of them.
    directories: Mutex<BTreeMap<String, Arc<dyn Disk>>>,
}

impl SimDisk {
    /// An empty directory on a disk without end.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::from_state(State::new())
    }

    fn from_state(state: State) -> Arc<Self> {
        Arc::new(Self { state: Arc::new(Mutex::new(state)), directories: Mutex::default() })
    }

    /// The disk as it is found after the process died or the power went. This one and its handles
    /// go on, as if nothing had been.
    ///
    /// The new disk has the same identity and capacity, no lock, no faults, and counts from zero.
    #[must_use]
    pub fn crash(&self, survival: Survival, seed: u64) -> Arc<Self> {
        Self::from_state(crash::survivor(&self.state.lock(), survival, seed))
    }

    /// A copy of the directory as reads see it, all of it durable, under another identity.
    #[must_use]
    pub fn copy(&self) -> Arc<Self> {
        Self::from_state(self.state.lock().copy())
    }

    /// How many calls this disk has had. The next call has this number.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state.lock().faults.calls()
    }

    /// Has this disk keep what its calls are for, from the next one on.
    pub fn record_calls(&self) {
        self.state.lock().recorded.get_or_insert_default();
    }

    /// The calls since [`record_calls`](Self::record_calls), in order; those that failed are among
    /// them.
    #[must_use]
    pub fn recorded_calls(&self) -> Vec<SimCall> {
        self.state.lock().recorded.clone().unwrap_or_default()
    }

    /// What this disk has done so far.
    #[must_use]
    pub fn counters(&self) -> SimCounters {
        self.state.lock().counters
    }

    /// Replaces the plan of faults.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.state.lock().faults.plan = plan;
    }

    /// The call of that number fails, once. A fault that does not apply to the call passes.
    pub fn fail_at(&self, call: u64, fault: Fault) {
        self.state.lock().faults.plan.fail_at(call, fault);
    }

    /// Every call from that number on fails, those the fault applies to.
    pub fn fail_from(&self, call: u64, fault: Fault) {
        self.state.lock().faults.plan.fail_from(call, fault);
    }

    /// The machine is off from that call on: every call fails with EIO and changes nothing.
    pub fn crash_at(&self, call: u64) {
        self.state.lock().faults.plan.crash_at(call);
    }

    /// Forgets all planned faults; a machine that is off is on again, as if it had only hung.
    pub fn clear_faults(&self) {
        self.set_faults(FaultPlan::new());
    }

    /// Limits the sum of the files' lengths. What grows past it fails with ENOSPC, part done.
    pub fn set_capacity(&self, bytes: u64) {
        self.state.lock().capacity = bytes;
    }

    /// Limits how many files may be open at a time; beyond it an open fails with EMFILE.
    pub fn set_max_open(&self, files: usize) {
        self.state.lock().max_open = files;
    }

    /// How many files are open.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.state.lock().inodes.values().map(|inode| inode.handles).sum()
    }

    /// Flips one bit (0 to 7) of a file, in what reads see and in what is durable: rot at rest.
    ///
    /// # Errors
    /// `NotFound` without such a file, `InvalidInput` without such a bit.
    pub fn flip_bit(&self, name: &str, offset: u64, bit: u8) -> io::Result<()> {
        self.state.lock().named(name)?.flip_bit(offset, bit)
    }

    /// Cuts a file to at most `len` bytes, in what reads see and in what is durable.
    ///
    /// # Errors
    /// `NotFound` without such a file.
    pub fn truncate_file(&self, name: &str, len: u64) -> io::Result<()> {
        self.state.lock().named(name)?.cut_at_rest(len);
        Ok(())
    }

    /// Puts a file there, durable in name and content, in place of one of that name. All earlier
    /// changes of the directory become durable with it.
    ///
    /// # Errors
    /// `InvalidInput` if the name is not one a file can have.
    pub fn put_file(&self, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        super::name::check(name)?;
        self.state.lock().put(name, &bytes);
        Ok(())
    }

    /// Puts a directory there: a disk of its own, with calls and faults of its own. What a crash
    /// or a copy of this disk leaves has no directories: they are put there again.
    pub fn put_directory(&self, name: &str, disk: Arc<dyn Disk>) {
        self.directories.lock().insert(name.to_owned(), disk);
    }

    /// A file's content as reads see it. Not counted as a call.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<Vec<u8>> {
        Some(self.state.lock().named(name).ok()?.seen().to_vec())
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the content: a failing test prints this.
        let state = self.state.lock();
        f.debug_struct("SimDisk")
            .field("identity", &state.identity)
            .field("calls", &state.faults.calls())
            .finish_non_exhaustive()
    }
}
