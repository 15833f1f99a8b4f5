//! draft-ietf-httpapi-idempotency-key-header-07, sentence by sentence. Each test names its section,
//! and runs against every service, or against every one that can be told what to answer.
//! `docs/http.md` has the sentences as a table.

use std::time::Duration;

use axum::http::Method;
use oncekey::http::{BodyPart, FingerprintParts, KeyFormat, KeyPolicy, Profile, Requirement, Rule};
use serde_json::json;

use crate::server::{self, RETENTION, Setup};
use crate::world::{Answer, Count, Sends, World, around, post, problem, reply};

const QUICK: Duration = Duration::ZERO;
const BRIEF: Duration = Duration::from_millis(50);
/// Longer than any test lasts.
const SLOW: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3600);
const QUICK_IETF: Setup = Setup {
    delay: QUICK,
    profile: Profile::Ietf,
    requirement: None,
    ttl: HOUR,
    wait: Duration::from_secs(2),
};
const UUID: &str = "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"";

fn is_problem(answer: &Answer) {
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let kind = answer.json()["type"].as_str().expect("a type").to_owned();
    assert!(kind.starts_with("https://developer.example.com/idempotency#"), "{kind}");
    let link = "<https://developer.example.com/idempotency>; rel=\"describedby\"";
    assert_eq!(answer.header("link"), link);
    assert_eq!(answer.header("content-language"), "en");
    assert_eq!(answer.json()["status"], answer.status);
}

/// 2.1: "Idempotency-Key is an Item Structured Header. Its value MUST be a String."
#[tokio::test]
async fn section_2_1_the_value_is_a_structured_string() {
    for server in server::all(QUICK).await {
        for good in [UUID, "\"clkyoesmbgybucifusbbtdsbohtyuuwz\"", "\"a b, c\"", "\"x\";v=2"] {
            assert_eq!(server.charge(Some(good), 1).await.status, 201, "{}", server.name);
        }
        let charges = server.gateway.charges();
        for bad in ["\"open", "\"a\", \"b\"", "a, b", "\"\"", "", "\"a\" b", "a b"] {
            let answer = server.charge(Some(bad), 1).await;
            assert_eq!(answer.problem(), problem(400, "key-malformed"), "{bad}");
            is_problem(&answer);
        }
        assert_eq!(server.gateway.charges(), charges, "nothing was executed");
    }
}

/// 2.1, as clients have it: a bare value is the same key as the string.
#[tokio::test]
async fn section_2_1_a_bare_value_is_taken_for_the_string() {
    for server in server::all(QUICK).await {
        let first = server.charge(Some("order-1"), 1).await;
        let again = server.charge(Some("\"order-1\""), 1).await;
        assert!(again.is_replay());
        assert_eq!((first.status, &first.body), (again.status, &again.body));
    }
}

/// 2.2: "The idempotency key MUST be unique and MUST NOT be reused with another request with a
/// different request payload." 2.7: "the resource SHOULD reply with a HTTP 422 status code with
/// body containing a link pointing to relevant documentation."
#[tokio::test]
async fn section_2_2_and_2_7_another_payload_is_refused() {
    for server in server::all(QUICK).await {
        let first = server.charge(Some(UUID), 1).await;
        let other = server.charge(Some(UUID), 2).await;
        assert_eq!(other.problem(), problem(422, "key-reused"));
        is_problem(&other);
        // The first request's retries go on working.
        assert_eq!(server.charge(Some(UUID), 1).await.body, first.body);
        assert_eq!(server.gateway.charges(), 1);
    }
}

/// 2.2: "It is RECOMMENDED that a UUID [...] be used as an idempotency key." 5: "Establish a fixed
/// format for the idempotency key [...] Always validate the key as per its published specification
/// before processing any request."
#[tokio::test]
async fn section_2_2_and_5_a_service_may_ask_for_uuids() {
    let world = World::new();
    let count = Count::default();
    let ran = count.clone();
    let layer = world.layer().keys(KeyPolicy::new().format(KeyFormat::Uuid));
    let service = around(&layer, move |_| {
        ran.up();
        async { reply(201, "") }
    });
    let told = service.send(post("order-1", "x")).await;
    assert_eq!((told.problem(), count.get()), (problem(400, "key-malformed"), 0));
    assert_eq!(service.send(post(UUID.trim_matches('"'), "x")).await.status, 201);
}

