//! Who asked, compared with who had asked before.
//!
//! Parts are kept as the marks of their labels, which is all that is known of some: what is taken
//! for the same wrongly is one in 65,536.

use super::reason::{Reason, Reasons};
use super::rules::Rules;
use crate::audit::{Context, Label};

/// The parts of a [`Context`] that are compared; zero is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Party {
    client: u16,
    network: u16,
    agent: u16,
}

impl Party {
    pub(super) const NONE: Self = Self { client: 0, network: 0, agent: 0 };

    pub(super) fn of(context: &Context) -> Self {
        let mark = |label: Option<Label>| label.map_or(0, Label::mark);
        Self {
            client: mark(context.client),
            network: mark(context.network),
            agent: mark(context.agent),
        }
    }
}

/// How a caller compares with the holder, and with the last honest try.
#[derive(Debug, Clone, Copy)]
pub(super) struct Comparison {
    client: Part,
    network: Part,
    agent: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Unknown,
    Same,
    Other,
}

impl Part {
    /// A part that the holder gave and the caller does not is another one: the same program would
    /// have given it again.
    fn of(caller: u16, holder: u16, last: u16) -> Self {
        if holder == 0 && last == 0 {
            Self::Unknown
        } else if caller == holder || (caller != 0 && caller == last) {
            Self::Same
        } else {
            Self::Other
        }
    }
}

impl Comparison {
    pub(super) fn new(caller: &Party, holder: &Party, last: &Party) -> Self {
        Self {
            client: Part::of(caller.client, holder.client, last.client),
            network: Part::of(caller.network, holder.network, last.network),
            agent: Part::of(caller.agent, holder.agent, last.agent),
        }
    }

    pub(super) fn is_other(&self) -> bool {
        [self.client, self.network, self.agent].contains(&Part::Other)
    }

    /// Whether the network is all that differs.
    pub(super) fn is_other_network_alone(&self) -> bool {
        self.network == Part::Other && self.client != Part::Other && self.agent != Part::Other
    }

    /// Whether it may be the same client elsewhere, or its next version.
    pub(super) fn may_be_same_client(&self) -> bool {
        self.client != Part::Other
    }

    pub(super) fn is_unknown(&self) -> bool {
        [self.client, self.network, self.agent].iter().all(|part| *part == Part::Unknown)
    }

    pub(super) fn points(&self, rules: &Rules) -> u32 {
        let points = |part, points| if part == Part::Other { points } else { 0 };
        points(self.client, rules.client_points)
            .saturating_add(points(self.agent, rules.agent_points))
            .saturating_add(points(self.network, rules.network_points))
    }

    pub(super) fn add_reasons(&self, reasons: &mut Reasons) {
        reasons.add_if(self.is_unknown(), Reason::PartyUnknown);
        reasons.add_if(!self.is_unknown() && !self.is_other(), Reason::SameParty);
        reasons.add_if(self.client == Part::Other, Reason::OtherClient);
        reasons.add_if(self.network == Part::Other, Reason::OtherNetwork);
        reasons.add_if(self.agent == Part::Other, Reason::OtherAgent);
    }
}
