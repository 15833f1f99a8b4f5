//! Which results are kept, and what becomes of those that are not.

use std::io;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode};
use http_body_util::Full;
use oncekey::DropPolicy;
use oncekey::http::{
    Action, Attempt, IdempotencyLayer, LayerBody, Requirement, ResultClass, ResultPolicy, Rule,
};
use tower::{Layer, ServiceExt};

use crate::world::{Count, Reply, Sends, World, around, keyless, post, problem, reply};

type Asked = Request<LayerBody<Full<Bytes>>>;

fn policy() -> ResultPolicy {
    ResultPolicy::of(oncekey::http::Profile::Ietf)
}

/// A handler that counts, and answers with this status.
fn counting(
    count: &Count,
    status: u16,
) -> impl Fn(Asked) -> std::future::Ready<Reply> + Clone + use<> {
    let count = count.clone();
    move |_| std::future::ready(reply(status, format!("run {}", count.up())))
}

/// The draft, 2.6: the result of the completed operation, "success or an error".
#[tokio::test]
async fn successes_and_errors_are_kept() {
    let world = World::new();
    for status in [200, 204, 302, 400, 403, 404, 422, 500, 502, 503] {
        let count = Count::default();
        let service = around(&world.layer(), counting(&count, status));
        let key = format!("key-{status}");
        let first = service.send(post(&key, "x")).await;
        let again = service.send(post(&key, "x")).await;
        assert_eq!((first.status, again.status, count.get()), (status, status, 1));
        assert_eq!(first.body, again.body);
        assert_eq!((first.is_replay(), again.is_replay()), (false, true));
    }
}

#[tokio::test]
async fn a_429_gives_the_key_back() {
    let world = World::new();
    let count = Count::default();
    let service = around(&world.layer(), counting(&count, 429));
    for run in 1..=3 {
        assert_eq!(service.send(post("key", "x")).await.status, 429);
        assert_eq!(count.get(), run);
    }
}

/// A handler that knows what its status does not tell goes before the policy.
#[tokio::test]
async fn a_handler_may_say_what_becomes_of_its_result() {
    let world = World::new();
    for (status, action, runs) in
        [(502, Action::Release, 3), (201, Action::Abandon, 1), (429, Action::Store, 1)]
    {
        let count = Count::default();
        let ran = count.clone();
        let service = around(&world.layer(), move |_| {
            ran.up();
            let mut reply = reply(status, "x");
            reply.extensions_mut().insert(action);
            std::future::ready(reply)
        });
        let key = format!("key-{status}");
        let told = [(); 3].map(|()| service.send(post(&key, "x")));
        let mut statuses = Vec::new();
        for told in told {
            statuses.push(told.await.status);
        }
        let later = if action == Action::Abandon { 409 } else { status };
        assert_eq!(statuses, [status, later, later], "{action:?}");
        assert_eq!(count.get(), runs, "{action:?}");
    }
}

/// What may have had an effect is not run again: it is held until somebody resolves it.
#[tokio::test]
async fn a_panic_leaves_the_key_unresolved() {
    let world = World::new();
    let count = Count::default();
    let ran = count.clone();
    let service = around(&world.layer(), move |_| {
        ran.up();
        async move { panic!("on purpose") }
    });
    assert_eq!(service.send(post("key", "x")).await.problem(), problem(500, "handler-failed"));
    assert_eq!(service.send(post("key", "x")).await.problem(), problem(409, "unresolved"));
    assert_eq!(service.send(post("key", "y")).await.problem(), problem(422, "key-reused"));
    assert_eq!(count.get(), 1);
}

/// A panic before there is a future is one as well.
#[tokio::test]
async fn a_service_that_panics_when_called_is_a_panic() {
    let world = World::new();
    let service = around(&world.layer(), |request: Asked| {
        assert!(request.uri().path().is_empty(), "on purpose");
        std::future::ready(reply(200, ""))
    });
    assert_eq!(service.send(post("key", "x")).await.problem(), problem(500, "handler-failed"));
    assert_eq!(service.send(post("key", "x")).await.problem(), problem(409, "unresolved"));
}

#[tokio::test]
async fn an_error_of_the_service_reaches_the_caller_and_leaves_the_key_unresolved() {
    let world = World::new();
    let service = world.layer().layer(tower::service_fn(|_: Asked| async {
        Err::<Reply, _>(io::Error::other("the database is gone"))
    }));
    let error = service.clone().oneshot(post("key", "x")).await.expect_err("the error");
    assert_eq!(error.to_string(), "the database is gone");
    let again = service.oneshot(post("key", "x")).await.expect("an answer");
    assert_eq!(again.status(), 409);
}