/// 2.3: "The resource MAY require time based idempotency keys to be able to purge or delete a key
/// upon its expiry." A key whose time is over is new.
#[tokio::test]
async fn section_2_3_a_key_expires() {
    for server in server::scripted(Setup { ttl: Duration::from_millis(1), ..QUICK_IETF }).await {
        let first = server.charge(Some(UUID), 1).await;
        loop {
            let again = server.charge(Some(UUID), 1).await;
            if !again.is_replay() {
                assert_eq!((again.status, server.gateway.charges()), (201, 2), "{}", server.name);
                assert_ne!(again.body, first.body);
                break;
            }
            assert_eq!(again.body, first.body);
        }
    }
}

/// 2.3: "The resource SHOULD define such expiration policy and publish it in the documentation."
/// 2.5.2: "Resources MUST publish a idempotency related specification. This specification MUST
/// include expiration related policy if applicable." Here it is a header on every response that is
/// kept, and a link from every problem.
#[tokio::test]
async fn section_2_3_and_2_5_2_expiry_and_documentation_are_published() {
    for server in server::scripted(QUICK_IETF).await {
        for _ in 0..2 {
            assert_eq!(server.charge(Some(UUID), 1).await.header(RETENTION), "3600");
        }
        is_problem(&server.charge(Some(UUID), 2).await);
    }
}

