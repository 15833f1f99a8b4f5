//! Labelled traffic: events of stores that never were, with what each collision truly was.
//!
//! Requests are sent by imagined clients for reasons of their own (a policy, a double click, a
//! captured request), meet a small model of the store, and are labelled by those reasons. The
//! classifier's features play no part in it, and what no rule can tell is in it, too.
//!
//! The same seed gives the same events. Policies, and how long phones are away and attackers wait,
//! differ between the two [`Set`]s, so that what was tuned on one can be measured on the other.

mod actor;
mod dice;
mod episode;
mod keys;
mod people;
mod policy;
mod score;
#[cfg(test)]
mod tests;
mod world;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;

pub use self::score::Score;

use self::dice::Dice;
use self::episode::Director;
use super::{Event, EventId, EventKind, Verdict};
use crate::ids::Token;

/// Which policies and habits are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// What thresholds are chosen on.
    Tuning,
    /// What they are measured on.
    HeldOut,
}

impl Set {
    /// The two sets share no seed.
    const fn salt(self) -> u64 {
        match self {
            Self::Tuning => 0x7475_6e69_6e67,
            Self::HeldOut => 0x0068_656c_646f_7574,
        }
    }
}

/// Why a request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intent {
    /// Its sender had given up on the copy before.
    Retry,
    /// It was sent without waiting for another's copy; so is what a rival sends when it is refused.
    Duplicate,
    /// Another request was meant.
    Reuse,
    /// A captured request.
    Attack,
    /// A program that does not stop.
    Loop,
}

impl Intent {
    /// What a collision of this kind is, if the request was sent for this reason.
    const fn truth(self, kind: EventKind) -> Verdict {
        match (self, kind) {
            (Self::Attack, _) => Verdict::SuspiciousReplay,
            (Self::Loop, _) => Verdict::AutomationLoop,
            (Self::Reuse, _) => Verdict::KeyReuse,
            (_, EventKind::LateRetry | EventKind::Expired) => Verdict::LateRetry,
            // A copy that comes after the first has ended is an honest repeat.
            (Self::Duplicate, EventKind::InFlight | EventKind::Waited) => Verdict::Race,
            (Self::Retry | Self::Duplicate, _) => Verdict::LegitimateRetry,
        }
    }
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scenario {
    /// Nothing: one request, one answer.
    Plain,
    /// A request failed and its sender tried again.
    Retry,
    /// A person pressed again while nothing seemed to happen.
    Impatient,
    /// A person paid again after a while, with the same cart.
    PaidAgain,
    /// A person pressed twice.
    DoubleClick,
    /// Several workers had the same job, or a client hedged.
    Workers,
    /// A client's keys were not its requests'.
    Reuse,
    /// A captured request was sent again.
    Attack,
    /// A program did not stop.
    Loop,
    /// A holder was overtaken.
    Stuck,
    /// A retry came after the record had expired.
    Late,
}

impl Scenario {
    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Retry => "retry",
            Self::Impatient => "impatient",
            Self::PaidAgain => "paid_again",
            Self::DoubleClick => "double_click",
            Self::Workers => "workers",
            Self::Reuse => "reuse",
            Self::Attack => "attack",
            Self::Loop => "loop",
            Self::Stuck => "stuck",
            Self::Late => "late",
        }
    }

    fn draw(dice: &mut Dice) -> Self {
        dice.pick(&[
            (450.0, Self::Plain),
            (330.0, Self::Retry),
            (6.0, Self::Impatient),
            (30.0, Self::PaidAgain),
            (40.0, Self::DoubleClick),
            (40.0, Self::Workers),
            (50.0, Self::Reuse),
            (30.0, Self::Attack),
            (0.2, Self::Loop),
            (6.0, Self::Stuck),
            (15.0, Self::Late),
        ])
        .unwrap_or(Self::Plain)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An event with what it truly was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Labelled {
    /// The event.
    pub event: Event,
    /// What the collision truly was; `None` if it is none.
    pub truth: Option<Verdict>,
    /// What happened to the key.
    pub scenario: Scenario,
}

/// An event that waits for its turn.
#[derive(Debug)]
struct Waiting {
    at_ms: u64,
    key: u64,
    nth: usize,
    draft: world::Draft,
    scenario: Scenario,
    is_last: bool,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl Waiting {
    fn order(&self) -> (u64, u64, usize) {
        (self.at_ms, self.key, self.nth)
    }
}

/// An endless stream of labelled events, in the order of time.
///
/// ```
/// use oncekey::audit::synth::{Set, Synth};
///
/// let mut events = Synth::new(1, Set::Tuning);
/// let first = events.next().expect("it does not end");
/// assert_eq!(first.event.id.sequence, 0);
/// assert_eq!(first.truth, None, "the first claim of a key meets nobody");
/// ```
#[derive(Debug)]
pub struct Synth {
    director: Director,
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// When the next key is used.
    next_ms: u64,
    mean_pause_ms: f64,
    keys: u64,
    sequence: u64,
    token: u64,
    /// The tokens of the claims of keys whose events are not all told.
    tokens: HashMap<(u64, usize), u64>,
}

impl Synth {
    /// Events from a seed: a new key every half second, from 2026 on.
    #[must_use]
    pub fn new(seed: u64, set: Set) -> Self {
        Self {
            director: Director::new(seed, set),
            waiting: BinaryHeap::new(),
            next_ms: 1_767_225_600_000,
            mean_pause_ms: 500.0,
            keys: 0,
            sequence: 0,
            token: 0,
            tokens: HashMap::new(),
        }
    }

    /// With another mean time from one new key to the next.
    #[must_use]
    pub const fn mean_pause_ms(mut self, ms: f64) -> Self {
        self.mean_pause_ms = ms;
        self
    }

    fn play_one(&mut self) {
        let (scenario, drafts) = self.director.next(self.next_ms);
        let count = drafts.len();
        for (nth, draft) in drafts.into_iter().enumerate() {
            let at_ms = draft.event.at.as_millis();
            let is_last = nth + 1 == count;
            let key = self.keys;
            self.waiting.push(Reverse(Waiting { at_ms, key, nth, draft, scenario, is_last }));
        }
        self.keys += 1;
        self.next_ms += self.director.pause_ms(self.mean_pause_ms);
    }

    /// Gives an event its number and its token.
    fn number(&mut self, waiting: Waiting) -> Labelled {
        let mut event = waiting.draft.event;
        event.id = EventId::new(1, self.sequence);
        self.sequence += 1;
        if let Some(claim) = waiting.draft.claim {
            let token = self.tokens.entry((waiting.key, claim)).or_insert_with(|| {
                self.token += 1;
                self.token
            });
            event.token = Some(Token::new(*token));
        }
        if waiting.is_last {
            for claim in 0.. {
                if self.tokens.remove(&(waiting.key, claim)).is_none() {
                    break;
                }
            }
        }
        Labelled { event, truth: waiting.draft.truth, scenario: waiting.scenario }
    }
}

impl Iterator for Synth {
    type Item = Labelled;

    fn next(&mut self) -> Option<Labelled> {
        loop {
            let is_due = self.waiting.peek().is_some_and(|Reverse(w)| w.at_ms < self.next_ms);
            if is_due {
                let Reverse(waiting) = self.waiting.pop()?;
                return Some(self.number(waiting));
            }
            self.play_one();
        }
    }
}
