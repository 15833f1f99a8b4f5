//! The search for the moments: which order of one key's calls the model can explain.
//!
//! Wing and Gong's search (1993): of the calls that no other call must precede, one is tried next;
//! where none fits, the search goes back. Lowe's addition (2017): what calls were placed and the
//! state that they left are remembered, so that nothing is searched twice from there. Two more
//! things keep it short:
//!
//! - A look that leaves the state exactly as it is needs no alternative: in any order that begins
//!   like this one it can be moved here, for it only makes more of what is known. (Unless that ends
//!   the time of a call that nobody was told of.)
//! - Calls with unknown outcome are tried last. They need not be placed at all.
//!
//! What was placed is all calls up to a frontier but those that were skipped. Every process has at
//! most one call open, so there are few of these.

use std::collections::HashSet;

use super::history::{History, Operation, Response};
use super::spec::State;
use super::verdict::{Counterexample, Verdict};

/// How many states a key's search visits before it gives up: a key's operations are some hundreds,
/// and each is placed once or twice as a rule.
const WORK: usize = 1_000_000;

impl History {
    /// Whether the history can be explained.
    pub(crate) fn check(&self) -> Verdict {
        self.check_within(WORK)
    }

    /// The same, with at most so many states visited for each key.
    pub(crate) fn check_within(&self, work: usize) -> Verdict {
        if let Some((earlier, later)) = self.fallen_token() {
            return Verdict::TokenFell { earlier: Box::new(earlier), later: Box::new(later) };
        }
        let mut gave_up = None;
        for (key, operations) in &self.keys {
            match Search::new(operations).run(work) {
                Found::Order => {}
                Found::Nothing(why) => {
                    return Verdict::NotLinearizable { key: *key, why };
                }
                Found::TooMuch => gave_up = gave_up.or(Some(*key)),
            }
        }
        gave_up.map_or(Verdict::Linearizable, |key| Verdict::GaveUp { key })
    }

    /// Two claims, of whatever keys, of which the one that began after the other had returned has
    /// no higher token (promise 5).
    fn fallen_token(&self) -> Option<(Operation, Operation)> {
        let tokens = self.operations().filter_map(|operation| match operation.response {
            Some(Response::Claimed { token, .. }) => Some((token, *operation)),
            _ => None,
        });
        let mut by_invocation: Vec<_> = tokens.collect();
        let mut by_return = by_invocation.clone();
        by_invocation.sort_by_key(|(_, operation)| operation.invoked);
        by_return.sort_by_key(|(_, operation)| operation.returned);
        let mut returned = by_return.into_iter().peekable();
        let mut highest: Option<(u64, Operation)> = None;
        for (token, operation) in by_invocation {
            while let Some(before) = returned.next_if(|(_, o)| o.returned < operation.invoked) {
                highest = highest.filter(|(highest, _)| *highest > before.0).or(Some(before));
            }
            if let Some((_, earlier)) = highest.filter(|(highest, _)| *highest >= token) {
                return Some((earlier, operation));
            }
        }
        None
    }
}

/// What a search comes to.
enum Found {
    Order,
    Nothing(Box<Counterexample>),
    TooMuch,
}

/// Which calls were placed, and what they left.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    /// All before this one were placed...
    frontier: u32,
    /// ... but these, in order.
    skipped: Vec<u32>,
    state: State,
}

/// A place, the call that led to it, and the places that are still to be tried from it, last first.
struct Frame {
    chosen: u32,
    next: Vec<(u32, Place)>,
}

struct Search<'a> {
    operations: &'a [Operation],
    /// How many of them must be placed.
    known: usize,
    visited: HashSet<Place>,
    frames: Vec<Frame>,
    /// The longest order that was found, and what it left.
    best: Option<(Vec<u32>, Place)>,
    /// For use again.
    states: Vec<State>,
}

impl<'a> Search<'a> {
    fn new(operations: &'a [Operation]) -> Self {
        Self {
            operations,
            known: operations.iter().filter(|operation| operation.is_known()).count(),
            visited: HashSet::with_capacity(operations.len()),
            frames: Vec::with_capacity(operations.len()),
            best: None,
            states: Vec::new(),
        }
    }

    fn run(mut self, work: usize) -> Found {
        let state = State::new(self.operations);
        let mut place = Place { frontier: 0, skipped: Vec::new(), state };
        let mut chosen = u32::MAX;
        loop {
            if self.is_end(&place) {
                return Found::Order;
            }
            let next = self.continuations(&place);
            if next.is_empty() {
                self.note_dead_end(chosen, &place);
            }
            self.frames.push(Frame { chosen, next });
            (chosen, place) = match self.next_place() {
                Some(next) => next,
                None => return Found::Nothing(Box::new(self.counterexample())),
            };
            if self.visited.len() > work {
                return Found::TooMuch;
            }
        }
    }

