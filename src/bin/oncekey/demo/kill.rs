//! `demo --kill`: the service as a child process, killed again and again under load.
//!
//! The clients talk to the forwarder, whose target follows the child's address. The child ends by
//! itself when its standard input does, so that it never outlives the demo.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::dice;
use super::forwarder::Forwarder;
use super::progress::Stage;
use super::report::Kills;
use super::traffic::Traffic;
use crate::failure::{Doing, Failure, Result};

/// How long the service lives between two kills.
const LIFE: Range<Duration> = Duration::from_millis(150)..Duration::from_millis(800);
/// How long it lives when it is killed while it opens the store.
const SHORT_LIFE: Range<Duration> = Duration::from_millis(1)..Duration::from_millis(25);
/// How long opening the store may take.
const START_LIMIT: Duration = Duration::from_secs(30);

const LOAD: usize = 0;
const ONCE_MORE: usize = 1;

/// The names of the scenarios of this mode.
pub(crate) fn names() -> Vec<&'static str> {
    vec!["under fire", "once more"]
}

/// How to start the service.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) store: PathBuf,
    pub(crate) gateway_url: String,
    pub(crate) no_dedup: bool,
}

/// Loads the service and kills it `kills` times; then everything is sent once more, and the
/// service ends in good order.
pub(crate) async fn run(
    traffic: &Arc<Traffic>,
    recipe: &Recipe,
    forwarder: &Forwarder,
    kills: usize,
    clients: usize,
) -> Result<Kills> {
    let stage = Arc::new(Stage::new("under fire", kills));
    let over = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    let next = Arc::new(AtomicUsize::new(0));
    for _ in 0..clients {
        load.spawn(clients_work(traffic.clone(), next.clone(), over.clone()));
    }
    let mut result = Kills { under_load: 0, while_opening: 0, restarts_ms: Vec::new() };
    let mut child = recipe.start(forwarder, &mut result).await?;
    while result.under_load < kills {
        tokio::time::sleep(dice::between(LIFE)).await;
        kill(child, forwarder).await?;
        result.under_load += 1;
        stage.step();
        while dice::chance(40) {
            let short_lived = recipe.spawn()?;
            tokio::time::sleep(dice::between(SHORT_LIFE)).await;
            kill(short_lived, forwarder).await?;
            result.while_opening += 1;
        }
        child = recipe.start(forwarder, &mut result).await?;
        stage.say(&format!(
            "killed {} of {kills}; back after {} ms",
            result.under_load,
            result.restarts_ms.last().copied().unwrap_or(0),
        ));
    }
    tokio::time::sleep(LIFE.start).await;
    over.store(true, Ordering::Relaxed);
    while let Some(done) = load.join_next().await {
        done.doing("a client")?;
    }
    traffic.report(stage, LOAD);
    traffic.once_more(ONCE_MORE, clients).await?;
    forwarder.point_to(None);
    stop(child).await?;
    Ok(result)
}

/// One client: payment after payment, until the kills are over; what it began it finishes.
async fn clients_work(traffic: Arc<Traffic>, next: Arc<AtomicUsize>, over: Arc<AtomicBool>) {
    while !over.load(Ordering::Relaxed) {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let script = match index % 20 {
            0 => "cut-response",
            1 => "cut-midway",
            2 => "cut-request",
            3 | 4 => "fail=1",
            5 => "slow=100",
            _ => "",
        };
        let payment = traffic.payment(LOAD, index, script);
        let copies = if index % 20 < 16 { 1 } else { 3 };
        traffic.race(&payment, LOAD, copies).await;
    }
}

impl Recipe {
    fn spawn(&self) -> Result<Child> {
        let program = std::env::current_exe().doing("finding this program")?;
        let mut command = Command::new(program);
        command.arg("demo-service").arg("--store").arg(&self.store);
        command.arg("--gateway").arg(&self.gateway_url);
        if self.no_dedup {
            command.arg("--no-dedup");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        command.spawn().doing("starting the service")
    }

    /// Starts the service and waits until it says its address.
    async fn start(&self, forwarder: &Forwarder, result: &mut Kills) -> Result<Child> {
        let started = Instant::now();
        let mut child = self.spawn()?;
        let address = tokio::time::timeout(START_LIMIT, read_address(&mut child))
            .await
            .map_err(|_| Failure::new(format!("no service after {START_LIMIT:?}")))??;
        if result.under_load > 0 {
            let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            result.restarts_ms.push(ms);
        }
        forwarder.point_to(Some(address));
        Ok(child)
    }
}

/// Kills the child, which must not have ended by itself.
async fn kill(mut child: Child, forwarder: &Forwarder) -> Result<()> {
    if let Some(status) = child.try_wait().doing("looking after the service")? {
        return Err(Failure::new(format!("the service ended by itself: {status}")));
    }
    child.kill().await.doing("killing the service")?;
    forwarder.point_to(None);
    Ok(())
}

/// The child's first line says where it listens.
async fn read_address(child: &mut Child) -> Result<SocketAddr> {
    let output = child.stdout.take().ok_or_else(|| Failure::new("the service has no output"))?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).await.doing("reading the service's address")?;
    if line.is_empty() {
        let status = child.wait().await.doing("starting the service")?;
        return Err(Failure::new(format!("the service did not start: {status}")));
    }
    line.trim().parse().doing("reading the service's address")
}

/// Ends the service in good order: its standard input ends, and it closes the store.
async fn stop(mut child: Child) -> Result<()> {
    drop(child.stdin.take());
    let limit = Duration::from_secs(20);
    let status = tokio::time::timeout(limit, child.wait())
        .await
        .map_err(|_| Failure::new(format!("the service did not end within {limit:?}")))?
        .doing("ending the service")?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("the service did not end well: {status}")))
    }
}
