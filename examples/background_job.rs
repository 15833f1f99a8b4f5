//! A consumer of a queue that must not handle a message twice.
//!
//! ```sh
//! cargo run --example background_job
//! ```
//!
//! Queues deliver at least once: a message comes again when its consumer dies before it says that
//! it is done, and now and then for no reason. Here the queue delivers some messages twice, two
//! consumers share it, and the first of them dies midway. In the end each message was handled once,
//! which the example checks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oncekey::{Checkpoint, ClaimRequest, DropPolicy, Key, Outcome, Scope, Store, StoredResponse};

/// A job to do: send an invoice by mail.
#[derive(Debug, Clone)]
struct Message {
    /// The queue's own id, the same at each delivery.
    id: String,
    customer: String,
}

/// What became of a delivery.
#[derive(Debug, PartialEq, Eq)]
enum Delivery {
    /// It need not be delivered again.
    Acknowledged,
    /// Somebody else works at it, or it could not be done now: deliver it later.
    GivenBack,
    /// Its consumer died.
    Lost,
}

/// Stands for a mail service that takes an idempotency key: it sends once by each.
#[derive(Debug, Clone, Default)]
struct Mailer {
    sent: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Mailer {
    fn send(&self, downstream_key: &str, _customer: &str) -> Result<String, std::io::Error> {
        let mut sent = self.sent.lock().map_err(|_| std::io::Error::other("a mail got stuck"))?;
        *sent.entry(downstream_key.to_owned()).or_default() += 1;
        Ok(format!("mail {}", sent.len()))
    }
}

struct Consumer {
    store: Store,
    mailer: Mailer,
    /// Dies before it has recorded its so-manieth mail.
    dies_at: Option<usize>,
    handled: usize,
}

impl Consumer {
    /// Handles one delivery.
    fn handle(&mut self, message: &Message) -> Result<Delivery, Box<dyn std::error::Error>> {
        let request = ClaimRequest::new(Scope::new("invoices")?, Key::new(&message.id)?)
            .operation("send invoice")
            .payload(message.customer.as_bytes())
            // If this process dies, or the claim is dropped, the mailer's own idempotency key makes
            // it safe to try again. Where it has none, choose `DropPolicy::Unresolved`.
            .on_drop(DropPolicy::Hold)
            .lease(Duration::from_secs(30));
        let claim = match self.store.claim(request).wait()? {
            Outcome::Claimed(claim) => claim,
            // It was handled before: only the acknowledgement was lost.
            Outcome::Replay(_) => return Ok(Delivery::Acknowledged),
            Outcome::InFlight(_) => return Ok(Delivery::GivenBack),
            // An id that was given twice, an attempt whose effect is unknown: a person must look.
            other => return Err(format!("{} needs a person: {other:?}", message.id).into()),
        };
        if claim.attempt() > 1 {
            let step = claim.checkpoint().map_or("nothing", |checkpoint| checkpoint.name());
            println!("{}: attempt {}, after {step}", message.id, claim.attempt());
        }
        claim.save_checkpoint(Checkpoint::new("rendered", "invoice.pdf")?).wait()?;
        let receipt = match self.mailer.send(claim.downstream_key().as_str(), &message.customer) {
            Ok(receipt) => receipt,
            Err(error) => {
                // Nothing was sent, so the message may be tried again at once.
                eprintln!("{}: {error}", message.id);
                claim.release().wait()?;
                return Ok(Delivery::GivenBack);
            }
        };
        self.handled += 1;
        if self.dies_at == Some(self.handled) {
            // The claim is dropped without an end, which is what a death does to it as well.
            return Ok(Delivery::Lost);
        }
        claim.complete(StoredResponse::new(receipt)).wait()?;
        Ok(Delivery::Acknowledged)
    }

    /// Handles what the queue delivers until it is empty, or this consumer dies.
    fn run(&mut self, queue: &mut VecDeque<Message>) -> Result<(), Box<dyn std::error::Error>> {
        while let Some(message) = queue.pop_front() {
            match self.handle(&message)? {
                Delivery::Acknowledged => {}
                Delivery::GivenBack => queue.push_back(message),
                Delivery::Lost => {
                    println!("{}: the consumer died after the mail was sent", message.id);
                    // Nobody acknowledged it, so the queue delivers it again.
                    queue.push_front(message);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// The queue, its two consumers, and the checks.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("jobs");
    let message = |i: usize| Message { id: format!("m-{i}"), customer: format!("customer {i}") };
    // Every third message is delivered twice.
    let twice = |i: &usize| std::iter::repeat_n(message(*i), 1 + usize::from(i.is_multiple_of(3)));
    let mut queue: VecDeque<_> = (0..20).collect::<Vec<_>>().iter().flat_map(twice).collect();
    let deliveries = queue.len();
    let mailer = Mailer::default();

    let store = Store::create(&path)?;
    let mut first = Consumer { store, mailer: mailer.clone(), dies_at: Some(8), handled: 0 };
    first.run(&mut queue)?;
    drop(first);

    // A new process opens the store. It finds the claim without an owner, so that the message is
    // claimed as attempt 2; the mailer gets the same downstream key again, and sends nothing.
    let store = Store::open(&path)?;
    let mut second = Consumer { store, mailer: mailer.clone(), dies_at: None, handled: 0 };
    second.run(&mut queue)?;
    assert_eq!(second.store.stats().takeovers, 1);
    let replays = second.store.stats().replays;
    second.store.close(Duration::from_secs(10)).wait()?;

    let sent = mailer.sent.lock().map_err(|_| "a mail got stuck")?;
    assert_eq!(sent.len(), 20, "each message has one mail, by its downstream key");
    let again = sent.values().filter(|times| **times > 1).count();
    assert_eq!(again, 1, "only the mail of the consumer that died was asked for twice");
    let mails = sent.len();
    println!("{deliveries} deliveries, {mails} mails, {replays} replays after the death");
    Ok(())
}
