//! The comparison at the end: what the gateway's book says against what the clients know.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::book::Charge;
use super::ledger::{Entry, Ledger, Name, State};

/// A payment that the store lists as unresolved, as a row of the last table.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Doubt {
    pub(crate) account: String,
    pub(crate) key: String,
    pub(crate) attempt: u32,
    pub(crate) since: String,
    pub(crate) in_book: bool,
}

/// What came out; every list but the doubts should be empty.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Comparison {
    pub(crate) payments: usize,
    /// Payments that were answered with a receipt.
    pub(crate) acknowledged: usize,
    /// Payments that the gateway declined.
    pub(crate) declined: usize,
    /// Lines of this run in the book.
    pub(crate) charges: usize,
    pub(crate) charged_twice: Vec<String>,
    /// Acknowledged, and not in the book.
    pub(crate) lost: Vec<String>,
    /// In the book, and neither acknowledged nor listed as unresolved.
    pub(crate) unaccounted: Vec<String>,
    /// Not answered in all the time a client has.
    pub(crate) unanswered: Vec<String>,
    /// Another amount or another charge than the receipt says, and whatever must never happen.
    pub(crate) faults: Vec<String>,
    pub(crate) unresolved: Vec<Doubt>,
}

impl Comparison {
    /// Compares. `doubts` are the payments that the store lists as unresolved.
    pub(crate) fn new(
        book: &[Charge],
        key_prefix: &str,
        ledger: &Ledger,
        doubts: Vec<Doubt>,
    ) -> Self {
        let mut by_name: HashMap<Name, Vec<&Charge>> = HashMap::new();
        for charge in book.iter().filter(|charge| charge.reference.starts_with(key_prefix)) {
            let name = (charge.account.clone(), charge.reference.clone());
            by_name.entry(name).or_default().push(charge);
        }
        let mut result = Self { faults: ledger.faults(), ..Self::default() };
        result.charges = by_name.values().map(Vec::len).sum();
        result.charged_twice = by_name
            .iter()
            .filter(|(_, charges)| charges.len() > 1)
            .map(|(name, charges)| format!("{} ({} times)", show(name), charges.len()))
            .collect();
        let mut listed: HashSet<Name> =
            doubts.iter().map(|doubt| (doubt.account.clone(), doubt.key.clone())).collect();
        for entry in ledger.entries() {
            let charges = by_name.remove(&entry.payment.name()).unwrap_or_default();
            result.add(&entry, &charges, listed.remove(&entry.payment.name()));
        }
        result.unaccounted.extend(by_name.keys().map(show));
        result.faults.extend(
            listed.iter().map(|name| format!("{}: unresolved, but never asked for", show(name))),
        );
        result.unresolved = doubts;
        result
    }

    fn add(&mut self, entry: &Entry, charges: &[&Charge], listed: bool) {
        self.payments += 1;
        let name = entry.payment.name();
        match &entry.state {
            State::Answered(201, receipt) => {
                self.acknowledged += 1;
                match charges.first() {
                    None => self.lost.push(show(&name)),
                    Some(charge) if !matches_receipt(charge, entry, receipt) => {
                        self.faults.push(format!("{}: book and receipt differ", show(&name)));
                    }
                    Some(_) => {}
                }
            }
            State::Answered(..) => {
                self.declined += 1;
                if !charges.is_empty() {
                    self.unaccounted.push(show(&name));
                }
            }
            State::Unresolved => {}
            State::Open => self.unanswered.push(show(&name)),
        }
        if listed != (entry.state == State::Unresolved) {
            let told = if listed { "was not" } else { "was" };
            self.faults.push(format!(
                "{}: the client {told} told that it is unresolved, the store says otherwise",
                show(&name),
            ));
        }
    }

    /// Whether everything is as it should be.
    pub(crate) fn holds(&self) -> bool {
        self.problems().iter().all(|(_, list)| list.is_empty())
    }

