//! Which calls fail, and how.
//!
//! Every call of a disk and of its files has a number, from 0 on, whatever it does. A test that has
//! counted the calls of a script once can fail each of them in turn.

use std::collections::BTreeMap;

/// What goes wrong with a call. A call it does not apply to passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Any call fails with EIO and changes nothing.
    Io,
    /// What takes space (a create, a zero fill, a write that grows the file) fails with ENOSPC and
    /// changes nothing.
    Full,
    /// An open or a create fails with EMFILE and changes nothing.
    TooManyFiles,
    /// A write or a zero fill does its first half, then fails with EIO.
    ShortWrite,
    /// A read returns half of the bytes that are there, as if the file ended in the middle of them,
    /// and no error.
    ShortRead,
    /// A write succeeds, and what it wrote lies 4096 bytes after the place it was for, or before it
    /// (by the call's number; after it, where there is nothing before it). What would lie past the
    /// file's end is lost: the file does not grow. The place it was for keeps its old bytes.
    Misdirected,
    /// A sync (of a file, of the directory, at the end of a zero fill) fails with EIO. What it was
    /// for can still be read, but no later sync makes it durable: what Linux does.
    FailedSync,
}

/// The faults that are to come. An empty plan lets everything pass.
///
/// Where several faults fall on one call, the machine being off comes first, then `fail_at`, then
/// `fail_from`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultPlan {
    once: BTreeMap<u64, Fault>,
    forever: Option<(u64, Fault)>,
    off: Option<u64>,
}

impl FaultPlan {
    /// A plan without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Fails the call of that number, once.
    pub fn fail_at(&mut self, call: u64, fault: Fault) -> &mut Self {
        self.once.insert(call, fault);
        self
    }

    /// Fails every call from that number on; replaces an earlier such fault.
    pub fn fail_from(&mut self, call: u64, fault: Fault) -> &mut Self {
        self.forever = Some((call, fault));
        self
    }

    /// Turns the machine off at that call: it and all later ones fail and change nothing.
    pub fn crash_at(&mut self, call: u64) -> &mut Self {
        self.off = Some(call);
        self
    }

    fn fault_of(&self, call: u64) -> Option<Fault> {
        if self.off.is_some_and(|off| off <= call) {
            return Some(Fault::Io);
        }
        let forever = self.forever.filter(|(from, _)| *from <= call).map(|(_, fault)| fault);
        self.once.get(&call).copied().or(forever)
    }
}

/// The plan and where in it the disk is.
#[derive(Debug, Default)]
pub(super) struct Faults {
    calls: u64,
    pub(super) plan: FaultPlan,
}

impl Faults {
    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    /// Counts a call; returns what is to go wrong with it.
    pub(super) fn next_call(&mut self) -> Option<Fault> {
        let fault = self.plan.fault_of(self.calls);
        self.calls += 1;
        fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_says_which_call_fails() {
        let mut faults = Faults::default();
        faults.plan.fail_at(1, Fault::Full).fail_at(4, Fault::Full);
        faults.plan.fail_from(3, Fault::FailedSync).crash_at(6);
        let seen: Vec<_> = (0..8).map(|_| faults.next_call()).collect();
        let (full, sync, io) = (Some(Fault::Full), Some(Fault::FailedSync), Some(Fault::Io));
        assert_eq!(seen, [None, full, None, sync, full, sync, io, io]);
        assert_eq!(faults.calls(), 8);
    }
}
