//! What a run was told, and what may therefore be found after a crash: one state for each key whose
//! last change was acknowledged, several for one whose fate is unknown.

use std::collections::BTreeMap;

use super::world::{key, request, scope};
use crate::{DropPolicy, Entry, ErrorKind, Outcome, Store};

/// A key, as the next process must find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    Free,
    /// Once it is let go it is free again at `until_ms` or later, where its policy is to hold.
    Held {
        attempt: u32,
        policy: DropPolicy,
        until_ms: u64,
    },
    Unresolved {
        attempt: u32,
    },
    Done {
        body: Vec<u8>,
        until_ms: u64,
    },
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    keys: BTreeMap<String, Vec<Known>>,
    /// What each key could be when all was last synced, and every change since.
    synced: BTreeMap<String, Vec<Known>>,
    since: Vec<(String, Known)>,
    /// What each key has been.
    ever: BTreeMap<String, Vec<Known>>,
    highest_token: u64,
}

impl Ledger {
    /// Notes that a change is under way: either state is fine until it is settled.
    pub(crate) fn perhaps(&mut self, name: &str, next: Known) {
        self.since.push((name.to_owned(), next.clone()));
        self.ever.entry(name.to_owned()).or_insert_with(|| vec![Known::Free]).push(next.clone());
        self.keys.entry(name.to_owned()).or_insert_with(|| vec![Known::Free]).push(next);
    }

    /// The newest change was acknowledged: nothing else may be found.
    pub(crate) fn surely(&mut self, name: &str) {
        let states = self.keys.get_mut(name).expect("a known key");
        states.drain(..states.len() - 1);
    }

    /// The newest change was refused.
    pub(crate) fn never(&mut self, name: &str) {
        self.keys.get_mut(name).expect("a known key").pop();
        if let Some(last) = self.since.iter().rposition(|(of, _)| of == name) {
            self.since.remove(last);
        }
    }

    /// Everything so far is on stable storage.
    pub(crate) fn synced(&mut self) {
        self.synced = self.keys.clone();
        self.since.clear();
    }

    pub(crate) fn last(&self, name: &str) -> Known {
        self.keys.get(name).and_then(|states| states.last()).cloned().unwrap_or(Known::Free)
    }

    /// Notes a token that was told; it must be higher than all before it.
    pub(crate) fn told_token(&mut self, token: u64) {
        assert!(token > self.highest_token, "token {token} after {}", self.highest_token);
        self.highest_token = token;
    }

    /// Checks a store that was just opened against all that was told; returns what was found.
    pub(crate) fn check(&self, store: &Store) -> Vec<(String, Known)> {
        let found = self.find(store);
        let now_ms = store.stats().store_time.as_millis();
        for ((name, is), states) in found.iter().zip(self.keys.values()) {
            let fits = states.iter().any(|state| matches(state, is, now_ms));
            assert!(fits, "{name} is {is:?}, and may be {states:?}");
        }
        found
    }

    /// The same where what was told since the last sync may be lost: each key is what it was then,
    /// or what it has been since.
    pub(crate) fn check_synced(&self, store: &Store) -> Vec<(String, Known)> {
        let found = self.find(store);
        let now_ms = store.stats().store_time.as_millis();
        let free = vec![Known::Free];
        for (name, is) in &found {
            let then = self.synced.get(name).unwrap_or(&free);
            let since = self.since.iter().filter(|(of, _)| of == name).map(|(_, state)| state);
            let mut states = then.iter().chain(since);
            assert!(
                states.any(|state| matches(state, is, now_ms)),
                "{name} is {is:?}, and was {then:?} at the last sync; since then {:?}",
                self.since
            );
        }
        found
    }

    /// The keys whose last change is gone from a store on a disk that lied. What cannot be read is
    /// no loss, since it is told; what was never so is a wrong answer.
    pub(crate) fn losses(&self, store: &Store) -> Vec<&str> {
        let now_ms = store.stats().store_time.as_millis();
        let mut lost = Vec::new();
        for (name, states) in &self.keys {
            let is = match store.get(&scope("acct"), &key(name)).wait() {
                Ok(entry) => known(entry),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}: {error}");
                    continue;
                }
            };
            let fits = |states: &[Known]| states.iter().any(|state| matches(state, &is, now_ms));
            assert!(fits(&self.ever[name]), "{name} is {is:?}, and never was");
            if !fits(states) {
                lost.push(name.as_str());
            }
        }
        lost
    }

    /// What a store that was just opened says of every key.
    pub(crate) fn find(&self, store: &Store) -> Vec<(String, Known)> {
        let report = store.recovery();
        assert!(report.damage.is_empty(), "damage without a fault: {:?}", report.damage);
        self.keys.keys().map(|name| (name.clone(), look(store, name))).collect()
    }

    /// Claims every key: what the next claimants are told must follow from what was found.
    pub(crate) fn check_claims(&self, store: &Store, found: &[(String, Known)]) {
        for (name, known) in found {
            let outcome = store.claim(request(name)).wait().expect("an outcome");
            match (known, outcome) {
                (Known::Free, Outcome::Claimed(claim)) => self.check_claim(&claim, 1),
                (Known::Held { attempt, .. }, Outcome::Claimed(claim)) => {
                    self.check_claim(&claim, attempt + 1);
                }
                (Known::Unresolved { attempt }, Outcome::Unresolved(held)) => {
                    assert_eq!(held.attempt(), *attempt);
                }
                (Known::Done { body, .. }, Outcome::Replay(record)) => {
                    assert_eq!(record.response().body(), body, "{name}: other bytes");
                }
                (known, outcome) => panic!("{name} was {known:?} and is told {outcome:?}"),
            }
        }
    }

    fn check_claim(&self, claim: &crate::Claim, attempt: u32) {
        assert_eq!(claim.attempt(), attempt, "{claim:?}");
        assert!(claim.token().get() > self.highest_token, "{claim:?}: {}", self.highest_token);
    }
}

/// A key of a store that was just opened.
fn look(store: &Store, name: &str) -> Known {
    known(store.get(&scope("acct"), &key(name)).wait().expect("a look"))
}

fn known(entry: Option<Entry>) -> Known {
    match entry {
        None => Known::Free,
        Some(Entry::Completed(record)) => Known::Done {
            body: record.response().body().to_vec(),
            until_ms: record.expires_at().as_millis(),
        },
        Some(Entry::InFlight { attempt, .. }) => held(attempt),
        Some(Entry::Unresolved(held)) => Known::Unresolved { attempt: held.attempt() },
    }
}

/// A claim, as it is found: its policy and its time do not show.
fn held(attempt: u32) -> Known {
    Known::Held { attempt, policy: DropPolicy::Hold, until_ms: 0 }
}

/// Whether a key that was left in `state` may be found as `is` by the next process.
fn matches(state: &Known, is: &Known, now_ms: u64) -> bool {
    match state {
        Known::Done { until_ms, .. } if *until_ms <= now_ms => *is == Known::Free,
        Known::Held { attempt, policy: DropPolicy::Unresolved, .. } => {
            *is == Known::Unresolved { attempt: *attempt }
        }
        Known::Held { attempt, until_ms, .. } => {
            *is == held(*attempt) || (*until_ms <= now_ms && *is == Known::Free)
        }
        other => other == is,
    }
}