    /// The next place that was not visited, going back as far as it takes.
    fn next_place(&mut self) -> Option<(u32, Place)> {
        while let Some(frame) = self.frames.last_mut() {
            match frame.next.pop() {
                Some((chosen, place)) => {
                    if self.visited.insert(place.clone()) {
                        return Some((chosen, place));
                    }
                }
                None => drop(self.frames.pop()),
            }
        }
        None
    }

    fn operation(&self, index: u32) -> &'a Operation {
        &self.operations[index as usize]
    }

    /// Whether all that must be placed is.
    fn is_end(&self, place: &Place) -> bool {
        let rest = &self.operations[place.frontier as usize..];
        let mut skipped = place.skipped.iter().map(|index| self.operation(*index));
        !rest.iter().any(Operation::is_known) && !skipped.any(Operation::is_known)
    }

    /// The calls that may come next: those that no other must precede.
    fn candidates(&self, place: &Place) -> Vec<u32> {
        let unknown_until = |index: u32| self.operation(index).returned;
        let skipped = place.skipped.iter().copied();
        let known = skipped.clone().filter(|index| self.operation(*index).is_known());
        let mut first_return = known.map(unknown_until).min().unwrap_or(u64::MAX);
        let mut candidates: Vec<u32> = skipped.collect();
        let rest = self.operations.iter().enumerate().skip(place.frontier as usize);
        for (index, operation) in rest {
            if operation.invoked > first_return {
                break;
            }
            candidates.push(u32::try_from(index).unwrap_or(u32::MAX));
            if operation.is_known() {
                first_return = first_return.min(operation.returned);
            }
        }
        candidates.retain(|index| self.operation(*index).invoked < first_return);
        candidates
    }

    /// Where the search can go from a place, the likeliest last.
    fn continuations(&mut self, place: &Place) -> Vec<(u32, Place)> {
        let mut known = Vec::new();
        let mut unknown = Vec::new();
        let mut states = std::mem::take(&mut self.states);
        let candidates = self.candidates(place);
        let operations = candidates.iter().map(|index| self.operation(*index));
        let ends = operations.filter(|operation| !operation.is_known()).map(|one| one.returned);
        let first_end = ends.min().unwrap_or(u64::MAX);
        for index in candidates {
            let operation = self.operation(index);
            place.state.after(operation, &mut states);
            while let Some(state) = states.pop() {
                let is_same = state == place.state;
                if is_same && operation.is_look() && operation.invoked < first_end {
                    states.clear();
                    self.states = states;
                    return vec![(index, self.advance(place, index, state))];
                }
                if operation.is_known() {
                    known.push((index, self.advance(place, index, state)));
                } else if !is_same {
                    // What need not be placed is placed only for what it changes.
                    unknown.push((index, self.advance(place, index, state)));
                }
            }
        }
        self.states = states;
        unknown.reverse();
        known.reverse();
        unknown.append(&mut known);
        unknown
    }

    /// The place behind a call.
    fn advance(&self, place: &Place, index: u32, state: State) -> Place {
        let mut skipped = Vec::with_capacity(place.skipped.len() + 1);
        skipped.extend(place.skipped.iter().copied().filter(|other| *other != index));
        let frontier = place.frontier.max(index + 1);
        skipped.extend(place.frontier..index.max(place.frontier));
        // What nobody was told of has no effect after its end.
        let reached = self.operation(frontier - 1).invoked;
        skipped.retain(|other| {
            let operation = self.operation(*other);
            operation.is_known() || operation.returned > reached
        });
        Place { frontier, skipped, state }
    }

    fn note_dead_end(&mut self, chosen: u32, place: &Place) {
        let length = self.frames.len();
        if self.best.as_ref().is_some_and(|(order, _)| order.len() >= length) {
            return;
        }
        let chosen_before = self.frames.iter().map(|frame| frame.chosen);
        let order = chosen_before.chain([chosen]).filter(|index| *index != u32::MAX);
        self.best = Some((order.collect(), place.clone()));
    }

    fn counterexample(&mut self) -> Counterexample {
        let Some((order, place)) = self.best.take() else {
            return Counterexample::default();
        };
        let stuck = self.candidates(&place).into_iter();
        Counterexample {
            known: self.known,
            placed: order.into_iter().map(|index| *self.operation(index)).collect(),
            stuck: stuck.map(|index| *self.operation(index)).collect(),
            state: Some(place.state),
        }
    }
}
