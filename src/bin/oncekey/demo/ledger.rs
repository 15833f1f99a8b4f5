//! What the clients know at the end: each payment, and the answer it got.
//!
//! The other half of the comparison: the gateway's book says what was charged, this says what
//! should have been.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A payment that somebody wants made once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payment {
    pub(crate) account: String,
    pub(crate) key: String,
    pub(crate) amount: u64,
    /// The `X-Demo` header: what network and handler shall do to it.
    pub(crate) script: String,
}

/// What is known of a payment.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) payment: Payment,
    /// Index of the scenario it belongs to.
    pub(crate) scenario: usize,
    pub(crate) state: State,
}

/// How a payment ended, as its client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// No final answer yet.
    Open,
    /// A stored answer: status and bytes, the same in every replay.
    Answered(u16, Vec<u8>),
    /// The service said that it does not know.
    Unresolved,
}

/// Account and key.
pub(crate) type Name = (String, String);

/// Everything the clients know.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Mutex<HashMap<Name, Entry>>,
    faults: Mutex<Vec<String>>,
}

impl Payment {
    pub(crate) fn name(&self) -> Name {
        (self.account.clone(), self.key.clone())
    }
}

impl Ledger {
    /// Writes a payment down, before its first request.
    pub(crate) fn expect(&self, payment: &Payment, scenario: usize) {
        let entry = Entry { payment: payment.clone(), scenario, state: State::Open };
        self.entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(payment.name())
            .or_insert(entry);
    }

    /// A final answer came. It must not contradict an earlier one.
    pub(crate) fn settle(&self, payment: &Payment, state: State) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = entries.get_mut(&payment.name()) else {
            drop(entries);
            return self.fault(payment, "an answer to a payment nobody expects");
        };
        if entry.state == State::Open {
            entry.state = state;
            return;
        }
        let same = entry.state == state;
        drop(entries);
        if !same {
            self.fault(payment, "two answers that differ");
        }
    }

    /// Notes what must never happen.
    pub(crate) fn fault(&self, payment: &Payment, what: &str) {
        let fault = format!("{} {}: {what}", payment.account, payment.key);
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every payment, in the order of their names.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Entry> = entries.values().cloned().collect();
        all.sort_by_cached_key(|entry| entry.payment.name());
        all
    }
}
