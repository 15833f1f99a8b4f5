//! Bodies: large ones, broken ones, streams, and what of a response is replayed.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Frame};
use oncekey::http::{BodyPart, FingerprintParts, LayerBody, Rule};
use tower::{Layer, ServiceExt};

use crate::world::{Count, Reply, Sends, World, around, post, problem, read, reply};

type Asked = Request<LayerBody<Full<Bytes>>>;

/// A body of frames, or of an error after them, or that never ends.
struct Frames {
    frames: Vec<Frame<Bytes>>,
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    End,
    Break,
    Hang,
}

impl Frames {
    fn new(chunks: &[&'static str], then: Then) -> Self {
        let data = |chunk: &&'static str| Frame::data(Bytes::from_static(chunk.as_bytes()));
        Self { frames: chunks.iter().rev().map(data).collect(), then }
    }

    fn trailers(mut self, name: &'static str, value: &'static str) -> Self {
        let mut trailers = HeaderMap::new();
        trailers.insert(name, value.parse().expect("a value"));
        self.frames.insert(0, Frame::trailers(trailers));
        self
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        match (self.frames.pop(), self.then) {
            (Some(frame), _) => Poll::Ready(Some(Ok(frame))),
            (None, Then::End) => Poll::Ready(None),
            (None, Then::Break) => Poll::Ready(Some(Err("broken"))),
            (None, Then::Hang) => Poll::Pending,
        }
    }
}

fn framed<F>(world: &World, rule: Rule, make: F) -> impl Sends + use<F>
where
    F: Fn() -> Response<Frames> + Clone + Send + Sync + 'static,
{
    world.layer().rule(rule).layer(tower::service_fn(move |_: Asked| {
        let response = make();
        async move { Ok::<_, Infallible>(response) }
    }))
}

/// Promise 3: status, headers and bytes; values of one name apart, and in their order.
#[tokio::test]
async fn a_replay_is_the_first_answer() {
    let world = World::new();
    let service = around(&world.layer(), |_| async {
        Response::builder()
            .status(202)
            .header("x-b", "1")
            .header("link", "<a>")
            .header("link", "<b>, <c>")
            .header("x-a", "2")
            .header("set-cookie", "session=1")
            .header("date", "Thu, 01 Jan 1970 00:00:00 GMT")
            .header("connection", "x-hop")
            .header("x-hop", "1")
            .header("content-type", "application/octet-stream")
            .body(Full::from(&b"\0\xff body"[..]))
            .expect("a response")
    });
    let first = service.send(post("key", "x")).await;
    assert_eq!(first.header("set-cookie"), "session=1", "the first caller has its cookie");
    let again = service.send(post("key", "x")).await;
    let mut expected = first.headers.clone();
    for name in ["set-cookie", "date", "connection", "x-hop"] {
        expected.remove(name);
    }
    expected.insert("idempotent-replayed", "true".parse().expect("a value"));
    assert_eq!(again.headers, expected);
    assert_eq!((again.status, again.body), (202, first.body));
}

/// The key executes once, whoever is first gets all of it, and nobody gets a part.
#[tokio::test]
async fn a_response_that_is_too_large_is_not_kept_and_not_run_again() {
    let world = World::new();
    for make in [
        || Frames::new(&["0123456789", "0123456789"], Then::End),
        || Frames::new(&["012345678901234567890"], Then::End),
    ] {
        let count = Count::default();
        let ran = count.clone();
        let service = framed(&world, Rule::new().max_response_bytes(15), move || {
            ran.up();
            Response::builder().status(201).body(make()).expect("a response")
        });
        let key = format!("key-{}", make().frames.len());
        let first = service.send(post(&key, "x")).await;
        assert!(first.body.len() >= 20, "whole");
        for _ in 0..2 {
            let again = service.send(post(&key, "x")).await;
            assert_eq!(again.problem(), problem(410, "response-not-kept"));
            assert_eq!(again.json()["original_status"], 201);
            assert!(again.is_replay());
        }
        assert_eq!(count.get(), 1);
    }
}

/// The same where it is the store that has no room for it.
#[tokio::test]
async fn a_response_that_the_store_refuses_is_completed_without_its_body() {
    let world = World::new();
    let count = Count::default();
    let ran = count.clone();
    let service = around(&world.layer().rule(Rule::new().max_response_bytes(8 << 20)), move |_| {
        ran.up();
        async { reply(200, vec![b'x'; 2 << 20]) }
    });
    assert_eq!(service.send(post("key", "x")).await.body.len(), 2 << 20);
    assert_eq!(service.send(post("key", "x")).await.problem(), problem(410, "response-not-kept"));
    assert_eq!(count.get(), 1);
}

#[tokio::test]
async fn a_response_that_breaks_off_leaves_the_key_unresolved() {
    let world = World::new();
    let service =
        framed(&world, Rule::new(), || Response::new(Frames::new(&["half"], Then::Break)));
    assert_eq!(service.send(post("key", "x")).await.problem(), problem(500, "handler-failed"));
    assert_eq!(service.send(post("key", "x")).await.problem(), problem(409, "unresolved"));
}

/// A stream begins at once, and is completed when it has begun.
#[tokio::test]
async fn a_stream_passes_through() {
    let world = World::new();
    let layer = world.layer().layer(tower::service_fn(|_: Asked| async {
        let body = Frames::new(&["data: 1\n\n"], Then::Hang);
        let response = Response::builder().header("content-type", "text/event-stream").body(body);
        Ok::<_, Infallible>(response.expect("a response"))
    }));
    let first = layer.clone().oneshot(post("key", "x")).await.expect("a response");
    assert_eq!(first.status(), 200);
    let again = read(layer.oneshot(post("key", "x")).await.expect("a response")).await;
    assert_eq!(again.problem(), problem(410, "response-not-kept"));
}

/// gRPC's status is in the trailers: they are kept, and tell the results apart.
#[tokio::test]
async fn grpc_has_trailers_and_its_own_problems() {
    let world = World::new();
    let grpc = |status: &'static str| {
        let body = Frames::new(&["reply"], Then::End).trailers("grpc-status", status);
        let response = Response::builder().header("content-type", "application/grpc");
        response.body(body).expect("a response")
    };
    let asked = |key: &str, body: &str| {
        let mut request = post(key, body);
        request.headers_mut().insert("content-type", "application/grpc".parse().expect("a value"));
        request
    };
    let ok = framed(&world, Rule::new(), move || grpc("0"));
    let first = ok.send(asked("ok", "x")).await;
    let again = ok.send(asked("ok", "x")).await;
    assert_eq!((&first.body, &first.trailers), (&again.body, &again.trailers));
    assert_eq!(again.trailers.as_ref().expect("trailers")["grpc-status"], "0");
    assert!(again.is_replay());
    let reused = ok.send(asked("ok", "y")).await;
    assert_eq!((reused.status, reused.header("grpc-status")), (200, "3"));
    assert_eq!(reused.header("grpc-message"), "key-reused");
    // Resource exhausted is gRPC's 429.
    let exhausted = framed(&world, Rule::new(), move || grpc("8"));
    for _ in 0..2 {
        assert!(!exhausted.send(asked("exhausted", "x")).await.is_replay());
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused_before_anything_is_stored() {
    let world = World::new();
    let count = Count::default();
    let ran = count.clone();
    let service = around(&world.layer().rule(Rule::new().max_request_bytes(4)), move |_| {
        ran.up();
        async { reply(200, "") }
    });
    assert_eq!(service.send(post("key", "12345")).await.problem(), problem(413, "body-too-large"));
    assert_eq!(count.get(), 0);
    // The key is not taken.
    assert_eq!(service.send(post("key", "1234")).await.status, 200);
}

/// A body that comes too slowly, or not whole, takes no key.
#[tokio::test]
async fn a_body_that_does_not_arrive_takes_no_key() {
    let world = World::new();
    let layer = world.layer().rule(Rule::new().body_timeout(Duration::from_millis(20)));
    let service = layer.layer(tower::service_fn(|_: Request<LayerBody<Frames>>| async {
        Ok::<Reply, Infallible>(reply(200, ""))
    }));
    let send = |then| {
        let body = Frames::new(&["half"], then);
        let request = post("key", "").map(|_| body);
        let service = service.clone();
        async move { read(service.oneshot(request).await.expect("a response")).await }
    };
    assert_eq!(send(Then::Hang).await.problem(), problem(408, "body-timeout"));
    assert_eq!(send(Then::Break).await.problem(), problem(400, "body-unreadable"));
    assert_eq!(send(Then::End).await.status, 200);
}

/// The handler gets the bytes that were sent, trailers and all.
#[tokio::test]
async fn the_handler_reads_the_body_that_was_sent() {
    let world = World::new();
    let handler = |request: Request<LayerBody<Frames>>| async move {
        let (_, body) = request.into_parts();
        let answer = read(Response::new(body)).await;
        let trailer = answer.trailers.map_or(0, |trailers| trailers.len());
        let told = format!("{} {trailer}", String::from_utf8_lossy(&answer.body));
        Ok::<Reply, Infallible>(reply(200, told))
    };
    let service = world.layer().layer(tower::service_fn(handler));
    let body = Frames::new(&["one ", "two"], Then::End).trailers("x-sum", "1");
    let answer = service.oneshot(post("key", "").map(|_| body)).await.expect("a response");
    assert_eq!(read(answer).await.body, "one two 1");
}

#[tokio::test]
async fn json_may_be_compared_by_its_value() {
    let world = World::new();
    let parts = FingerprintParts::new().body(BodyPart::CanonicalJson);
    let layer = world.layer().rule(Rule::new().fingerprint(parts));
    let service = around(&layer, |_| async { reply(200, "charged") });
    let send = |body: &str| service.send(post("key", body));
    assert_eq!(send(r#"{"amount": 100, "currency": "eur"}"#).await.status, 200);
    assert!(send(r#"{"currency":"eur","amount":100}"#).await.is_replay());
    assert_eq!(send(r#"{"currency":"eur","amount":101}"#).await.status, 422);
}
