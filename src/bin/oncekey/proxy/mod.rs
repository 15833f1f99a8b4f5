//! `oncekey proxy`: the HTTP layer as a reverse proxy, for services in any language.
//!
//! Left to others: everything that decides about a key (`oncekey::http`).

mod access;
mod admin;
mod args;
mod choices;
mod front;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod hop;
mod listener;
mod lookup;
mod manner;
mod mark;
mod metrics;
mod patient;
mod resolve;
mod rule_choices;
mod scope;
mod settings;
mod stalling;
mod trouble;
mod upstream;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::service::service_fn;
use oncekey::audit::Audit;
use oncekey::{Options, Store};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::access::Log;
use self::admin::Admin;
pub(crate) use self::args::Args;
use self::front::Front;
use self::listener::Listener;
use self::metrics::{Connected, Metrics};
use self::scope::Scopes;
use self::settings::Settings;
use crate::failure::{Doing, Result};
use crate::words::print;

const ADMIN_CONNECTIONS: usize = 64;
/// How long a process that is still closing the store is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(10);

const MINUTE: Duration = Duration::from_secs(60);
/// How long the end waits for a reader of the log, and for tasks to be dropped.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs the proxy until it is told to stop.
pub(crate) fn run(args: Args) -> ExitCode {
    let check = args.check;
    let ended = args.settings().and_then(|settings| if check { Ok(0) } else { serve(settings) });
    match ended {
        Ok(0) => ExitCode::SUCCESS,
        Ok(remaining) => {
            eprintln!("oncekey proxy: {remaining} requests in flight did not end in time");
            ExitCode::FAILURE
        }
        Err(failure) => {
            eprintln!("oncekey proxy: {failure}");
            ExitCode::from(2)
        }
    }
}

/// Serves, and says how many requests had to be left in flight.
fn serve(settings: Settings) -> Result<u64> {
    let store = open(&settings)?;
    let secret = settings.secret.as_deref();
    if secret.is_none() {
        eprintln!(
            "oncekey proxy: no --secret-file: whoever reads the store can test guesses at \
             credentials and bodies"
        );
    }
    let (headers, earlier) = (settings.scope_headers.clone(), &settings.earlier_secrets);
    let scopes = mark::scopes(&store, headers, secret, earlier, settings.accept_new_scopes)?;
    let (log, written) = Log::start(settings.access_log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.doing("starting the runtime")?;
    let ended = runtime.block_on(until_stopped(settings, store, scopes, log));
    // What is cut off here is not told to anybody: the claims stay as they are.
    runtime.shutdown_timeout(LAST_WORDS);
    let _ = written.recv_timeout(LAST_WORDS);
    ended
}

fn open(settings: &Settings) -> Result<Store> {
    let mut options =
        Options::new().lock_wait(LOCK_WAIT).refuse_late_retries(settings.refuse_late_retries);
    if let Some(keys) = settings.scope_keys_per_minute {
        options = options.scope_limit(keys, MINUTE);
    }
    if settings.audit {
        options = options.audit(Audit::new());
    }
    let opened = match settings.must_exist {
        true => options.open(&settings.store),
        false => options.open_or_create(&settings.store),
    };
    opened.doing(settings.store.display())
}

async fn until_stopped(settings: Settings, store: Store, scopes: Scopes, log: Log) -> Result<u64> {
    let metrics = Arc::new(Metrics::default());
    let limit = settings.client_timeout;
    let clients = Listener::bind(settings.listen, settings.max_connections, limit).await?;
    let operators = Listener::bind(settings.admin, ADMIN_CONNECTIONS, limit).await?;
    let stopping = Arc::new(AtomicBool::new(false));
    let token = settings.admin_token.as_deref();
    let admin =
        Admin::new(store.clone(), metrics.clone(), operators.address(), token, stopping.clone());
    let admin = Arc::new(admin);
    let front = Arc::new(Front::new(&settings, store.clone(), scopes, metrics.clone(), log)?);
    let mut terminate = signal(SignalKind::terminate()).doing("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).doing("waiting for SIGINT")?;
    let _ = print(format!(
        "clients: http://{}\nadmin: http://{}\n",
        clients.address(),
        operators.address()
    ));

    let (stop, stopped) = watch::channel(false);
    let (stop_admin, admin_stopped) = watch::channel(false);
    let counted = metrics.clone();
    let serving = tokio::spawn(clients.serve(
        move |peer| {
            let (front, connected) = (front.clone(), Connected::new(counted.clone()));
            service_fn(move |request| {
                let _ = &connected;
                front.clone().answer(peer, request)
            })
        },
        stopped,
    ));
    let operating = tokio::spawn(operators.serve(
        move |_| {
            let admin = admin.clone();
            service_fn(move |request| admin.clone().answer(request))
        },
        admin_stopped,
    ));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stopping.store(true, Ordering::Relaxed);
    let _ = stop.send(true);
    let ended = end(&settings, &store, &metrics, serving);
    let remaining = tokio::select! {
        remaining = ended => remaining?,
        _ = terminate.recv() => metrics.in_flight.get(),
        _ = interrupt.recv() => metrics.in_flight.get(),
    };
    let _ = stop_admin.send(true);
    let _ = tokio::time::timeout(LAST_WORDS, operating).await;
    Ok(remaining)
}

/// Lets what is in flight end, and closes the store. Says how many requests did not end.
async fn end(
    settings: &Settings,
    store: &Store,
    metrics: &Metrics,
    serving: JoinHandle<()>,
) -> Result<u64> {
    let begin = Instant::now();
    // A connection that does not end in time is cut off with the process.
    let cut = match tokio::time::timeout(settings.shutdown_timeout, serving).await {
        Ok(_) => 0,
        Err(_) => metrics.in_flight.get(),
    };
    // Requests of clients that hung up.
    let left = settings.shutdown_timeout.saturating_sub(begin.elapsed());
    let closed = store.close(left.max(Duration::from_millis(1))).await?;
    Ok(cut.max(closed.remaining as u64))
}
