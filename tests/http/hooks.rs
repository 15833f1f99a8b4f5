//! What a service may change and publish: redaction, replays, retention, secrets.

use std::time::Duration;

use axum::http::HeaderName;
use oncekey::http::{HeaderPolicy, IdempotencyLayer, Rule, Secret};
use oncekey::{Entry, Key, Scope, Store};

use crate::world::{Count, Sends, World, around, post, reply};

fn echo(layer: &IdempotencyLayer<Store>) -> (impl Sends + use<>, Count) {
    let count = Count::default();
    let ran = count.clone();
    let service = around(layer, move |_| {
        let run = ran.up();
        async move { reply(200, format!("card 4242, run {run}")) }
    });
    (service, count)
}

/// What is redacted is not on disk; the first caller has it all.
#[tokio::test]
async fn a_response_is_redacted_before_it_is_stored() {
    let world = World::new();
    let layer = world.layer().redact(|kept| {
        let body = String::from_utf8_lossy(kept.body().expect("a body")).replace("4242", "****");
        kept.set_body(body);
    });
    let (service, _) = echo(&layer);
    assert_eq!(service.send(post("key", "x")).await.body, "card 4242, run 1");
    assert_eq!(service.send(post("key", "x")).await.body, "card ****, run 1");
    let (scope, key) = (Scope::new("acct").expect("a scope"), Key::new("key").expect("a key"));
    let Some(Entry::Completed(record)) = world.store.get(&scope, &key).await.expect("a look")
    else {
        panic!("not completed");
    };
    let stored = String::from_utf8_lossy(record.response().body());
    assert!(stored.contains("****") && !stored.contains("4242"));
}

#[tokio::test]
async fn a_replay_may_be_changed() {
    let world = World::new();
    let layer = world.layer().on_replay(|kept| {
        kept.headers_mut().insert("x-replayed-by", "us".parse().expect("a value"));
    });
    let (service, _) = echo(&layer);
    assert_eq!(service.send(post("key", "x")).await.header("x-replayed-by"), "");
    assert_eq!(service.send(post("key", "x")).await.header("x-replayed-by"), "us");
}

/// The draft, 2.3: "The resource SHOULD define such expiration policy and publish it".
#[tokio::test]
async fn the_retention_is_published() {
    let world = World::new();
    let layer = world
        .layer()
        .rule(Rule::new().ttl(Duration::from_secs(3600)))
        .retention_header(HeaderName::from_static("idempotency-retention"));
    let (service, _) = echo(&layer);
    for _ in 0..2 {
        let answer = service.send(post("key", "x")).await;
        assert_eq!(answer.header("idempotency-retention"), "3600");
    }
}

#[tokio::test]
async fn what_cannot_be_a_link_is_refused() {
    let world = World::new();
    for url in ["", "a b", "https://a.example/\n", "https://a.example/#x", "https://\u{e9}"] {
        assert!(world.layer().documentation(url).is_err(), "{url:?}");
    }
}

/// A change of the secret loses no retry, as long as the earlier one is told.
#[tokio::test]
async fn secrets_may_be_changed() {
    let world = World::new();
    let [one, two] = [1, 2].map(|byte| Secret::from_bytes([byte; 32]));
    let layers = [
        world.layer(),
        world.layer().secret(one.clone()).earlier_without_secret(),
        world.layer().secret(two.clone()).earlier_secret(one).earlier_without_secret(),
    ];
    for (at, layer) in layers.iter().enumerate() {
        let (service, count) = echo(layer);
        // Requests of every layer before are known, and those of another payload are told apart.
        for before in 0..at {
            let key = format!("key-{before}");
            assert!(service.send(post(&key, "x")).await.is_replay());
            assert_eq!(service.send(post(&key, "y")).await.status, 422);
        }
        assert_eq!(service.send(post(&format!("key-{at}"), "x")).await.status, 200);
        assert_eq!(count.get(), 1);
    }
    let (service, count) = echo(&world.layer().secret(two));
    assert_eq!(service.send(post("key-0", "x")).await.status, 422, "it is another request now");
    assert_eq!(count.get(), 0);
}

#[tokio::test]
async fn a_service_chooses_which_headers_are_kept() {
    let world = World::new();
    let policy = HeaderPolicy::new().without([HeaderName::from_static("x-trace")]);
    let layer = world.layer().rule(Rule::new().headers(policy));
    let service = around(&layer, |_| async {
        let mut reply = reply(200, "");
        reply.headers_mut().insert("x-trace", "1".parse().expect("a value"));
        reply.headers_mut().insert("x-kept", "1".parse().expect("a value"));
        reply
    });
    assert_eq!(service.send(post("key", "x")).await.header("x-trace"), "1");
    let again = service.send(post("key", "x")).await;
    assert_eq!((again.header("x-trace"), again.header("x-kept")), ("", "1"));
}
