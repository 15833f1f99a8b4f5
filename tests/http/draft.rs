//! draft-ietf-httpapi-idempotency-key-header-07, sentence by sentence. Each test names its section,
//! and runs against every service.

use std::time::Duration;

use crate::server::{self, Server};
use crate::world::problem;

const QUICK: Duration = Duration::ZERO;
/// Longer than any test lasts.
const SLOW: Duration = Duration::from_secs(600);
const UUID: &str = "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"";

fn is_problem(answer: &crate::world::Answer) {
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let kind = answer.json()["type"].as_str().expect("a type").to_owned();
    assert!(kind.starts_with("https://developer.example.com/idempotency#"), "{kind}");
    let link = "<https://developer.example.com/idempotency>; rel=\"describedby\"";
    assert_eq!(answer.header("link"), link);
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
    for server in server::all(SLOW).await {
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
        let ben = bens(&server, 1).await;
        assert_eq!(ben.status, 201);
        assert!(!ben.is_replay());
        assert_ne!(anna.body, ben.body);
        // Not even that the key is taken by another payload may be seen.
        assert_eq!(bens(&server, 1).await.body, ben.body);
        assert_eq!(server.gateway.charges(), 2);
    }
}

async fn bens(server: &Server, amount: u64) -> crate::world::Answer {
    let request = server.request(Some(UUID), amount).build().expect("a request");
    let mut request = request;
    request.headers_mut().insert("authorization", "Bearer sk_ben".parse().expect("a value"));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let builder = reqwest::RequestBuilder::from_parts(client, request);
    server.send(builder).await
}

/// Whoever says not who it is gets neither an execution nor an answer of somebody's.
#[tokio::test]
async fn a_request_of_nobody_is_refused() {
    for server in server::all(QUICK).await {
        let mut request = server.request(Some(UUID), 1).build().expect("a request");
        request.headers_mut().remove("authorization");
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = server.send(reqwest::RequestBuilder::from_parts(client, request)).await;
        assert_eq!(answer.problem(), problem(401, "scope-missing"));
        assert_eq!(server.gateway.charges(), 0);
    }
}
