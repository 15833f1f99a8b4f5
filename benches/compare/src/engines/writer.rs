//! A general store behind a writer thread, as a service would have it: a channel of changes, and a
//! channel back for each answer. What waits when a transaction ends is the next transaction.
//!
//! [`Grouped`](super::grouped::Grouped) is the harder rival: it has the floor's queue and wakes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use super::grouped::{Batched, Change};
use super::{Answer, Engine, Tasks};
use crate::workload::Request;

struct Order {
    change: Change,
    answer: oneshot::Sender<bool>,
}

pub struct WriterThread<S: Batched> {
    store: Arc<S>,
    /// Taken at the end: the thread ends with the last order.
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl<S: Batched> WriterThread<S> {
    pub fn new(store: S) -> Self {
        let store = Arc::new(store);
        let (orders, queue) = channel();
        let thread = thread::spawn({
            let store = Arc::clone(&store);
            move || write(&*store, &queue)
        });
        Self { store, orders: Some(orders), thread: Some(thread) }
    }

    fn order(&self, change: Change) -> oneshot::Receiver<bool> {
        let (answer, answered) = oneshot::channel();
        let orders = self.orders.as_ref().expect("orders are taken until the end");
        orders.send(Order { change, answer }).expect("the writer runs");
        answered
    }
}

fn write<S: Batched>(store: &S, queue: &Receiver<Order>) {
    let (mut changes, mut answers) = (Vec::new(), Vec::new());
    while let Ok(first) = queue.recv() {
        for order in std::iter::once(first).chain(queue.try_iter()) {
            changes.push(order.change);
            answers.push(order.answer);
        }
        let verdicts = store.commit(&mut changes);
        for (answer, verdict) in answers.drain(..).zip(verdicts) {
            // Nobody waits any more at the end of a run.
            let _ = answer.send(verdict);
        }
    }
}

impl<S: Batched> Drop for WriterThread<S> {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl<S: Batched> Engine for WriterThread<S> {
    fn claim(&self, request: &Request) -> bool {
        self.order(Change::claim(request)).blocking_recv().expect("an answer")
    }

    fn complete(&self, request: &Request) {
        self.order(Change::complete(request)).blocking_recv().expect("an answer");
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

impl<S: Batched> Tasks for WriterThread<S> {
    fn claim<'a>(&'a self, request: &'a Request) -> Answer<'a> {
        let answered = self.order(Change::claim(request));
        Box::pin(async move { answered.await.expect("an answer") })
    }

    fn complete<'a>(&'a self, request: &'a Request) -> Answer<'a> {
        let answered = self.order(Change::complete(request));
        Box::pin(async move { answered.await.expect("an answer") })
    }
}
