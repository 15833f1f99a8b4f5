//! Clients that go away, and handlers that take long.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Request;
use http_body_util::Full;
use oncekey::DropPolicy;
use oncekey::http::{Attempt, LayerBody, Rule};
use tokio::sync::{Notify, mpsc};

use crate::world::{Count, Sends, World, around, post, problem, reply};

type Asked = Request<LayerBody<Full<Bytes>>>;

/// A handler that says when it runs, and ends when it may.
struct Gate {
    running: mpsc::UnboundedReceiver<u32>,
    may_end: Arc<Notify>,
    count: Count,
}

fn gated(world: &World, rule: Rule) -> (impl Sends + Send + Sync + 'static + use<>, Gate) {
    let (says, running) = mpsc::unbounded_channel();
    let (may_end, count) = (Arc::new(Notify::new()), Count::default());
    let gate = Gate { running, may_end: may_end.clone(), count: count.clone() };
    let service = around(&world.layer().rule(rule), move |request: Asked| {
        let attempt = request.extensions().get::<Attempt>().expect("an attempt").attempt();
        let (may_end, says, run) = (may_end.clone(), says.clone(), count.up());
        async move {
            says.send(attempt).expect("somebody listens");
            may_end.notified().await;
            reply(200, format!("run {run}"))
        }
    });
    (service, gate)
}

/// The handler completes, and stores what came of it, for the retry.
#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_the_handler() {
    let world = World::new();
    let (service, mut gate) = gated(&world, Rule::new().wait(Duration::from_secs(60)));
    tokio::select! {
        _ = service.send(post("key", "x")) => panic!("the handler may not end yet"),
        attempt = gate.running.recv() => assert_eq!(attempt, Some(1)),
    }
    // Its future is gone, as it is when a connection drops.
    gate.may_end.notify_one();
    let again = service.send(post("key", "x")).await;
    assert_eq!((again.is_replay(), &again.body[..], gate.count.get()), (true, &b"run 1"[..], 1));
}

/// A lease is renewed for as long as its handler runs: nobody takes the key over meanwhile.
#[tokio::test]
async fn a_slow_handler_keeps_its_claim() {
    let world = World::new();
    for on_drop in [DropPolicy::Hold, DropPolicy::Unresolved] {
        let lease = Duration::from_millis(60);
        let rule = Rule::new().on_drop(on_drop).lease(lease).wait(lease * 6);
        let (service, mut gate) = gated(&world, rule);
        let service = Arc::new(service);
        let key = format!("key-{on_drop}");
        let first = tokio::spawn({
            let (service, key) = (service.clone(), key.clone());
            async move { service.send(post(&key, "x")).await }
        });
        gate.running.recv().await.expect("it runs");
        // This waits for six leases.
        assert_eq!(service.send(post(&key, "x")).await.problem(), problem(409, "in-flight"));
        gate.may_end.notify_one();
        assert_eq!(first.await.expect("an answer").body, "run 1");
        assert_eq!(gate.count.get(), 1);
        assert!(service.send(post(&key, "x")).await.is_replay());
    }
}

/// A retry that waits is answered as soon as the first is.
#[tokio::test]
async fn whoever_waits_gets_the_first_answer() {
    let world = World::new();
    let (service, mut gate) = gated(&world, Rule::new().wait(Duration::from_secs(60)));
    let service = Arc::new(service);
    let send = || {
        let service = service.clone();
        tokio::spawn(async move { service.send(post("key", "x")).await })
    };
    let requests: Vec<_> = (0..8).map(|_| send()).collect();
    gate.running.recv().await.expect("it runs");
    gate.may_end.notify_one();
    let mut replays = 0;
    for request in requests {
        let answer = request.await.expect("an answer");
        assert_eq!(answer.body, "run 1");
        replays += usize::from(answer.is_replay());
    }
    assert_eq!((replays, gate.count.get()), (7, 1));
}

/// Promise 1 under load: many tasks on many threads ask for few keys, and half of the clients hang
/// up. Each key runs once, and whoever is answered has the same answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keys_run_once_however_many_ask_and_hang_up() {
    const KEYS: usize = 40;
    const CLIENTS: usize = 12;
    let world = World::new();
    let counts: Arc<Vec<Count>> = Arc::new((0..KEYS).map(|_| Count::default()).collect());
    let ran = counts.clone();
    let rule = Rule::new().wait(Duration::from_secs(60));
    let service = Arc::new(around(&world.layer().rule(rule), move |request: Asked| {
        let attempt = request.extensions().get::<Attempt>().expect("an attempt").clone();
        let ran = ran.clone();
        async move {
            let key: usize = attempt.key().as_str().parse().expect("a number");
            // Others get their turn in the middle of it.
            tokio::task::yield_now().await;
            reply(200, format!("run {} of {key}", ran[key].up()))
        }
    }));
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        for key in 0..KEYS {
            let service = service.clone();
            clients.push(tokio::spawn(async move {
                let asked = service.send(post(&key.to_string(), "x"));
                if (client + key) % 2 == 0 {
                    return (key, Some(asked.await));
                }
                // Hangs up after a few looks at it.
                let mut asked = std::pin::pin!(asked);
                for _ in 0..client {
                    tokio::select! {
                        biased;
                        answer = asked.as_mut() => return (key, Some(answer)),
                        () = tokio::task::yield_now() => {}
                    }
                }
                (key, None)
            }));
        }
    }
    for client in clients {
        let (key, answer) = client.await.expect("an end");
        if let Some(answer) = answer {
            assert_eq!(answer.body, format!("run 1 of {key}"));
        }
    }
    assert!(counts.iter().all(|count| count.get() == 1));
}
