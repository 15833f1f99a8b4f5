//! Stripe's documentation (docs.stripe.com/api/idempotent_requests and /error-low-level), sentence
//! by sentence, in `Profile::Stripe`.

use std::time::Duration;

use oncekey::http::Profile;

use crate::server;
use crate::world::{Answer, Count, Sends, World, around, keyless, post, reply};

fn error(answer: &Answer, member: &str) -> String {
    assert_eq!(answer.header("content-type"), "application/json");
    answer.json()["error"][member].as_str().unwrap_or_default().to_owned()
}

fn stripe(world: &World) -> oncekey::http::IdempotencyLayer<oncekey::Store> {
    world.layer().profile(Profile::Stripe)
}

/// "saving the resulting status code and body of the first request made for any given idempotency
/// key, regardless of whether it succeeds or fails. Subsequent requests with the same key return
/// the same result, including 500 errors."
#[tokio::test]
async fn every_result_is_saved_also_500() {
    let world = World::new();
    for status in [200, 201, 303, 400, 402, 404, 500, 503] {
        let count = Count::default();
        let ran = count.clone();
        let service = around(&stripe(&world), move |_| {
            let body = format!("{status} of run {}", ran.up());
            async move { reply(status, body) }
        });
        let key = format!("key-{status}");
        let first = service.send(post(&key, "x")).await;
        let again = service.send(post(&key, "x")).await;
        assert_eq!((first.status, &first.body), (again.status, &again.body));
        assert_eq!((first.status, again.is_replay(), count.get()), (status, true, 1));
    }
}

/// The same of a handler that panicked: its 500 is what retries get.
#[tokio::test]
async fn a_panic_is_a_saved_500() {
    let world = World::new();
    let count = Count::default();
    let ran = count.clone();
    let service = around(&stripe(&world), move |_| {
        ran.up();
        async move { panic!("on purpose") }
    });
    for replay in [false, true] {
        let answer = service.send(post("key", "x")).await;
        assert_eq!((answer.status, answer.is_replay()), (500, replay));
        assert_eq!(error(&answer, "type"), "api_error");
    }
    assert_eq!(count.get(), 1);
}

/// "The idempotency layer compares incoming parameters to those of the original request and errors
/// if they're not the same to prevent accidental misuse."
#[tokio::test]
async fn other_parameters_are_a_400_with_an_idempotency_error() {
    let server = server::hyper(Duration::ZERO, Profile::Stripe).await;
    let first = server.charge(Some("key"), 1).await;
    let other = server.charge(Some("key"), 2).await;
    assert_eq!((other.status, error(&other, "type").as_str()), (400, "idempotency_error"));
    assert!(error(&other, "message").contains("can only be used with the same"));
    assert_eq!(error(&other, "doc_url"), "https://developer.example.com/idempotency");
    assert_eq!(server.charge(Some("key"), 1).await.body, first.body);
}

/// "Idempotency keys are up to 255 characters long."
#[tokio::test]
async fn keys_have_up_to_255_characters() {
    let server = server::hyper(Duration::ZERO, Profile::Stripe).await;
    assert_eq!(server.charge(Some(&"k".repeat(255)), 1).await.status, 201);
    let long = server.charge(Some(&"k".repeat(256)), 1).await;
    assert_eq!((long.status, error(&long, "type").as_str()), (400, "invalid_request_error"));
}

/// "[If] the request conflicts with another request that's executing concurrently, we don't save
/// the idempotent result because no API endpoint initiates the execution. You can retry these
/// requests."
#[tokio::test]
async fn a_concurrent_request_is_a_409_that_may_be_repeated() {
    let server = server::hyper(Duration::from_secs(600), Profile::Stripe).await;
    let [one, other] = [server.charge(Some("key"), 1), server.charge(Some("key"), 1)];
    let told = tokio::select! {
        told = one => told,
        told = other => told,
    };
    assert_eq!((told.status, error(&told, "code").as_str()), (409, "idempotency_key_in_use"));
    assert_eq!(error(&told, "type"), "idempotency_error");
}

/// "All POST requests accept idempotency keys" (none needs one). "Don't send idempotency keys in
/// GET and DELETE requests because it has no effect."
#[tokio::test]
async fn a_key_is_optional_and_without_effect_on_get_and_delete() {
    let world = World::new();
    let count = Count::default();
    let ran = count.clone();
    let service = around(&stripe(&world), move |_| {
        let body = ran.up().to_string();
        async move { reply(200, body) }
    });
    for _ in 0..2 {
        assert!(!service.send(keyless("x")).await.is_replay());
        for method in ["GET", "DELETE"] {
            let mut request = post("key", "");
            *request.method_mut() = method.parse().expect("a method");
            assert!(!service.send(request).await.is_replay());
        }
    }
    assert_eq!(count.get(), 6);
}

/// Error handling, 429: the rate limiter runs before the idempotency layer, so that the same key
/// may be used again.
#[tokio::test]
async fn a_429_is_not_saved() {
    let world = World::new();
    let count = Count::default();
    let ran = count.clone();
    let service = around(&stripe(&world), move |_| {
        let status = if ran.up() == 1 { 429 } else { 200 };
        async move { reply(status, "") }
    });
    assert_eq!(service.send(post("key", "x")).await.status, 429);
    assert_eq!(service.send(post("key", "x")).await.status, 200);
    assert!(service.send(post("key", "x")).await.is_replay());
}
