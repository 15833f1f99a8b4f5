//! Whether the process that owns a store runs.
//!
//! The lock cannot be asked without taking it, and taking it could keep the owner from opening. The
//! process id in the manifest is a hint that is good enough for words: it may have been given to
//! another process since, and a process in another container cannot be seen.

use std::fmt;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::log::Manifest;

/// Who has the store open, as far as can be told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Owner {
    /// Nobody: it was closed cleanly, or never opened.
    Nobody,
    /// The process of this id, which runs.
    Running(u32),
    /// The process of this id had it and does not run any more (or not where it can be seen).
    Gone(u32),
}

/// How it is found out whether a process runs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Liveness {
    /// By asking the system.
    Ask,
    /// It is known: the world is a simulated one.
    #[cfg(any(test, feature = "simulation"))]
    Known(bool),
}

impl Liveness {
    pub(super) fn owner(self, manifest: &Manifest) -> Owner {
        let pid = manifest.owner_pid;
        if manifest.clean {
            Owner::Nobody
        } else if self.runs(pid) {
            Owner::Running(pid)
        } else {
            Owner::Gone(pid)
        }
    }

    fn runs(self, pid: u32) -> bool {
        match self {
            Self::Ask => {
                let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
                    return false;
                };
                matches!(test_kill_process(pid), Ok(()) | Err(Errno::PERM))
            }
            #[cfg(any(test, feature = "simulation"))]
            Self::Known(runs) => runs,
        }
    }
}

impl Owner {
    /// Whether the store is in use.
    #[must_use]
    pub fn is_running(self) -> bool {
        matches!(self, Self::Running(_))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("nobody (closed cleanly)"),
            Self::Running(pid) => write!(f, "process {pid}, running"),
            Self::Gone(pid) => write!(f, "process {pid}, gone without closing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_is_told_from_none() {
        assert!(Liveness::Ask.runs(std::process::id()));
        assert!(!Liveness::Ask.runs(0));
        assert!(!Liveness::Ask.runs(u32::MAX));
    }
}
