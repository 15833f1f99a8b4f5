//! What the HTTP layer and the proxy cost: a handler that does nothing, by itself, under the layer,
//! and behind the proxy, over loopback sockets; and the cycles of the store. Medians over rounds
//! that are interleaved.
//!
//! ```sh
//! cargo bench --bench http --features proxy     # with `http` alone there is no proxy in it
//! benches/http/oha                              # the same services, by a load generator
//! ```
//! `TMPDIR` chooses the disk; `-- --test` runs it once, briefly; `-- --serve` says where the
//! services are, and serves until its standard input ends.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a bench measures real time")]

mod proxy;

use std::convert::Infallible;
use std::io::{sink, stdin};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::request::Parts;
use axum::http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use oncekey::backend::{Backend, Outcome, OwnerId};
use oncekey::http::IdempotencyLayer;
use oncekey::{ClaimRequest, Key, Scope, Store, StoredResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::{Layer, Service};

use crate::proxy::Proxy;

const CONNECTIONS: [usize; 2] = [1, 64];

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

/// What clients share: keys that nobody had, a count, and when to stop.
#[derive(Default)]
struct Load {
    keys: AtomicU64,
    done: AtomicU64,
    stop: AtomicBool,
}

/// One connection that asks, and asks again when it is answered.
async fn client(address: SocketAddr, load: Arc<Load>) {
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    socket.set_nodelay(true).expect("a socket");
    let mut answer = vec![0; 4096];
    while !load.stop.load(Ordering::Relaxed) {
        let key = load.keys.fetch_add(1, Ordering::Relaxed);
        let request = format!(
            "POST /v1/charges HTTP/1.1\r\nHost: bench\r\nX-Account: acct_{}\r\nIdempotency-Key: \
             \"8e03978e-40d5-43e8-bc93-{key:012}\"\r\nContent-Length: 32\r\n\r\n\
             {{\"amount\":1200,\"currency\":\"eur\"}}",
            key % 100,
        );
        socket.write_all(request.as_bytes()).await.expect("sent");
        let mut have = 0;
        while !answer[..have].ends_with(b"thank you") {
            let read = socket.read(&mut answer[have..]).await.expect("an answer");
            assert!(read > 0, "{}", String::from_utf8_lossy(&answer[..have]));
            have += read;
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        load.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Claims and completions, by tasks, without HTTP.
async fn cycles(store: Store, load: Arc<Load>) {
    while !load.stop.load(Ordering::Relaxed) {
        let key = load.keys.fetch_add(1, Ordering::Relaxed);
        let scope = Scope::new(format!("acct_{}", key % 100)).expect("a scope");
        let key = Key::new(format!("8e03978e-40d5-43e8-bc93-{key:012}")).expect("a key");
        let request = ClaimRequest::new(scope, key).operation("POST /v1/charges").payload("1200");
        let owner = OwnerId::random().expect("an owner");
        let Outcome::Claimed(claim) = Backend::claim(&store, owner, request).await.expect("told")
        else {
            panic!("a fresh key")
        };
        let response = StoredResponse::new("32 bytes were charged to your card, thank you");
        store.complete(claim.id(), response).await.expect("completed");
        load.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Rounds of this length, by so many tasks: how many a second.
async fn measure<F: Future<Output = ()> + Send + 'static>(
    tasks: usize,
    length: Duration,
    work: impl Fn(Arc<Load>) -> F,
) -> f64 {
    let load = Arc::new(Load::default());
    load.keys.store(next_keys(), Ordering::Relaxed);
    let begin = Instant::now();
    let running: Vec<_> = (0..tasks).map(|_| tokio::spawn(work(load.clone()))).collect();
    tokio::time::sleep(length).await;
    load.stop.store(true, Ordering::Relaxed);
    for task in running {
        task.await.expect("a client");
    }
    load.done.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64()
}

/// Every round has keys that none had before.
fn next_keys() -> u64 {
    static ROUND: AtomicU64 = AtomicU64::new(0);
    ROUND.fetch_add(1, Ordering::Relaxed) * 100_000_000
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
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
    layer: SocketAddr,
    proxy: Option<Proxy>,
}

impl Services {
    async fn start(dir: &Path) -> Self {
        let store = Store::create(dir.join("layer")).expect("a store");
        let layer = IdempotencyLayer::new(store.clone(), account);
        let bare = serve(tower::service_fn(handler)).await;
        let layered = serve(layer.layer(tower::service_fn(handler))).await;
        Self { store, bare, layer: layered, proxy: Proxy::start(bare, &dir.join("proxy")) }
    }

    /// One round of each: requests a second of the bare service, the layer and the proxy; cycles
    /// a second of the store.
    async fn round(&self, connections: usize, length: Duration) -> [f64; 4] {
        let load = |address| measure(connections, length, move |load| client(address, load));
        let bare = load(self.bare).await;
        let layer = load(self.layer).await;
        let proxy = match &self.proxy {
            Some(proxy) => load(proxy.address).await,
            None => f64::NAN,
        };
        let cycles = measure(connections, length, |load| cycles(self.store.clone(), load)).await;
        [bare, layer, proxy, cycles]
    }

    fn print_addresses(&self) {
        println!("bare http://{}", self.bare);
        println!("layer http://{}", self.layer);
        if let Some(proxy) = &self.proxy {
            println!("proxy http://{}", proxy.address);
        }
    }
}

#[tokio::main]
async fn main() {
    let is_asked = |name: &str| std::env::args().any(|argument| argument == name);
    let (rounds, length) = match is_asked("--test") {
        true => (1, Duration::from_millis(50)),
        false => (7, Duration::from_secs(2)),
    };
    let dir = tempfile::tempdir().expect("a directory");
    let services = Services::start(dir.path()).await;
    if is_asked("--serve") {
        services.print_addresses();
        let input = tokio::task::spawn_blocking(|| std::io::copy(&mut stdin(), &mut sink()));
        input.await.expect("no panic").expect("read");
        return;
    }
    println!(
        "connections   bare/s  layer/s  proxy/s  cycles/s  layer/min(bare, cycles)  proxy/min"
    );
    for connections in CONNECTIONS {
        let mut told = Vec::new();
        for _ in 0..rounds {
            told.push(services.round(connections, length).await);
        }
        let by = |of: fn(&[f64; 4]) -> f64| median(told.iter().map(of).collect());
        let layer_ratio = by(|[bare, layer, _, cycles]| layer / bare.min(*cycles));
        let proxy_ratio = by(|[bare, _, proxy, cycles]| proxy / bare.min(*cycles));
        let (bare, layer) = (by(|rates| rates[0]), by(|rates| rates[1]));
        let (proxy, cycles) = (by(|rates| rates[2]), by(|rates| rates[3]));
        print!("{connections:>11} {bare:>8.0} {layer:>8.0} {proxy:>8.0} {cycles:>9.0} ");
        println!("{layer_ratio:>24.2} {proxy_ratio:>10.2}");
    }
    services.store.close(Duration::from_secs(10)).await.expect("closed");
}
