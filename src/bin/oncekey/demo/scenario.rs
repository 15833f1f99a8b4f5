//! The scenarios of the plain demo: each is one way in which requests come twice.

use std::sync::Arc;

use super::gateway::CREDIT_LIMIT;
use super::ledger::State;
use super::progress::Stage;
use super::tally::Answer;
use super::traffic::Traffic;
use crate::failure::Result;

/// Identical requests at once, in a race.
const RACERS: usize = 8;
/// And those that wait for a slow handler.
const SLOW_RACERS: usize = 4;

/// One way in which requests come twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    First,
    LostAnswers,
    Races,
    AnotherBody,
    AnotherAccount,
    SlowHandlers,
    FailingHandlers,
    DyingHandlers,
}

use Scenario::{
    AnotherAccount, AnotherBody, DyingHandlers, FailingHandlers, First, LostAnswers, Races,
    SlowHandlers,
};

/// In the order they run, with their share of the payments in thousandths.
const SCENARIOS: [(Scenario, &str, usize); 8] = [
    (First, "first requests", 480),
    (LostAnswers, "lost answers", 200),
    (Races, "races", 75),
    (AnotherBody, "another body", 100),
    (AnotherAccount, "another account", 30),
    (SlowHandlers, "slow handlers", 5),
    (FailingHandlers, "failing handlers", 100),
    (DyingHandlers, "dying handlers", 10),
];

/// The names of the scenarios; the last one sends everything once more.
pub(crate) fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = SCENARIOS.iter().map(|(_, name, _)| *name).collect();
    names.push("once more");
    names
}

/// Runs all of them, one after the other, with about `payments` payments in all.
pub(crate) async fn run(traffic: &Arc<Traffic>, payments: usize, clients: usize) -> Result<()> {
    for (number, (scenario, name, share)) in SCENARIOS.into_iter().enumerate() {
        let count = (payments * share / 1000).max(1);
        let stage = Arc::new(Stage::new(name, count));
        let workers = match scenario {
            Races => clients.div_ceil(RACERS),
            SlowHandlers => clients.div_ceil(SLOW_RACERS),
            AnotherBody | AnotherAccount => clients.div_ceil(2),
            _ => clients,
        };
        let step = move |traffic: Arc<Traffic>, index| step(traffic, scenario, number, index);
        traffic.work(&stage, count, workers, step).await?;
        traffic.report(stage, number);
    }
    traffic.once_more(SCENARIOS.len(), clients).await
}

async fn step(traffic: Arc<Traffic>, scenario: Scenario, number: usize, index: usize) {
    let tally = traffic.tally(number);
    match scenario {
        First => {
            traffic.client.pay(&traffic.payment(number, index, ""), tally).await;
        }
        LostAnswers => {
            let script = ["cut-response", "cut-midway", "cut-request"][index % 3];
            traffic.client.pay(&traffic.payment(number, index, script), tally).await;
        }
        Races => traffic.race(&traffic.payment(number, index, ""), number, RACERS).await,
        AnotherBody if index.is_multiple_of(2) => another_body(&traffic, number, index).await,
        AnotherBody => another_body_at_once(&traffic, number, index).await,
        AnotherAccount => another_account(&traffic, number, index).await,
        SlowHandlers => {
            traffic.race(&traffic.payment(number, index, "slow=1100"), number, SLOW_RACERS).await;
        }
        FailingHandlers => failing(&traffic, number, index).await,
        DyingHandlers => {
            traffic.client.pay(&traffic.payment(number, index, "die"), tally).await;
        }
    }
}

/// The same key with another amount, after the first is through: refused; the first goes on
/// being replayed.
async fn another_body(traffic: &Traffic, number: usize, index: usize) {
    let (client, tally) = (&traffic.client, traffic.tally(number));
    let payment = traffic.payment(number, index, "");
    client.pay(&payment, tally).await;
    let mut other = payment.clone();
    other.amount += 1;
    if client.send(&other, tally).await.answer != Answer::Mismatch {
        client.ledger().fault(&other, "another body was not refused");
    }
    client.pay(&payment, tally).await;
}

/// Two bodies under one key at the same moment: one of them is charged, the other refused.
async fn another_body_at_once(traffic: &Traffic, number: usize, index: usize) {
    let (client, tally) = (&traffic.client, traffic.tally(number));
    let one = traffic.draft(number, index, "");
    let mut two = one.clone();
    two.amount += 1;
    let (first, second) = tokio::join!(client.send(&one, tally), client.send(&two, tally));
    let (winner, won, lost) = match first.answer {
        Answer::Executed => (one, first, second),
        _ => (two, second, first),
    };
    client.ledger().expect(&winner, number);
    if won.answer != Answer::Executed || lost.answer != Answer::Mismatch {
        client.ledger().fault(&winner, "two bodies at once: not one charged and one refused");
    }
    client.ledger().settle(&winner, won.into_state().unwrap_or(State::Open));
}

/// The same key and body from two accounts at once: two payments, neither knows of the other.
async fn another_account(traffic: &Traffic, number: usize, index: usize) {
    let (client, tally) = (&traffic.client, traffic.tally(number));
    let mine = traffic.payment(number, index, "");
    let mut theirs = mine.clone();
    theirs.account.push('x');
    client.ledger().expect(&theirs, number);
    let answers = tokio::join!(client.pay(&mine, tally), client.pay(&theirs, tally));
    if answers != (Some(Answer::Executed), Some(Answer::Executed)) {
        client.ledger().fault(&mine, "one key of two accounts: not executed for each");
    }
}

/// Handlers that fail before the gateway is asked, once or twice, and then succeed; or that are
/// declined, which is an answer like any other.
async fn failing(traffic: &Traffic, number: usize, index: usize) {
    let (client, tally) = (&traffic.client, traffic.tally(number));
    let script = format!("fail={}", index % 3);
    let mut payment = traffic.draft(number, index, &script);
    if index.is_multiple_of(3) {
        payment.amount += CREDIT_LIMIT;
    }
    client.ledger().expect(&payment, number);
    client.pay(&payment, tally).await;
    client.pay(&payment, tally).await;
}
