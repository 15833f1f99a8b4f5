//! What a check came to, told so that a person can see why.

use std::fmt;

use super::history::Operation;
use super::recorder::CallId;
use super::spec::State;

/// Whether a history can be explained.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    Linearizable,
    /// No order of this key's calls is one that the model allows.
    NotLinearizable {
        key: u32,
        why: Box<Counterexample>,
    },
    /// The later claim has a lower token than one that had returned before.
    TokenFell {
        earlier: Box<Operation>,
        later: Box<Operation>,
    },
    /// The bound on work was met, at this key; nothing wrong was found until then.
    GaveUp {
        key: u32,
    },
}

impl Verdict {
    pub(crate) fn is_linearizable(&self) -> bool {
        matches!(self, Self::Linearizable)
    }

    /// Whether something wrong was found.
    pub(crate) fn is_wrong(&self) -> bool {
        matches!(self, Self::NotLinearizable { .. } | Self::TokenFell { .. })
    }

    /// Panics with the explanation unless the history can be explained.
    #[track_caller]
    pub(crate) fn assert_linearizable(&self) {
        assert!(self.is_linearizable(), "{self}");
    }
}

/// How far the search came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counterexample {
    /// How many calls had to be placed.
    pub(crate) known: usize,
    /// The longest order that the model allows.
    pub(crate) placed: Vec<Operation>,
    /// What that order leaves.
    pub(crate) state: Option<State>,
    /// The calls of which one would have to come next, and none can.
    pub(crate) stuck: Vec<Operation>,
}

/// How many of the calls that were placed are shown.
const SHOWN: usize = 12;

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linearizable => f.write_str("linearizable"),
            Self::NotLinearizable { key, why } => {
                write!(f, "key {key} is not linearizable: {why}")
            }
            Self::TokenFell { earlier, later } => {
                write!(f, "a token that does not rise:\n  {earlier}\nreturned before\n  {later}")
            }
            Self::GaveUp { key } => write!(f, "gave up: too much work for key {key}"),
        }
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {} calls can be placed, at most", self.placed.len(), self.known)?;
        let hidden = self.placed.len().saturating_sub(SHOWN);
        if hidden > 0 {
            writeln!(f, "  ({hidden} more before)")?;
        }
        self.placed.iter().skip(hidden).try_for_each(|operation| writeln!(f, "  {operation}"))?;
        if let Some(state) = &self.state {
            writeln!(f, "which leaves, at {} ms or later, {:?}", state.at_ms, state.phase)?;
        }
        writeln!(f, "and next would have to come one of")?;
        self.stuck.iter().try_for_each(|operation| writeln!(f, "  {operation}"))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |number: u64| match number {
            u64::MAX => "end".to_owned(),
            number => number.to_string(),
        };
        if self.id != CallId::NONE {
            write!(f, "process {} ", self.id.process)?;
        }
        let (returned, to_ms) = (end(self.returned), end(self.to_ms));
        write!(f, "[{}..{returned}, {}..{to_ms} ms] ", self.invoked, self.from_ms)?;
        write!(f, "{:?} -> ", self.call)?;
        match &self.response {
            Some(response) => write!(f, "{response:?}"),
            None => f.write_str("unknown"),
        }
    }
}
