//! A general store behind group commit: one thread applies and syncs for all who wait.
//!
//! All peers share it, with the queue and the wakes of the floor, so that what differs between
//! them is the store. A service would rather have a [`WriterThread`](super::writer::WriterThread).

use std::sync::Arc;

use super::{Answer, Engine, Tasks};
use crate::group::{Commit, Group, Style};
use crate::workload::Request;

/// Records a transaction of a load.
const LOAD_BATCH: usize = 20_000;

/// One change for a general store.
pub struct Change {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    /// A claim: refused if the key is present.
    pub must_be_new: bool,
}

impl Change {
    pub fn claim(request: &Request) -> Self {
        Self { key: request.joined(), value: request.claimed_value(), must_be_new: true }
    }

    pub fn complete(request: &Request) -> Self {
        Self { key: request.joined(), value: request.completed_value(), must_be_new: false }
    }
}

/// A store that can make several changes durable at once.
pub trait Batched: Engine + 'static {
    /// Makes the changes durable, empties the list, and answers a verdict for each.
    fn commit(&self, changes: &mut Vec<Change>) -> Vec<bool>;
}

struct Writer<S>(Arc<S>);

impl<S: Batched> Commit for Writer<S> {
    type Batch = Vec<Change>;

    fn commit(&mut self, batch: &mut Vec<Change>) -> Vec<bool> {
        self.0.commit(batch)
    }
}

pub struct Grouped<S: Batched> {
    store: Arc<S>,
    group: Group<Writer<S>>,
}

impl<S: Batched> Grouped<S> {
    pub fn new(store: S) -> Self {
        let store = Arc::new(store);
        let group = Group::new(Writer(Arc::clone(&store)), Style::Committer);
        Self { store, group }
    }
}

impl<S: Batched> Engine for Grouped<S> {
    fn claim(&self, request: &Request) -> bool {
        let change = Change::claim(request);
        self.group.submit(|batch| batch.push(change))
    }

    fn complete(&self, request: &Request) {
        let change = Change::complete(request);
        self.group.submit(|batch| batch.push(change));
    }

    fn replay(&self, request: &Request) -> Option<Vec<u8>> {
        self.store.replay(request)
    }

    fn load(&self, requests: &mut dyn Iterator<Item = Request>) {
        self.store.load(requests);
    }

    fn tasks(&self) -> Option<&dyn Tasks> {
        Some(self)
    }
}

impl<S: Batched> Tasks for Grouped<S> {
    fn claim<'a>(&'a self, request: &'a Request) -> Answer<'a> {
        let change = Change::claim(request);
        Box::pin(self.group.submit_async(|batch| batch.push(change)))
    }

    fn complete<'a>(&'a self, request: &'a Request) -> Answer<'a> {
        let change = Change::complete(request);
        Box::pin(self.group.submit_async(|batch| batch.push(change)))
    }
}

/// Completes keys, many a transaction, for engines that load as they commit.
pub fn load_in_batches(
    requests: &mut dyn Iterator<Item = Request>,
    mut apply: impl FnMut(&[Change]),
) {
    loop {
        let batch = requests.take(LOAD_BATCH);
        let changes: Vec<_> = batch.map(|request| Change::complete(&request)).collect();
        if changes.is_empty() {
            return;
        }
        apply(&changes);
    }
}