    /// What went wrong, by kind.
    pub(crate) fn problems(&self) -> [(&'static str, &[String]); 5] {
        [
            ("charged twice", &self.charged_twice),
            ("lost", &self.lost),
            ("charged and unaccounted for", &self.unaccounted),
            ("unanswered", &self.unanswered),
            ("other faults", &self.faults),
        ]
    }

    /// Unresolved payments that were charged, as a person will find out in the gateway's book.
    pub(crate) fn doubts_in_book(&self) -> usize {
        self.unresolved.iter().filter(|doubt| doubt.in_book).count()
    }
}

fn matches_receipt(charge: &Charge, entry: &Entry, receipt: &[u8]) -> bool {
    let receipt: serde_json::Value = serde_json::from_slice(receipt).unwrap_or_default();
    charge.amount == entry.payment.amount
        && receipt["charge"] == charge.id.as_str()
        && receipt["amount"] == charge.amount
}

fn show((account, key): &Name) -> String {
    format!("{account} {key}")
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Payment;
    use super::*;

    fn payment(key: &str) -> Payment {
        Payment { account: "acct".into(), key: key.into(), amount: 5, script: String::new() }
    }

    fn charge(id: &str, key: &str) -> Charge {
        Charge {
            id: id.into(),
            downstream_key: format!("ok_{key}"),
            account: "acct".into(),
            reference: key.into(),
            amount: 5,
            currency: "eur".into(),
            at: String::new(),
        }
    }

    fn receipt(id: &str) -> State {
        State::Answered(201, format!(r#"{{"charge":"{id}","amount":5}}"#).into_bytes())
    }

    fn doubt(key: &str) -> Doubt {
        let (account, since) = ("acct".into(), String::new());
        Doubt { account, key: key.into(), attempt: 1, since, in_book: false }
    }

    fn compare(states: &[(&str, State)], book: &[Charge], doubts: Vec<Doubt>) -> Comparison {
        let ledger = Ledger::default();
        for (key, state) in states {
            ledger.expect(&payment(key), 0);
            ledger.settle(&payment(key), state.clone());
        }
        Comparison::new(book, "r-", &ledger, doubts)
    }

    #[test]
    fn a_charge_for_each_receipt_holds() {
        let states = [
            ("r-1", receipt("a")),
            ("r-2", State::Answered(402, Vec::new())),
            ("r-3", State::Unresolved),
        ];
        let book = [charge("a", "r-1"), charge("b", "r-3"), charge("c", "another-run")];
        let found = compare(&states, &book, vec![doubt("r-3")]);
        assert!(found.holds(), "{found:?}");
        assert_eq!((found.charges, found.acknowledged, found.declined), (2, 1, 1));
    }

    #[test]
    fn every_kind_of_wrong_is_found() {
        let twice = [charge("a", "r-1"), charge("b", "r-1")];
        assert_eq!(compare(&[("r-1", receipt("a"))], &twice, vec![]).charged_twice.len(), 1);
        assert_eq!(compare(&[("r-1", receipt("a"))], &[], vec![]).lost.len(), 1);
        let once = [charge("a", "r-1")];
        assert_eq!(compare(&[], &once, vec![]).unaccounted.len(), 1);
        let declined = State::Answered(402, Vec::new());
        assert_eq!(compare(&[("r-1", declined)], &once, vec![]).unaccounted.len(), 1);
        assert_eq!(compare(&[("r-1", State::Open)], &once, vec![]).unanswered.len(), 1);
        assert_eq!(compare(&[("r-1", receipt("b"))], &once, vec![]).faults.len(), 1);
        assert_eq!(compare(&[("r-1", State::Unresolved)], &once, vec![]).faults.len(), 1);
        assert_eq!(compare(&[("r-1", receipt("a"))], &once, vec![doubt("r-1")]).faults.len(), 1);
        assert_eq!(compare(&[], &[], vec![doubt("r-1")]).faults.len(), 1);
    }
}
