//! What the HTTP layer and the proxy cost: a handler that does nothing, by itself, under the layer,
//! and behind the proxy, over loopback sockets; and the cycles of the store. Beside them the least
//! that a layer could do: claim, call the handler, complete. Medians over rounds that are
//! interleaved, with the processor time that a request takes this process, clients and all.
//!
//! ```sh
//! cargo bench --bench http --features proxy     # with `http` alone there is no proxy in it
//! benches/http/oha                              # the same services, by a load generator
//! ```
//! `TMPDIR` chooses the disk; `-- --test` runs it once, briefly; `-- --serve` says where the
//! services are, and serves until its standard input ends. `-- --rounds 3 --millis 500` and
//! `--only layer` are for looking at one of them; `-- --own` is what the layer takes by itself.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a bench measures real time")]

mod least;
mod load;
mod own;
mod proxy;

use std::convert::Infallible;
use std::io::{sink, stdin};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use oncekey::http::IdempotencyLayer;
use oncekey::{Scope, Store};
use tokio::net::TcpListener;
use tower::{Layer, Service};

use crate::least::Least;
use crate::load::{Measured, client, cycles, measure};
use crate::proxy::Proxy;

const CONNECTIONS: [usize; 2] = [1, 64];
const SUBJECTS: [&str; 5] = ["bare", "cycles", "least", "layer", "proxy"];

async fn handler<B: Body>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let length = match request.into_body().collect().await {
        Ok(body) => body.to_bytes().len(),
        Err(_) => 0,
    };
    Ok(Response::new(Full::from(format!("{length} bytes were charged to your card, thank you"))))
}

/// Serves on a port of its own.
async fn serve<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<hyper::body::Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            socket.set_nodelay(true).expect("a socket");
            let service = TowerToHyperService::new(service.clone());
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(socket), service));
        }
    });
    address
}

/// Whose request it is. A load generator that repeats its headers is somebody else by each query.
fn account(request: &Parts) -> Option<Scope> {
    match request.headers.get("x-account") {
        Some(account) => Scope::new(account.to_str().ok()?).ok(),
        None => Scope::new(request.uri.query()?).ok(),
    }
}

/// What is measured.
struct Services {
    store: Store,
    bare: SocketAddr,
    least: SocketAddr,
    layer: SocketAddr,
    proxy: Option<Proxy>,
}

impl Services {
    async fn start(dir: &Path) -> Self {
        let store = Store::create(dir.join("layer")).expect("a store");
        let layer = IdempotencyLayer::new(store.clone(), account);
        let bare = serve(tower::service_fn(handler)).await;
        let least = serve(Least::new(store.clone(), tower::service_fn(handler))).await;
        let layered = serve(layer.layer(tower::service_fn(handler))).await;
        let proxy = Proxy::start(bare, &dir.join("proxy"));
        Self { store, bare, least, layer: layered, proxy }
    }

    /// One round of one of the subjects.
    async fn measure(&self, subject: &str, connections: usize, length: Duration) -> Measured {
        let load = |address| measure(connections, length, move |load| client(address, load));
        match (subject, &self.proxy) {
            ("bare", _) => load(self.bare).await,
            ("least", _) => load(self.least).await,
            ("layer", _) => load(self.layer).await,
            ("proxy", Some(proxy)) => {
                let before = proxy.processor_time();
                let mut measured = load(proxy.address).await;
                measured.processor_time += proxy.processor_time() - before;
                measured
            }
            ("cycles", _) => {
                measure(connections, length, |load| cycles(self.store.clone(), load)).await
            }
            _ => Measured::default(),
        }
    }

    fn print_addresses(&self) {
        println!("bare http://{}", self.bare);
        println!("layer http://{}", self.layer);
        if let Some(proxy) = &self.proxy {
            println!("proxy http://{}", proxy.address);
        }
    }
}

/// What was asked for.
struct Asked {
    rounds: usize,
    length: Duration,
    subjects: Vec<&'static str>,
    connections: Vec<usize>,
    serves: bool,
}

impl Asked {
    fn read() -> Self {
        let words: Vec<String> = std::env::args().collect();
        let is_asked = |name: &str| words.iter().any(|word| word == name);
        let value = |name: &str| {
            let at = words.iter().position(|word| word == name)?;
            Some(words.get(at + 1).unwrap_or_else(|| panic!("{name} takes a value")).as_str())
        };
        let number = |name: &str| value(name).map(|value| value.parse().expect("a number"));
        let (rounds, millis) = if is_asked("--test") { (1, 50) } else { (7, 2000) };
        let is_in =
            |name: &&str| value("--only").is_none_or(|only| only.split(',').any(|o| o == *name));
        Self {
            rounds: number("--rounds").unwrap_or(rounds),
            length: Duration::from_millis(number("--millis").unwrap_or(millis) as u64),
            subjects: SUBJECTS.into_iter().filter(is_in).collect(),
            connections: number("--connections").map_or(CONNECTIONS.to_vec(), |only| vec![only]),
            serves: is_asked("--serve"),
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What each round of a subject came to, a column for each subject.
fn print(connections: usize, subjects: &[&str], rounds: &[Vec<Measured>]) {
    let rates = |name: &str| -> Option<Vec<f64>> {
        let at = subjects.iter().position(|subject| *subject == name)?;
        Some(rounds.iter().map(|round| round[at].rate()).collect())
    };
    let lower: Option<Vec<f64>> = rates("bare").zip(rates("cycles")).map(|(bare, cycles)| {
        bare.into_iter().zip(cycles).map(|(bare, cycles)| bare.min(cycles)).collect()
    });
    for (at, subject) in subjects.iter().enumerate() {
        let of = |what: fn(&Measured) -> f64| median(rounds.iter().map(|r| what(&r[at])).collect());
        let (rate, micros) = (of(Measured::rate), of(Measured::micros));
        print!("{connections:>11}  {subject:<8} {rate:>10.0}  {micros:>12.1}");
        if let (Some(rates), Some(lower)) = (rates(subject), &lower) {
            let ratio = median(rates.iter().zip(lower).map(|(rate, lower)| rate / lower).collect());
            print!("  {ratio:>10.2}");
        }
        println!();
    }
}

fn main() {
    if std::env::args().any(|word| word == "--own") {
        return own::print();
    }
    tokio::runtime::Runtime::new().expect("a runtime").block_on(compare());
}

async fn compare() {
    let asked = Asked::read();
    let dir = tempfile::tempdir().expect("a directory");
    let services = Services::start(dir.path()).await;
    if asked.serves {
        services.print_addresses();
        let input = tokio::task::spawn_blocking(|| std::io::copy(&mut stdin(), &mut sink()));
        input.await.expect("no panic").expect("read");
        return;
    }
    let has = |subject: &&str| *subject != "proxy" || services.proxy.is_some();
    let subjects: Vec<_> = asked.subjects.into_iter().filter(has).collect();
    println!("connections  subject           /s  processor us  of min(bare, cycles)");
    for connections in asked.connections {
        let mut rounds = Vec::new();
        for _ in 0..asked.rounds {
            let mut round = Vec::new();
            for subject in &subjects {
                round.push(services.measure(subject, connections, asked.length).await);
            }
            rounds.push(round);
        }
        print(connections, &subjects, &rounds);
    }
    services.store.close(Duration::from_secs(10)).await.expect("closed");
}
