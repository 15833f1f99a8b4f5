//! The keys that were seen last, and who executed them: what no single store can know.
//!
//! Memory is bounded: the key that was first seen longest ago goes first, and of a key only so many
//! executions are kept. Keys are compared by their hash and the secret it was made with.

use std::collections::{HashMap, VecDeque};

use crate::audit::{Event, EventId, EventKind, Label};
use crate::ids::{StoreTime, Token};

/// So many executions of a key are kept, and of one store, the last ones. Which these are does not
/// depend on the order in which they are told.
const MAX_EXECUTIONS: usize = 16;
const MAX_OF_A_STORE: usize = 4;

/// Which key: the secret that its hash was made with, and the hash.
pub(super) type KeyName = (u64, u64);

/// How a claim ended. Of two ends the later one counts: a holder whose claim was given up may still
/// have completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// Its holder let go, and nobody knows whether it had executed.
    Dropped,
    /// It was left with its effect unknown.
    Unresolved,
    /// It was left with its effect unknown, and somebody settled that.
    Resolved,
    /// It was given back: it has executed nothing, says its holder.
    Released,
    /// It was executed.
    Completed,
}

impl Ending {
    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Unresolved => "unresolved",
            Self::Resolved => "resolved",
            Self::Released => "released",
            Self::Completed => "completed",
        }
    }
}

/// One claim of a key, with what became of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claimed {
    /// The producer that claimed it, or the first that told of it, by its number in the merge.
    pub(super) head: u32,
    pub(super) boot: u64,
    /// A number for the store.
    pub(super) store: u32,
    pub(super) token: Token,
    pub(super) claimed: Option<(StoreTime, EventId)>,
    pub(super) ended: Option<(Ending, StoreTime)>,
    pub(super) operation: Option<Label>,
    pub(super) replays: u32,
    /// The last opening that replayed it.
    pub(super) replayed_in: Option<(u64, u32)>,
}

/// What is known of a key.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) scope: Option<Label>,
    pub(super) first: Option<Claimed>,
    pub(super) others: Vec<Claimed>,
    /// Whether there were more executions than are kept.
    pub(super) is_cut: bool,
}

impl Known {
    pub(super) fn claims(&self) -> impl Iterator<Item = &Claimed> + Clone {
        self.first.iter().chain(&self.others)
    }

    fn of(&mut self, store: u32, token: Token) -> Option<&mut Claimed> {
        let found = self.first.iter_mut().chain(&mut self.others);
        found.into_iter().find(|claim| claim.store == store && claim.token == token)
    }

    fn add(&mut self, claim: Claimed) {
        let of_store = self.claims().filter(|known| known.store == claim.store).count();
        if of_store >= MAX_OF_A_STORE {
            self.is_cut = true;
            let known = self.first.iter_mut().chain(&mut self.others);
            let oldest = known.filter(|known| known.store == claim.store).min_by_key(|k| k.token);
            if let Some(oldest) = oldest.filter(|oldest| oldest.token < claim.token) {
                *oldest = claim;
            }
        } else if self.first.is_none() {
            self.first = Some(claim);
        } else if self.others.len() + 1 < MAX_EXECUTIONS {
            self.others.push(claim);
        } else {
            self.is_cut = true;
        }
    }

    /// Takes an event of a producer; says whether there is anything to compare.
    pub(super) fn observe(&mut self, event: &Event, head: u32, store: u32) -> bool {
        self.scope = self.scope.or(event.scope);
        let Some(token) = event.token else { return false };
        let ending = match event.kind {
            EventKind::Claimed | EventKind::TakenOver | EventKind::LateRetry => None,
            EventKind::Completed => Some(Ending::Completed),
            EventKind::Released => Some(Ending::Released),
            EventKind::LeftUnresolved => Some(Ending::Unresolved),
            EventKind::Resolved => Some(Ending::Resolved),
            EventKind::Dropped => Some(Ending::Dropped),
            // There was a record, so it had been executed.
            EventKind::Replayed => Some(Ending::Completed),
            _ => return false,
        };
        if self.of(store, token).is_none() {
            self.add(Claimed {
                head,
                boot: event.id.boot,
                store,
                token,
                claimed: None,
                ended: None,
                operation: None,
                replays: 0,
                replayed_in: None,
            });
        }
        let Some(claim) = self.of(store, token) else { return false };
        if claim.claimed.is_none() && event.id.boot < claim.boot {
            (claim.head, claim.boot) = (head, event.id.boot);
        }
        if event.kind == EventKind::Replayed {
            claim.replays = claim.replays.saturating_add(1);
            claim.replayed_in = claim.replayed_in.max(Some((event.id.boot, head)));
            let at = StoreTime(event.at.0.saturating_sub(event.age_ms.unwrap_or_default()));
            if claim.ended.is_none_or(|(ending, _)| ending < Ending::Completed) {
                claim.ended = Some((Ending::Completed, at));
            }
        } else {
            claim.operation = claim.operation.or(event.operation);
            match ending {
                None => {
                    claim.claimed = Some((event.at, event.id));
                    (claim.head, claim.boot) = (head, event.id.boot);
                }
                Some(ending) if claim.ended.is_none_or(|(known, _)| known <= ending) => {
                    claim.ended = Some((ending, event.at));
                }
                Some(_) => {}
            }
        }
        self.is_comparable()
    }

    /// Whether there can be anything to find.
    fn is_comparable(&self) -> bool {
        !self.others.is_empty() || self.first.is_some_and(|first| first.replayed_in.is_some())
    }
}

/// The keys, and in which order they came.
#[derive(Debug)]
pub(super) struct Keys {
    known: HashMap<KeyName, Known>,
    order: VecDeque<KeyName>,
    max_keys: usize,
    /// Keys that went to make room.
    pub(super) forgotten: u64,
}

impl Keys {
    pub(super) fn new(max_keys: usize) -> Self {
        Self { known: HashMap::new(), order: VecDeque::new(), max_keys, forgotten: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Takes an event; gives back what is known of its key if there is anything to compare.
    pub(super) fn observe(
        &mut self,
        key: KeyName,
        event: &Event,
        head: u32,
        store: u32,
    ) -> Option<&Known> {
        let known = self.known.entry(key).or_insert_with(|| {
            self.order.push_back(key);
            Known::default()
        });
        known.observe(event, head, store).then_some(&*known)
    }

    /// The key that goes to make room, if there are too many.
    pub(super) fn oldest_surplus(&mut self) -> Option<(KeyName, Known)> {
        if self.order.len() <= self.max_keys {
            return None;
        }
        let key = self.order.pop_front()?;
        self.forgotten += 1;
        Some((key, self.known.remove(&key)?))
    }

    pub(super) fn get(&self, key: KeyName) -> Option<&Known> {
        self.known.get(&key)
    }

    /// The keys of which there can be anything to find.
    pub(super) fn comparable(&self) -> impl Iterator<Item = (KeyName, &Known)> {
        let comparable = self.known.iter().filter(|(_, known)| known.is_comparable());
        comparable.map(|(key, known)| (*key, known))
    }
}
