//! `oncekey demo`: a payments service over an embedded store, real HTTP traffic that goes wrong in
//! every usual way, and a comparison of what was charged with what should have been.
//!
//! ```text
//! clients --> forwarder (cuts connections) --> service (claims, replays) --> gateway (its book)
//! ```
//!
//! Everything talks over loopback sockets. In the plain demo all of it is one process; with
//! `--kill` the service is a child process.

mod answer;
mod args;
mod book;
mod client;
mod compare;
mod dice;
mod forwarder;
mod gateway;
mod handler;
mod kill;
mod ledger;
mod progress;
mod report;
mod scenario;
mod serve;
mod service;
mod tally;
mod traffic;
mod workspace;

use std::collections::HashSet;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use oncekey::DropPolicy;

use crate::failure::{Doing, Failure, Result};
pub(crate) use args::{Args, ServiceArgs};
use client::Client;
use compare::{Comparison, Doubt};
use forwarder::Forwarder;
use gateway::{Gateway, Manners};
use ledger::{Ledger, Name};
use report::Report;
use service::Service;
use traffic::Traffic;
use workspace::{Workspace, close_store, open_store};

/// Runs the demo; 0 if every charge was made once and every answer kept, 1 if not.
pub(crate) fn run(args: Args) -> ExitCode {
    conclude(in_runtime(async {
        tokio::select! {
            done = demo(&args) => done,
            _ = tokio::signal::ctrl_c(), if !args.serve => Err(Failure::new("interrupted")),
        }
    }))
}

/// Runs the service alone, as the child of `demo --kill`.
pub(crate) fn run_service(args: ServiceArgs) -> ExitCode {
    conclude(in_runtime(async { serve::run_child(args).await.map(|()| true) }))
}

fn in_runtime(work: impl Future<Output = Result<bool>>) -> Result<bool> {
    let runtime = tokio::runtime::Runtime::new().doing("starting the runtime")?;
    let done = runtime.block_on(work);
    // Connections that are still open do not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(200));
    done
}

fn conclude(done: Result<bool>) -> ExitCode {
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(failure) => {
            eprintln!("oncekey: {failure}");
            ExitCode::from(2)
        }
    }
}

/// Prints to standard output; a reader that has gone away is no error.
fn print(text: &str) {
    let mut output = std::io::stdout().lock();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

async fn demo(args: &Args) -> Result<bool> {
    args.check_descriptors()?;
    let mut workspace = Workspace::new(args.store.clone())?;
    if args.serve {
        serve::run(&workspace, args.port.unwrap_or(serve::DEFAULT_PORT)).await?;
        return Ok(true);
    }
    let report =
        if args.kill { killed(args, &workspace).await } else { plain(args, &workspace).await };
    let report = match report {
        Ok(report) => report,
        Err(failure) => {
            if workspace.store().exists() {
                workspace.keep();
                eprintln!("the files of this run are kept: {}", workspace.store().display());
            }
            return Err(failure);
        }
    };
    print(&if args.json { report.json() } else { report.text() });
    if !report.ok {
        workspace.keep();
    }
    if args.store.is_some() || !report.ok {
        let book = workspace.book();
        eprintln!("store: {}\nbook:  {}", workspace.store().display(), book.display());
    }
    Ok(report.ok)
}

/// The plain demo: everything in this process.
async fn plain(args: &Args, workspace: &Workspace) -> Result<Report> {
    let thinks = Duration::from_micros(200)..Duration::from_millis(2);
    let manners = Manners { deduplicates: true, thinks };
    let gateway = Gateway::start(&workspace.book(), manners).await?;
    let forwarder = Forwarder::start(args.port.unwrap_or(0)).await?;
    let service = Service::start(workspace.store(), DropPolicy::Hold, 0, gateway.url()).await?;
    forwarder.point_to(Some(service.address()));
    let client = Client::new(&forwarder.url(), Arc::new(Ledger::default()))?;
    let traffic = Arc::new(Traffic::new(client, scenario::names()));
    scenario::run(&traffic, args.requests, args.clients()).await?;
    forwarder.point_to(None);
    service.stop().await?;
    finish(args, workspace, &gateway, &traffic, None).await
}

/// `--kill`: the service is a child process; forwarder, gateway and clients are not.
async fn killed(args: &Args, workspace: &Workspace) -> Result<Report> {
    let thinks = Duration::from_millis(1)..Duration::from_millis(20);
    let manners = Manners { deduplicates: !args.no_dedup, thinks };
    let gateway = Gateway::start(&workspace.book(), manners).await?;
    let forwarder = Forwarder::start(args.port.unwrap_or(0)).await?;
    let recipe = kill::Recipe {
        store: workspace.store().to_path_buf(),
        gateway_url: gateway.url().to_owned(),
        no_dedup: args.no_dedup,
    };
    let client = Client::new(&forwarder.url(), Arc::new(Ledger::default()))?;
    let traffic = Arc::new(Traffic::new(client, kill::names()));
    let kills = kill::run(&traffic, &recipe, &forwarder, args.kills, args.clients()).await?;
    finish(args, workspace, &gateway, &traffic, Some(kills)).await
}

/// Reads the book and the store's list of unresolved keys, and compares.
async fn finish(
    args: &Args,
    workspace: &Workspace,
    gateway: &Gateway,
    traffic: &Traffic,
    kills: Option<report::Kills>,
) -> Result<Report> {
    let book = book::read(&workspace.book())?;
    let prefix = traffic.key_prefix();
    let doubts = unresolved(workspace, &prefix, &book).await?;
    let comparison = Comparison::new(&book, &prefix, traffic.client.ledger(), doubts);
    Ok(Report {
        ok: comparison.holds(),
        rows: traffic.rows(),
        gateway: gateway.counts(),
        deduplicates: !args.no_dedup,
        kills,
        comparison,
    })
}

async fn unresolved(
    workspace: &Workspace,
    key_prefix: &str,
    book: &[book::Charge],
) -> Result<Vec<Doubt>> {
    let charged: HashSet<Name> =
        book.iter().map(|charge| (charge.account.clone(), charge.reference.clone())).collect();
    let store = open_store(workspace.store(), DropPolicy::Hold).await?;
    let mut doubts = Vec::new();
    for held in store.unresolved() {
        let (account, key) = (held.scope().to_string(), held.key().to_string());
        if !key.starts_with(key_prefix) {
            continue;
        }
        let since_ms = i64::try_from(held.since().as_millis()).unwrap_or(i64::MAX);
        let since = jiff::Timestamp::from_millisecond(since_ms).unwrap_or(jiff::Timestamp::MAX);
        let in_book = charged.contains(&(account.clone(), key.clone()));
        let since = since.to_string();
        doubts.push(Doubt { account, key, attempt: held.attempt(), since, in_book });
    }
    close_store(store).await?;
    Ok(doubts)
}
