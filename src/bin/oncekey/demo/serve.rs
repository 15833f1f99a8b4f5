//! The service by itself: `demo --serve` for a person with curl, and the child of `demo --kill`.

use std::path::Path;
use std::time::Duration;

use oncekey::DropPolicy;

use super::forwarder::Forwarder;
use super::gateway::{Gateway, Manners};
use super::service::Service;
use super::workspace::Workspace;
use super::{ServiceArgs, print};
use crate::failure::{Doing, Result};

/// The port of `--serve` unless another one is asked for.
pub(crate) const DEFAULT_PORT: u16 = 7070;

/// `demo --serve`: up until Ctrl-C.
pub(crate) async fn run(workspace: &Workspace, port: u16) -> Result<()> {
    let thinks = Duration::from_millis(5)..Duration::from_millis(20);
    let manners = Manners { deduplicates: true, thinks };
    let gateway = Gateway::start(&workspace.book(), manners).await?;
    let forwarder = Forwarder::start(port).await?;
    let service = Service::start(workspace.store(), DropPolicy::Hold, 0, gateway.url()).await?;
    forwarder.point_to(Some(service.address()));
    print(&instructions(&forwarder.url(), workspace));
    tokio::signal::ctrl_c().await.doing("waiting for Ctrl-C")?;
    forwarder.point_to(None);
    let remaining = service.stop().await?;
    print(&format!("\nclosed; claims that nobody ended: {remaining}\n"));
    Ok(())
}

fn instructions(url: &str, workspace: &Workspace) -> String {
    let curl = format!(
        "curl -i --retry 5 --retry-all-errors {url}/v1/charges \\
    -H 'X-Account: acct_42' -H 'Content-Type: application/json'"
    );
    let body = r#"-d '{"amount": 1200, "currency": "eur"}'"#;
    format!(
        "a payments service listens on {url}
store: {store}
book:  {book}{removed}

A charge, and the same again (the second answer says `idempotent-replayed: true`):

  {curl} \\
    -H 'Idempotency-Key: order-1' {body}

The answer gets lost; curl retries and gets the receipt of the one charge that was made:

  {curl} \\
    -H 'Idempotency-Key: order-2' -H 'X-Demo: cut-response' {body}

The handler fails twice before the gateway is asked (502), then the charge is made:

  {curl} \\
    -H 'Idempotency-Key: order-3' -H 'X-Demo: fail=2' {body}

A slow handler: run it in two terminals at once; the second waits, gets 409, comes back:

  {curl} \\
    -H 'Idempotency-Key: order-4' -H 'X-Demo: slow=2000' {body}

The same key for another amount is refused (422); from another account it is another key.
Each charge is one line in the book. Ctrl-C ends the service.
",
        store = workspace.store().display(),
        book = workspace.book().display(),
        removed = if workspace.is_temporary() { "\n(both are removed at the end)" } else { "" },
    )
}

/// The child of `demo --kill`: says its address, serves until its standard input ends.
pub(crate) async fn run_child(args: ServiceArgs) -> Result<()> {
    let on_drop = if args.no_dedup { DropPolicy::Unresolved } else { DropPolicy::Hold };
    let store: &Path = &args.store;
    let service = Service::start(store, on_drop, args.port, &args.gateway).await?;
    print(&format!("{}\n", service.address()));
    // However its input ends, the parent is done with it.
    let _ =
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()))
            .await;
    service.stop().await.map(|_| ())
}
