//! Stripe's documentation (docs.stripe.com/api/idempotent_requests and /error-low-level), sentence
//! by sentence, in the Stripe profile. Each test runs against every service that can be told what
//! to answer. `docs/http.md` has the sentences as a table.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use axum::http::Method;
use oncekey::http::{Action, Profile};
use serde_json::json;

use crate::server::{self, RETENTION, Server, Setup};
use crate::world::{Answer, Count, Sends, World, around, post, reply};

async fn stripe() -> Vec<Server> {
    server::scripted(Setup { profile: Profile::Stripe, ..Setup::default() }).await
}

async fn slow(delay: Duration, wait: Duration) -> Vec<Server> {
    server::scripted(Setup { profile: Profile::Stripe, delay, wait, ..Setup::default() }).await
}

fn error(answer: &Answer, member: &str) -> String {
    assert_eq!(answer.header("content-type"), "application/json");
    answer.json()["error"][member].as_str().unwrap_or_default().to_owned()
}

/// "saving the resulting status code and body of the first request made for any given idempotency
/// key, regardless of whether it succeeds or fails. Subsequent requests with the same key return
/// the same result, including 500 errors." "To identify a previously executed response that's being
/// replayed from the server, look for the header Idempotent-Replayed: true."
#[tokio::test]
async fn every_result_is_saved_also_500() {
    for server in stripe().await {
        for status in [200, 201, 303, 400, 401, 402, 404, 409, 500, 503] {
            let (key, order) = (format!("key-{status}"), json!({ "statuses": [status] }));
            let charges = server.gateway.charges();
            let first = server.scripted(&key, &order).await;
            assert_eq!(first.header("idempotent-replayed"), "");
            for _ in 0..2 {
                let again = server.scripted(&key, &order).await;
                assert_eq!((first.status, &first.body), (again.status, &again.body));
                assert_eq!(again.header("idempotent-replayed"), "true");
            }
            assert_eq!((first.status, server.gateway.charges()), (status, charges + 1));
        }
    }
}

/// The same of a handler that panicked: its 500 is what retries get. To a proxy it is a service
/// that hung up, which may have executed the request or not.
#[tokio::test]
async fn a_panic_is_a_saved_500() {
    for server in stripe().await {
        let first = server.scripted("key", &json!({ "panic": true })).await;
        let again = server.scripted("key", &json!({ "panic": true })).await;
        assert_eq!(error(&first, "type"), "api_error");
        if server.knows_panics {
            assert_eq!((first.status, again.status, again.is_replay()), (500, 500, true));
            assert_eq!(first.body, again.body);
        } else {
            assert_eq!((first.status, again.status), (502, 409));
            assert_eq!(error(&again, "code"), "unresolved");
        }
        assert_eq!(server.gateway.charges(), 1);
    }
}

/// "The idempotency layer compares incoming parameters to those of the original request and errors
/// if they're not the same to prevent accidental misuse." "Sending the same idempotency with
/// different parameters produces an error indicating that the new request didn't match the
/// original."
#[tokio::test]
async fn other_parameters_are_a_400_with_an_idempotency_error() {
    for server in stripe().await {
        let first = server.charge(Some("key"), 1).await;
        let other = server.charge(Some("key"), 2).await;
        assert_eq!((other.status, error(&other, "type").as_str()), (400, "idempotency_error"));
        assert!(error(&other, "message").contains("can only be used with the same"));
        assert_eq!(error(&other, "doc_url"), "https://developer.example.com/idempotency");
        assert_eq!(server.charge(Some("key"), 1).await.body, first.body);
        assert_eq!(server.gateway.charges(), 1);
    }
}

/// "Idempotency keys are up to 255 characters long." "we suggest using V4 UUIDs, or another random
/// string": any text will do, and the two forms of the header are one key.
#[tokio::test]
async fn keys_have_up_to_255_characters() {
    for server in stripe().await {
        for key in [&*"k".repeat(255), "8e03978e-40d5-43e8-bc93-6894a57f9324", "KG5LxwFBepaKHyUD"] {
            assert_eq!(server.charge(Some(key), 1).await.status, 201);
            let quoted = format!("\"{key}\"");
            assert!(server.charge(Some(&quoted), 1).await.is_replay());
        }
        let long = server.charge(Some(&"k".repeat(256)), 1).await;
        assert_eq!((long.status, error(&long, "type").as_str()), (400, "invalid_request_error"));
    }
}

/// "You can remove keys from the system automatically after they're at least 24 hours old." That is
/// the default.
#[tokio::test]
async fn keys_are_kept_for_24_hours() {
    for server in stripe().await {
        assert_eq!(server.charge(Some("key"), 1).await.header(RETENTION), "86400");
    }
}

/// "We generate a new request if a key is reused after the original is pruned."
#[tokio::test]
async fn a_key_whose_time_is_over_is_a_new_request() {
    let ttl = Duration::from_millis(1);
    for server in
        server::scripted(Setup { profile: Profile::Stripe, ttl, ..Setup::default() }).await
    {
        server.charge(Some("key"), 1).await;
        while server.charge(Some("key"), 1).await.is_replay() {}
        assert_eq!(server.gateway.charges(), 2);
    }
}

