//! Which claims were in flight: the newest restatement, and every frame after it.
//!
//! Claims are believed from the newest valid restatement on and from nowhere else, so that a claim
//! frame in an old segment cannot come back after its completion has expired with a younger one.

use hashbrown::HashTable;

use crate::audit::{Digest, Seen};
use crate::engine::batch::Ticket;
use crate::engine::flight::{Flight, State};
use crate::ids::{KeyHash, StoreTime, Token};
use crate::log::{ClaimFrame, ClaimState, Frame};
use crate::types::{Checkpoint, DropPolicy, Fingerprint, Key, Scope};

/// The claims in flight, at most one a key, as frames say them: most of them have ended before a
/// flight need be made of them.
#[derive(Debug, Default)]
pub(crate) struct Claims<'a> {
    by_token: HashTable<(KeyHash, ClaimFrame<'a>)>,
    /// The token of each of those, by its key.
    by_key: HashTable<(KeyHash, Token)>,
}

/// What a token is found by: tokens follow one another.
const fn spread(token: Token) -> u64 {
    token.0.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl<'a> Claims<'a> {
    /// Takes in the next frame of the log, with the hash of the key that it names, if it names
    /// one.
    pub(crate) fn apply(&mut self, frame: &Frame<'a>, hash: Option<KeyHash>) {
        match (frame, hash) {
            (Frame::Claim(claim), Some(hash)) => self.claim(claim, hash),
            (Frame::Completion(done), Some(hash)) => {
                if self.find(hash, done.scope, done.key).is_some_and(|known| known <= done.token) {
                    self.remove_key(hash, done.scope, done.key);
                }
            }
            (Frame::Release { token }, _) => {
                if let Some((hash, claim)) = self.by_token(*token).copied() {
                    self.remove_key(hash, claim.scope, claim.key);
                }
            }
            (Frame::Unresolved { token, since }, _) => {
                if let Some((_, claim)) = self.by_token(*token) {
                    claim.state = ClaimState::Unresolved { since: *since };
                }
            }
            (Frame::Checkpoint { token, name, data }, _) => {
                if let Some((_, claim)) = self.by_token(*token) {
                    claim.checkpoint = Some((name, data));
                }
            }
            (Frame::Forget(_) | Frame::Claim(_) | Frame::Completion(_), _) => {}
        }
    }

    /// The newest claim of a key counts; a restated one may be older than what follows it, never
    /// newer.
    fn claim(&mut self, claim: &ClaimFrame<'a>, hash: KeyHash) {
        match self.find(hash, claim.scope, claim.key) {
            Some(known) if known > claim.token => return,
            Some(_) => self.remove_key(hash, claim.scope, claim.key),
            None => {}
        }
        self.insert(hash, *claim);
    }

    /// The hashes of the keys that are claimed.
    pub(super) fn hashes(&self) -> HashTable<KeyHash> {
        let mut hashes = HashTable::with_capacity(self.by_key.len());
        for (hash, _) in &self.by_key {
            hashes.insert_unique(hash.0, *hash, |hash| hash.0);
        }
        hashes
    }

    pub(super) fn has_token(&self, token: Token) -> bool {
        self.by_token.find(spread(token), |(_, claim)| claim.token == token).is_some()
    }

    /// Takes in claims of other keys than those of these hashes, which are all that it has.
    pub(super) fn absorb(&mut self, others: Self, own: &HashTable<KeyHash>) {
        for (hash, claim) in others.by_token {
            if own.find(hash.0, |known| *known == hash).is_none() {
                self.insert(hash, claim);
            }
        }
    }

    fn insert(&mut self, hash: KeyHash, claim: ClaimFrame<'a>) {
        let token = claim.token;
        self.by_token.insert_unique(spread(token), (hash, claim), |(_, c)| spread(c.token));
        self.by_key.insert_unique(hash.0, (hash, token), |(hash, _)| hash.0);
    }

    fn by_token(&mut self, token: Token) -> Option<&mut (KeyHash, ClaimFrame<'a>)> {
        self.by_token.find_mut(spread(token), |(_, claim)| claim.token == token)
    }

    /// The token of a key's claim.
    fn find(&self, hash: KeyHash, scope: &[u8], key: &[u8]) -> Option<Token> {
        let is_ours =
            |known: &(KeyHash, _)| known.0 == hash && is_of(&self.by_token, known, scope, key);
        let found = self.by_key.find(hash.0, is_ours);
        found.map(|(_, token)| *token)
    }

    fn remove_key(&mut self, hash: KeyHash, scope: &[u8], key: &[u8]) {
        let is_ours =
            |known: &(KeyHash, _)| known.0 == hash && is_of(&self.by_token, known, scope, key);
        let Ok(entry) = self.by_key.find_entry(hash.0, is_ours) else { return };
        let ((_, token), _) = entry.remove();
        let claim = self.by_token.find_entry(spread(token), |(_, claim)| claim.token == token);
        if let Ok(entry) = claim {
            entry.remove();
        }
    }

    /// The claims as the log left them, in the order of their tokens: what follows from them is the
    /// same on every run. Those whose names cannot be are none.
    pub(crate) fn into_flights(self) -> Vec<Flight> {
        let flight = |(hash, claim): (KeyHash, ClaimFrame<'_>)| {
            let (scope, key) = (Scope::from_bytes(claim.scope), Key::from_bytes(claim.key));
            Some(flight_of(&claim, (scope.ok()?, key.ok()?), hash))
        };
        let mut flights: Vec<Flight> = self.by_token.into_iter().filter_map(flight).collect();
        flights.sort_unstable_by_key(|flight| flight.token);
        flights
    }
}

/// Whether a claim, known by its key, is of this key: hashes may be equal.
fn is_of(
    by_token: &HashTable<(KeyHash, ClaimFrame<'_>)>,
    (_, token): &(KeyHash, Token),
    scope: &[u8],
    key: &[u8],
) -> bool {
    let claim = by_token.find(spread(*token), |(_, claim)| claim.token == *token);
    claim.is_some_and(|(_, claim)| claim.scope == scope && claim.key == key)
}

/// Claims without an owner: their process is gone. One that must not run twice becomes unresolved;
/// returns their tokens.
pub(super) fn make_ownerless(flights: &mut [Flight], now: StoreTime) -> Vec<Token> {
    let mut unresolved = Vec::new();
    for flight in flights {
        if matches!(flight.state, State::Held { .. }) {
            if flight.policy == DropPolicy::Unresolved {
                unresolved.push(flight.token);
            }
            flight.state = match flight.policy {
                DropPolicy::Unresolved => State::Unresolved { since: now },
                DropPolicy::Hold | DropPolicy::Release => State::Abandoned { at: now },
            };
        }
    }
    unresolved
}

fn flight_of(claim: &ClaimFrame<'_>, name: (Scope, Key), hash: KeyHash) -> Flight {
    Flight {
        hash,
        scope: name.0,
        key: name.1,
        fingerprint: Fingerprint::from_bytes(*claim.fingerprint),
        token: claim.token,
        attempt: claim.attempt,
        claimed_at: claim.claimed_at,
        ttl_ms: claim.ttl_ms,
        policy: DropPolicy::from_byte(claim.policy),
        state: match claim.state {
            ClaimState::Held => State::Held { until_ms: None, dropped: true },
            ClaimState::Abandoned { at } => State::Abandoned { at },
            ClaimState::Unresolved { since } => State::Unresolved { since },
        },
        checkpoint: claim.checkpoint.map(|(name, data)| Checkpoint::from_disk(name, data)),
        seen: Seen::default(),
        caller: None,
        digest: claim.caller.as_ref().map(Digest::from_bytes),
        owner: None,
        ticket: Ticket::DONE,
        replaces: None,
        ended: None,
    }
}
