//! Clients, and callers of the store, and how many of their requests are answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use oncekey::backend::{Backend, Outcome, OwnerId};
use oncekey::{ClaimRequest, Key, Scope, Store, StoredResponse};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What clients share: keys that nobody had, a count, and when to stop.
#[derive(Default)]
pub struct Load {
    keys: AtomicU64,
    done: AtomicU64,
    stop: AtomicBool,
}

/// What a round came to.
#[derive(Default)]
pub struct Measured {
    done: u64,
    took: Duration,
    /// Of this process, clients and all.
    pub processor_time: Duration,
}

impl Measured {
    /// How many a second.
    pub fn rate(&self) -> f64 {
        self.done as f64 / self.took.as_secs_f64()
    }

    /// Processor time of each, in microseconds.
    pub fn micros(&self) -> f64 {
        self.processor_time.as_secs_f64() * 1e6 / self.done as f64
    }
}

/// One connection that asks, and asks again when it is answered.
pub async fn client(address: SocketAddr, load: Arc<Load>) {
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
pub async fn cycles(store: Store, load: Arc<Load>) {
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

/// A round of this length, by so many tasks.
pub async fn measure<F: Future<Output = ()> + Send + 'static>(
    tasks: usize,
    length: Duration,
    work: impl Fn(Arc<Load>) -> F,
) -> Measured {
    let load = Arc::new(Load::default());
    load.keys.store(next_keys(), Ordering::Relaxed);
    let (begin, used) = (Instant::now(), processor_time());
    let running: Vec<_> = (0..tasks).map(|_| tokio::spawn(work(load.clone()))).collect();
    tokio::time::sleep(length).await;
    load.stop.store(true, Ordering::Relaxed);
    for task in running {
        task.await.expect("a client");
    }
    Measured {
        done: load.done.load(Ordering::Relaxed),
        took: begin.elapsed(),
        processor_time: processor_time() - used,
    }
}

/// What this process has had of the processors.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Every round has keys that none had before.
fn next_keys() -> u64 {
    static ROUND: AtomicU64 = AtomicU64::new(0);
    ROUND.fetch_add(1, Ordering::Relaxed) * 100_000_000
}