/// 2.4: "An idempotency fingerprint MAY be used in conjunction with an idempotency key to determine
/// the uniqueness of a request. [...] Checksum of selected element(s) in the request payload. [...]
/// Field value match for each field". The checksum of the whole payload is the default.
#[tokio::test]
async fn section_2_4_a_fingerprint_is_made_of_what_a_service_chooses() {
    let fields = BodyPart::JsonFields(vec!["/amount".to_owned()]);
    let cases = [
        (BodyPart::Bytes, [false, false, false]),
        (BodyPart::CanonicalJson, [true, false, false]),
        (fields, [true, true, false]),
        (BodyPart::Ignored, [true, true, true]),
    ];
    for (part, same) in cases {
        let world = World::new();
        let rule = Rule::new().fingerprint(FingerprintParts::new().body(part));
        let service = around(&world.layer().rule(rule), |_| async { reply(201, "") });
        service.send(post("key", r#"{"amount":1,"note":"a"}"#)).await;
        let others = [
            r#"{ "note": "a", "amount": 1.0 }"#,
            r#"{"amount":1,"note":"b"}"#,
            r#"{"amount":2,"note":"a"}"#,
        ];
        for (other, same) in others.iter().zip(same) {
            let told = service.send(post("key", other)).await;
            assert_eq!(
                (told.status, told.is_replay()),
                if same { (201, true) } else { (422, false) }
            );
        }
    }
}

/// 2.5.1: "Clients MAY choose to send an Idempotency-Key field with any valid value to indicate the
/// user's intent is to only perform this action once. Without a priori knowledge, a general client
/// cannot assume the server will respect this request."
#[tokio::test]
async fn section_2_5_1_a_key_may_be_sent_where_none_is_required() {
    let optional = Setup { requirement: Some(Requirement::Optional), ..QUICK_IETF };
    for server in server::scripted(optional).await {
        assert_eq!(server.charge(None, 1).await.status, 201);
        assert_eq!(server.charge(None, 1).await.status, 201);
        server.charge(Some(UUID), 1).await;
        assert!(server.charge(Some(UUID), 1).await.is_replay());
        assert_eq!(server.gateway.charges(), 3);
    }
    let off = Setup { requirement: Some(Requirement::Off), ..QUICK_IETF };
    for server in server::scripted(off).await {
        for _ in 0..2 {
            assert!(!server.charge(Some(UUID), 1).await.is_replay());
        }
        assert_eq!(server.gateway.charges(), 2);
    }
}

/// 1: "the methods OPTIONS, HEAD, GET, PUT and DELETE are idempotent while methods POST and PATCH
/// are not." Keys of the former are not looked at.
#[tokio::test]
async fn section_1_keys_are_for_post_and_patch() {
    for server in server::scripted(QUICK_IETF).await {
        let order = json!({ "amount": 1 });
        let methods = [Method::PUT, Method::DELETE, Method::GET, Method::HEAD, Method::OPTIONS];
        for method in methods {
            for _ in 0..2 {
                let request = server.order(method.clone(), Some(UUID), &order);
                let answer = server.send(request).await;
                assert_eq!((answer.status, answer.is_replay()), (201, false), "{method}");
            }
        }
        assert_eq!(server.gateway.charges(), 10);
        for (method, key) in [(Method::POST, UUID), (Method::PATCH, "\"other\"")] {
            let [first, again] = [(); 2].map(|()| server.order(method.clone(), Some(key), &order));
            assert!(!server.send(first).await.is_replay());
            assert!(server.send(again).await.is_replay());
            let keyless = server.send(server.order(method, None, &order)).await;
            assert_eq!(keyless.problem(), problem(400, "key-missing"));
        }
        assert_eq!(server.gateway.charges(), 12);
    }
}

/// 2.6: "the result of the previously completed operation, success or an error." 2.7: "For other
/// 4xx/5xx errors, such as 401, 403, 500, 502, 503, 504, 429 [...], the client SHOULD act
/// appropriately by following the resource's documentation." They are the service's: they reach
/// the client as they are, and `docs/http.md` says which are kept.
#[tokio::test]
async fn section_2_6_and_2_7_errors_of_the_service_are_results() {
    for server in server::scripted(QUICK_IETF).await {
        for status in [303, 400, 401, 403, 404, 409, 422, 500, 502, 503, 504] {
            let (key, order) = (format!("key-{status}"), json!({ "statuses": [status] }));
            let charges = server.gateway.charges();
            let first = server.scripted(&key, &order).await;
            let again = server.scripted(&key, &order).await;
            assert_eq!((first.status, first.is_replay()), (status, false), "{}", server.name);
            assert_eq!((again.status, again.is_replay()), (status, true), "{}", server.name);
            assert_eq!(first.body, again.body);
            assert_eq!(server.gateway.charges(), charges + 1);
        }
        let charges = server.gateway.charges();
        for _ in 0..2 {
            let limited = server.scripted("key-429", &json!({ "statuses": [429] })).await;
            assert_eq!((limited.status, limited.is_replay()), (429, false));
        }
        assert_eq!(server.gateway.charges(), charges + 2);
    }
}

/// What no sentence of the draft covers: a handler whose effect is not known is not run again.
#[tokio::test]
async fn what_may_have_been_executed_is_not_executed_again() {
    for server in server::scripted(QUICK_IETF).await {
        let order = json!({ "panic": true });
        let first = server.scripted(UUID, &order).await;
        let told =
            if server.knows_panics { (500, "handler-failed") } else { (502, "upstream-hung-up") };
        assert_eq!(first.problem(), problem(told.0, told.1));
        for _ in 0..2 {
            let again = server.scripted(UUID, &order).await;
            assert_eq!(again.problem(), problem(409, "unresolved"));
            is_problem(&again);
        }
        assert_eq!(server.gateway.charges(), 1);
    }
}

/// The same while the first is in flight: that question comes before the conflict.
#[tokio::test]
async fn section_2_7_another_payload_is_refused_also_while_the_first_is_in_flight() {
    for server in server::all(SLOW).await {
        // Whichever comes second is told at once, and is not held up.
        let [one, other] = [server.charge(Some(UUID), 1), server.charge(Some(UUID), 2)];
        let told = tokio::select! {
            told = one => told,
            told = other => told,
        };
        assert_eq!(told.problem(), problem(422, "key-reused"));
        is_problem(&told);
    }
}

/// 2.6: "First time request. The resource SHOULD process the request normally and respond with an
/// appropriate response and status code."
#[tokio::test]
async fn section_2_6_a_first_request_is_processed_normally() {
    for server in server::all(QUICK).await {
        let first = server.charge(Some(UUID), 1200).await;
        assert_eq!(first.status, 201);
        assert!(!first.is_replay());
        assert_eq!(first.json()["amount"], 1200);
        let other = server.charge(Some("\"another\""), 1200).await;
        assert_ne!(first.json()["id"], other.json()["id"]);
    }
}

/// 2.6: "Retry. The request was retried after the original request completed. The resource SHOULD
/// respond with the result of the previously completed operation, success or an error." (The errors
/// are in `results.rs`.)
#[tokio::test]
async fn section_2_6_a_retry_gets_the_result() {
    for server in server::all(QUICK).await {
        let first = server.charge(Some(UUID), 1).await;
        for _ in 0..3 {
            let again = server.charge(Some(UUID), 1).await;
            assert_eq!((first.status, &first.body), (again.status, &again.body));
            assert_eq!(first.header("content-type"), again.header("content-type"));
            assert!(again.is_replay());
        }
        assert_eq!(server.gateway.charges(), 1);
    }
}

/// 2.6: "Concurrent Request. The request was retried before the original request completed. The
/// resource SHOULD respond with a resource conflict error." 2.7: "the resource SHOULD reply with an
/// HTTP 409 status code with body containing problem description."
#[tokio::test]
async fn section_2_6_and_2_7_a_concurrent_request_is_a_conflict() {
    for server in server::all_of(Setup { delay: SLOW, wait: BRIEF, ..QUICK_IETF }).await {
        let [one, other] = [server.charge(Some(UUID), 1), server.charge(Some(UUID), 1)];
        let told = tokio::select! {
            told = one => told,
            told = other => told,
        };
        assert_eq!(told.problem(), problem(409, "in-flight"));
        is_problem(&told);
        assert_eq!(told.header("retry-after"), "1");
    }
}

/// What a request waits for before it is a conflict: the first one's answer, if that comes in time.
#[tokio::test]
async fn concurrent_requests_share_one_execution() {
    for server in server::all(Duration::from_millis(50)).await {
        let requests = (0..16).map(|_| {
            let request = server.request(Some(UUID), 1);
            async move { request.send().await.expect("a response").text().await.expect("a body") }
        });
        let tasks: Vec<_> = requests.map(tokio::spawn).collect();
        let mut bodies = Vec::new();
        for task in tasks {
            bodies.push(task.await.expect("an answer"));
        }
        bodies.dedup();
        assert_eq!(bodies.len(), 1, "{bodies:?}");
        assert_eq!(server.gateway.charges(), 1);
    }
}

/// 2.7: "If the Idempotency-Key request header is missing for a documented idempotent operation
/// requiring this header, the resource SHOULD reply with an HTTP 400 status code with body
/// containing a link pointing to relevant documentation."
#[tokio::test]
async fn section_2_7_a_missing_key_is_refused() {
    for server in server::all(QUICK).await {
        let answer = server.charge(None, 1).await;
        assert_eq!(answer.problem(), problem(400, "key-missing"));
        is_problem(&answer);
        assert_eq!(server.gateway.charges(), 0);
    }
}

/// 2.7: "Clients MUST correct the requests (with the exception of 409 where no correction is
/// required) before performing a retry operation, or the resource MUST fail the request and return
/// one of the above errors."
#[tokio::test]
async fn section_2_7_what_is_not_corrected_fails_again() {
    for server in server::all(QUICK).await {
        server.charge(Some(UUID), 1).await;
        for _ in 0..3 {
            assert_eq!(server.charge(Some(UUID), 2).await.status, 422);
            assert_eq!(server.charge(None, 2).await.status, 400);
        }
        assert_eq!(server.charge(Some("\"corrected\""), 2).await.status, 201);
    }
}

/// 5 (Security): "implement a unique composite key as the idempotent cache lookup key [...] with
/// other client specific attributes known only to the resource."
#[tokio::test]
async fn section_5_a_key_belongs_to_its_caller() {
    for server in server::all(QUICK).await {
        let anna = server.charge(Some(UUID), 1).await;
        let ben = server.charge_as(Some("sk_ben"), UUID, 1).await;
        assert_eq!(ben.status, 201);
        assert!(!ben.is_replay());
        assert_ne!(anna.body, ben.body);
        // Not even that the key is taken by another payload may be seen.
        assert_eq!(server.charge_as(Some("sk_ben"), UUID, 1).await.body, ben.body);
        assert_eq!(server.gateway.charges(), 2);
    }
}

/// Whoever says not who it is gets neither an execution nor an answer of somebody's.
#[tokio::test]
async fn a_request_of_nobody_is_refused() {
    for server in server::all(QUICK).await {
        let answer = server.charge_as(None, UUID, 1).await;
        assert_eq!(answer.problem(), problem(401, "scope-missing"));
        assert_eq!(server.gateway.charges(), 0);
    }
}
