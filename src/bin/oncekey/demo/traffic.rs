//! What all kinds of traffic share: payments with names of their own, and workers that run them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::client::Client;
use super::dice;
use super::ledger::Payment;
use super::progress::Stage;
use super::tally::{Answer, Row, Tally, total};
use crate::failure::{Doing, Result};

const ACCOUNTS: usize = 50;

/// The clients' side of a run: who sends, and the counts of each scenario.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) client: Client,
    run: String,
    names: Vec<&'static str>,
    tallies: Vec<Tally>,
}

impl Traffic {
    /// Keys begin with a random name, so that a store can be used for one run after another.
    pub(crate) fn new(client: Client, names: Vec<&'static str>) -> Self {
        let tallies = names.iter().map(|_| Tally::default()).collect();
        Self { client, run: format!("{:06x}", dice::number() & 0xff_ffff), names, tallies }
    }

    /// What the keys of this run begin with.
    pub(crate) fn key_prefix(&self) -> String {
        format!("{}-", self.run)
    }

    /// The `index`-th payment of a scenario, not yet expected by anyone.
    pub(crate) fn draft(&self, scenario: usize, index: usize, script: &str) -> Payment {
        Payment {
            account: format!("acct_{:02}", index % ACCOUNTS),
            key: format!("{}-{scenario}-{index:05}", self.run),
            amount: 100 + (index as u64 * 37) % 9_900,
            script: script.to_owned(),
        }
    }

    /// The same, written down as a payment to be made once.
    pub(crate) fn payment(&self, scenario: usize, index: usize, script: &str) -> Payment {
        let payment = self.draft(scenario, index, script);
        self.client.ledger().expect(&payment, scenario);
        payment
    }

    pub(crate) fn tally(&self, scenario: usize) -> &Tally {
        // Scenarios are numbered by this very list.
        &self.tallies[scenario]
    }

    /// Sends `copies` of one request at the same moment.
    pub(crate) async fn race(self: &Arc<Self>, payment: &Payment, scenario: usize, copies: usize) {
        let mut racers = JoinSet::new();
        for _ in 0..copies {
            let (traffic, payment) = (self.clone(), payment.clone());
            racers
                .spawn(async move { traffic.client.pay(&payment, traffic.tally(scenario)).await });
        }
        racers.join_all().await;
    }

    /// Runs `step` for 0 to `count`, `workers` at a time.
    pub(crate) async fn work<F, S>(
        self: &Arc<Self>,
        stage: &Arc<Stage>,
        count: usize,
        workers: usize,
        step: S,
    ) -> Result<()>
    where
        S: Fn(Arc<Self>, usize) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send,
    {
        let next = Arc::new(AtomicUsize::new(0));
        let mut pool = JoinSet::new();
        for _ in 0..workers.min(count) {
            let (traffic, stage) = (self.clone(), stage.clone());
            let (next, step) = (next.clone(), step.clone());
            pool.spawn(async move {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    step(traffic.clone(), index).await;
                    stage.step();
                }
            });
        }
        while let Some(done) = pool.join_next().await {
            done.doing("a client")?;
        }
        Ok(())
    }

    /// Sends every payment once more, in order, without the accidents: each must get its first
    /// answer again.
    pub(crate) async fn once_more(self: &Arc<Self>, scenario: usize, workers: usize) -> Result<()> {
        let entries = Arc::new(self.client.ledger().entries());
        let count = entries.len();
        let stage = Arc::new(Stage::new("once more", count));
        let swept = move |traffic: Arc<Self>, index: usize| {
            let mut payment = entries[index].payment.clone();
            payment.script.clear();
            async move {
                let answer = traffic.client.pay(&payment, traffic.tally(scenario)).await;
                if answer == Some(Answer::Executed) {
                    traffic.client.ledger().fault(&payment, "executed again");
                }
            }
        };
        self.work(&stage, count, workers, swept).await?;
        finish(stage, &self.row(scenario, count));
        Ok(())
    }

    fn row(&self, scenario: usize, payments: usize) -> Row {
        self.tally(scenario).row(self.names[scenario], payments)
    }

    /// The row of each scenario, and the total.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let entries = self.client.ledger().entries();
        let last = self.names.len() - 1;
        let mut rows: Vec<Row> = (0..self.names.len())
            .map(|scenario| {
                let own = entries.iter().filter(|entry| entry.scenario == scenario).count();
                // The last one sends everybody's payments once more.
                self.row(scenario, if scenario == last { entries.len() } else { own })
            })
            .collect();
        rows.push(total(self.tallies.iter(), entries.len()));
        rows
    }

    /// Ends the stage of a scenario with a word on what came of it.
    pub(crate) fn report(&self, stage: Arc<Stage>, scenario: usize) {
        finish(stage, &self.row(scenario, 0));
    }
}

fn finish(stage: Arc<Stage>, row: &Row) {
    if let Some(stage) = Arc::into_inner(stage) {
        stage.finish(&format!("{} requests", row.sent));
    }
}