#[tokio::test]
async fn a_handler_is_stopped_at_its_limit() {
    let world = World::new();
    let rule = Rule::new().handler_limit(Duration::from_millis(20));
    let service = around(&world.layer().rule(rule), |_| std::future::pending());
    assert_eq!(service.send(post("key", "x")).await.problem(), problem(500, "handler-failed"));
    assert_eq!(service.send(post("key", "x")).await.problem(), problem(409, "unresolved"));
}

/// Where what the handler calls deduplicates, an attempt that failed is taken over: attempt 2, with
/// the same downstream key.
#[tokio::test]
async fn with_hold_the_next_attempt_sees_that_it_is_one() {
    let world = World::new();
    let lease = Duration::from_millis(50);
    let rule = Rule::new().on_drop(DropPolicy::Hold).lease(lease).wait(Duration::from_secs(60));
    let service = around(&world.layer().rule(rule), |request: Asked| {
        let attempt = request.extensions().get::<Attempt>().expect("an attempt").clone();
        async move {
            assert!(attempt.attempt() > 1, "on purpose");
            let known = (attempt.attempt(), attempt.key().as_str(), attempt.scope().as_str());
            assert_eq!(known, (2, "key", "acct"));
            reply(200, attempt.downstream_key().as_str().to_owned())
        }
    });
    assert_eq!(service.send(post("key", "x")).await.status, 500);
    // Waits for the lease to be over.
    let second = service.send(post("key", "x")).await;
    assert_eq!((second.status, second.is_replay()), (200, false));
    assert!(second.body.starts_with(b"ok_"));
    assert!(service.send(post("key", "x")).await.is_replay());
}

#[tokio::test]
async fn a_checkpoint_reaches_the_next_attempt() {
    let world = World::new();
    let rule = Rule::new()
        .on_drop(DropPolicy::Hold)
        .lease(Duration::from_millis(50))
        .wait(Duration::from_secs(60));
    let service = around(&world.layer().rule(rule), |request: Asked| {
        let attempt = request.extensions().get::<Attempt>().expect("an attempt").clone();
        async move {
            if let Some(checkpoint) = attempt.checkpoint() {
                return reply(200, checkpoint.name().to_owned());
            }
            let point = oncekey::Checkpoint::new("reserved", b"17").expect("a checkpoint");
            attempt.save_checkpoint(point).await.expect("saved");
            panic!("on purpose")
        }
    });
    assert_eq!(service.send(post("key", "x")).await.status, 500);
    assert_eq!(service.send(post("key", "x")).await.body, "reserved");
}

#[tokio::test]
async fn a_service_chooses_what_is_kept() {
    let world = World::new();
    let results = policy()
        .class(ResultClass::ServerError, Action::Abandon)
        .class(ResultClass::ClientError, Action::Release)
        .status(StatusCode::SERVICE_UNAVAILABLE, Action::Release);
    let layer = world.layer().rule(Rule::new().results(results));
    // The handler's status, that of a retry, and how often it ran.
    for (status, again, runs) in [(400, 400, 2), (503, 503, 2), (502, 409, 1), (200, 200, 1)] {
        let count = Count::default();
        let service = around(&layer, counting(&count, status));
        let key = format!("key-{status}");
        assert_eq!(service.send(post(&key, "x")).await.status, status);
        assert_eq!(service.send(post(&key, "x")).await.status, again);
        assert_eq!(count.get(), runs, "{status}");
    }
}

#[tokio::test]
async fn routes_have_rules_of_their_own() {
    let world = World::new();
    let off = Rule::new().requirement(Requirement::Off);
    let optional = Rule::new().requirement(Requirement::Optional);
    let layer: IdempotencyLayer<_> = world
        .layer()
        .route(Some(Method::POST), "/v1/charges/search", off)
        .route(None, "/v1/charges*", optional);
    let count = Count::default();
    let service = around(&layer, counting(&count, 200));
    let send = |method: &str, path: &str, key: bool| {
        let mut request = if key { post("key", "x") } else { keyless("x") };
        *request.uri_mut() = path.parse().expect("a path");
        *request.method_mut() = method.parse().expect("a method");
        service.send(request)
    };
    // Off: a key has no effect.
    for runs in 1..=2 {
        assert!(!send("POST", "/v1/charges/search", true).await.is_replay());
        assert_eq!(count.get(), runs);
    }
    // Optional: it has, also of methods that have none by default, and may be missing.
    assert!(!send("PUT", "/v1/charges/1", true).await.is_replay());
    assert!(send("PUT", "/v1/charges/1", true).await.is_replay());
    assert_eq!(send("POST", "/v1/charges", false).await.status, 200);
    // Required by default, of POST and PATCH.
    assert_eq!(send("PATCH", "/v2", false).await.problem(), problem(400, "key-missing"));
    assert_eq!(send("PUT", "/v2", false).await.status, 200);
}