/// "We save results only after the execution of an endpoint begins. If incoming parameters fail
/// validation [...] we don't save the idempotent result because no API endpoint initiates the
/// execution. You can retry these requests." "The same goes for a 401 that omitted an API key, or
/// most 400s that sent invalid parameters."
#[tokio::test]
async fn what_was_refused_before_execution_is_not_saved() {
    for server in stripe().await {
        assert_eq!(server.charge_as(None, "key", 1).await.status, 401);
        let twice = server.request(Some("key"), 1).header("idempotency-key", "key");
        assert_eq!(server.send(twice).await.status, 400);
        assert_eq!(server.gateway.charges(), 0);
        let first = server.charge(Some("key"), 1).await;
        assert_eq!((first.status, first.is_replay()), (201, false));
    }
}

/// The same of a service that validates by itself: it says so, by an action that it puts among the
/// extensions of its response.
#[tokio::test]
async fn a_service_may_say_that_it_did_not_begin() {
    let world = World::new();
    let count = Count::default();
    let ran = count.clone();
    let service = around(&world.layer().profile(Profile::Stripe), move |_| {
        let runs = ran.up();
        async move {
            let mut reply = reply(if runs == 1 { 400 } else { 201 }, "");
            if runs == 1 {
                reply.extensions_mut().insert(Action::Release);
            }
            reply
        }
    });
    assert_eq!(service.send(post("key", "x")).await.status, 400);
    assert_eq!(service.send(post("key", "x")).await.status, 201);
    assert!(service.send(post("key", "x")).await.is_replay());
    assert_eq!(count.get(), 2);
}

/// "[If] the request conflicts with another request that's executing concurrently, we don't save
/// the idempotent result because no API endpoint initiates the execution. You can retry these
/// requests." The first goes on, undisturbed.
#[tokio::test]
async fn a_concurrent_request_is_a_409_that_may_be_repeated() {
    for server in slow(Duration::from_secs(600), Duration::from_millis(50)).await {
        let [one, other] = [server.charge(Some("key"), 1), server.charge(Some("key"), 1)];
        let told = tokio::select! {
            told = one => told,
            told = other => told,
        };
        assert_eq!((told.status, error(&told, "code").as_str()), (409, "idempotency_key_in_use"));
        assert_eq!(error(&told, "type"), "idempotency_error");
        assert_eq!(told.header("stripe-should-retry"), "true");
    }
}

/// "When intermittent problems occur, clients are usually left in a state where they don't know
/// whether or not the server received the request. To get a definitive answer, they should retry
/// such requests with the same idempotency keys and the same parameters until they're able to
/// receive a result from the server." "no more than one object is created"
#[tokio::test]
async fn a_client_that_lost_its_connection_gets_the_result() {
    for server in slow(Duration::from_millis(50), Duration::from_secs(10)).await {
        let head = "POST /v1/charges HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk_anna\r\n";
        let rest = "Content-Type: application/json\r\nIdempotency-Key: key\r\n";
        let length = "Content-Length: 12\r\n\r\n{\"amount\":1}";
        let mut cut = TcpStream::connect(server.address).expect("connected");
        cut.write_all(format!("{head}{rest}{length}").as_bytes()).expect("sent");
        drop(cut);
        let retry = server.charge(Some("key"), 1).await;
        assert_eq!(retry.status, 201, "{retry:?}");
        let again = server.charge(Some("key"), 1).await;
        assert_eq!((again.is_replay(), &again.body), (true, &retry.body));
        assert_eq!(server.gateway.charges(), 1, "{}", server.name);
    }
}

/// "All POST requests accept idempotency keys" (none needs one). "Don't send idempotency keys in
/// GET and DELETE requests because it has no effect."
#[tokio::test]
async fn a_key_is_optional_and_without_effect_on_get_and_delete() {
    for server in stripe().await {
        for _ in 0..2 {
            assert_eq!(server.charge(None, 1).await.status, 201);
            for method in [Method::GET, Method::DELETE] {
                let request = server.order(method, Some("key"), &json!({ "amount": 1 }));
                assert!(!server.send(request).await.is_replay());
            }
        }
        assert_eq!(server.gateway.charges(), 6);
    }
}

/// "a request that's rate limited with a 429 can produce a different result with the same
/// idempotency key because rate limiters run before the API's idempotency layer."
#[tokio::test]
async fn a_429_is_not_saved() {
    for server in stripe().await {
        let order = json!({ "statuses": [429, 200] });
        assert_eq!(server.scripted("key", &order).await.status, 429);
        let second = server.scripted("key", &order).await;
        assert_eq!((second.status, second.is_replay()), (200, false));
        assert!(server.scripted("key", &order).await.is_replay());
        assert_eq!(server.gateway.charges(), 2);
    }
}

/// "The API responds with the Stripe-Should-Retry header when it has additional information that
/// the request is retryable. [...] set to true indicates that a client should retry the request.
/// [...] set to false means that a client should not retry the request because it won't have an
/// additional effect. [...] not set in the response indicates that the API can't determine".
/// (`true` is in the case of a concurrent request.)
#[tokio::test]
async fn a_client_is_told_whether_to_retry() {
    for server in stripe().await {
        let first = server.charge(Some("key"), 1).await;
        assert_eq!(first.header("stripe-should-retry"), "");
        let other = server.charge(Some("key"), 2).await;
        assert_eq!(other.header("stripe-should-retry"), "false");
    }
}
