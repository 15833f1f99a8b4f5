//! Input that means harm, byte by byte over real sockets: a clear answer, nothing executed, and
//! nothing of anybody else's.

use std::net::SocketAddr;
use std::time::Duration;

use oncekey::Options;
use oncekey::http::IdempotencyLayer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server;
use crate::world::{Answer, Count, Sends, account, around, post, reply};

/// Sends bytes, and reads until the server has nothing more to say.
async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    socket.write_all(request).await.expect("sent");
    rest_of(socket).await
}

/// The same of a client that then sends no more, where the server may wait for it.
async fn raw_and_no_more(address: SocketAddr, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    socket.write_all(request).await.expect("sent");
    socket.shutdown().await.expect("no more");
    rest_of(socket).await
}

async fn rest_of(mut socket: TcpStream) -> String {
    let mut answer = Vec::new();
    // A server that hangs up on us has said enough.
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(headers: &str, body: &str) -> Vec<u8> {
    let head = "POST /v1/charges HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk_anna\r\n\
                Content-Type: application/json\r\nConnection: close\r\n";
    format!("{head}{headers}\r\n{body}").into_bytes()
}

const BODY: &str = "{\"amount\":1}";
const LENGTH: &str = "Content-Length: 12\r\n";

/// Zero of no answer.
fn status(answer: &str) -> u16 {
    Answer::parse(answer.as_bytes()).map_or(0, |answer| answer.status)
}

/// The requests here are good ones when nothing is wrong with them.
#[tokio::test]
async fn a_plain_request_is_executed() {
    for server in server::all(Duration::ZERO).await {
        let sent = request(&format!("{LENGTH}Idempotency-Key: \"a\"\r\n"), BODY);
        let first = raw(server.address, &sent).await;
        assert_eq!(status(&first), 201, "{first}");
        let again = raw(server.address, &sent).await;
        assert!(again.contains("idempotent-replayed: true"), "{again}");
        assert_eq!(server.gateway.charges(), 1);
    }
}

#[tokio::test]
async fn keys_that_are_not_keys_are_refused() {
    let huge = "k".repeat(10_000);
    let bad: [Vec<u8>; 11] = [
        b"\"\x01\"".to_vec(),
        b"\"a\xff\"".to_vec(),
        b"\xf0\x9f\x92\xa9".to_vec(),
        b"\"a\", \"b\"".to_vec(),
        b"a,b".to_vec(),
        b"\"\\n\"".to_vec(),
        b"\"".to_vec(),
        b"\"\"".to_vec(),
        b"".to_vec(),
        huge.clone().into_bytes(),
        format!("\"{huge}\"").into_bytes(),
    ];
    for server in server::all(Duration::ZERO).await {
        for key in &bad {
            let mut headers = format!("{LENGTH}Idempotency-Key: ").into_bytes();
            headers.extend_from_slice(key);
            headers.extend_from_slice(b"\r\n");
            let mut sent = request("", "");
            sent.truncate(sent.len() - 2);
            sent.extend_from_slice(&headers);
            sent.extend_from_slice(format!("\r\n{BODY}").as_bytes());
            let answer = raw(server.address, &sent).await;
            assert_eq!(status(&answer), 400, "{key:?}: {answer}");
            assert!(!answer.contains("kkkk"), "what was sent does not come back");
        }
        assert_eq!(server.gateway.charges(), 0);
    }
}

#[tokio::test]
async fn two_keys_are_none() {
    for server in server::all(Duration::ZERO).await {
        for (one, other) in [("\"a\"", "\"a\""), ("\"a\"", "\"b\""), ("a", "b")] {
            let keys = format!("{LENGTH}Idempotency-Key: {one}\r\nidempotency-key: {other}\r\n");
            assert_eq!(status(&raw(server.address, &request(&keys, BODY)).await), 400);
        }
        assert_eq!(server.gateway.charges(), 0);
    }
}

/// A key cannot carry a header into an answer, nor a second request into a connection.
#[tokio::test]
async fn lines_are_not_smuggled() {
    for server in server::all(Duration::ZERO).await {
        for key in ["\"a\rX-Evil: 1\"", "\"a\\r\\nX-Evil: 1\"", "a%0d%0aX-Evil:1"] {
            let headers = format!("{LENGTH}Idempotency-Key: {key}\r\n");
            for _ in 0..2 {
                let answer = raw(server.address, &request(&headers, BODY)).await;
                let head = answer.split("\r\n\r\n").next().unwrap_or("").to_lowercase();
                assert!(!head.contains("x-evil"), "{answer}");
            }
        }
    }
}

/// Lengths that contradict each other are the HTTP server's to refuse; whatever it does, a request
/// is executed once at most and the body that counts is the body that was read.
#[tokio::test]
async fn conflicting_lengths_execute_once_at_most() {
    const FRAMINGS: [&str; 4] = [
        "Content-Length: 12\r\nContent-Length: 11\r\n",
        "Content-Length: 12\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: -1\r\n",
        "Transfer-Encoding: identity, chunked, x\r\n",
    ];
    for server in server::all(Duration::ZERO).await {
        for (at, framing) in FRAMINGS.iter().enumerate() {
            let before = server.gateway.charges();
            for _ in 0..3 {
                let headers = format!("{framing}Idempotency-Key: \"framing-{at}\"\r\n");
                let answer = raw_and_no_more(server.address, &request(&headers, BODY)).await;
                assert!([0, 400, 201].contains(&status(&answer)), "{framing}: {answer}");
            }
            assert!(server.gateway.charges() <= before + 1, "{framing}");
        }
    }
}

/// A body that ends early was not the request.
#[tokio::test]
async fn half_a_body_takes_no_key() {
    for server in server::all(Duration::ZERO).await {
        let headers = "Content-Length: 100\r\nIdempotency-Key: \"half\"\r\n";
        let answer = raw_and_no_more(server.address, &request(headers, BODY)).await;
        assert!([0, 400].contains(&status(&answer)), "{answer}");
        assert_eq!(server.gateway.charges(), 0);
        let whole = request(&format!("{LENGTH}Idempotency-Key: \"half\"\r\n"), BODY);
        assert_eq!(status(&raw(server.address, &whole).await), 201);
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_unread() {
    for server in server::all(Duration::ZERO).await {
        let headers = "Content-Length: 999999999999\r\nIdempotency-Key: \"large\"\r\n";
        let answer = raw(server.address, &request(headers, BODY)).await;
        assert_eq!(status(&answer), 413, "{answer}");
        assert_eq!(server.gateway.charges(), 0);
    }
}

/// A host that is missing or doubled is the HTTP server's to refuse. To the layer it is no part of
/// the request: the key is whose it is.
#[tokio::test]
async fn a_missing_or_doubled_host_executes_once_at_most() {
    for server in server::all(Duration::ZERO).await {
        let plain = request(&format!("{LENGTH}Idempotency-Key: \"host\"\r\n"), BODY);
        let plain = String::from_utf8(plain).expect("UTF-8");
        for hosts in ["", "Host: a\r\nHost: b\r\n", "Host: b\r\n"] {
            let answer = raw(server.address, plain.replace("Host: a\r\n", hosts).as_bytes()).await;
            assert!([201, 400].contains(&status(&answer)), "{}: {answer}", server.name);
            if server.name == "proxy" && hosts != "Host: b\r\n" {
                assert_eq!(status(&answer), 400, "{answer}");
            }
        }
        assert_eq!(server.gateway.charges(), 1, "{}", server.name);
    }
}

/// Thousands of keys from one scope: it meets its limit, and nobody else does.
#[tokio::test]
async fn thousands_of_keys_of_one_scope_are_limited() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options::new().segment_bytes(4 << 20).scope_limit(100, Duration::from_secs(3600));
    let store = options.create(dir.path().join("state")).expect("a store");
    let count = Count::default();
    let ran = count.clone();
    let service = around(&IdempotencyLayer::new(store.clone(), account), move |_| {
        ran.up();
        async { reply(201, "") }
    });
    for number in 0..5_000 {
        let told = service.send(post(&format!("key-{number}"), "x")).await;
        assert_eq!(told.status, if number < 100 { 201 } else { 429 });
    }
    assert_eq!((count.get(), store.stats().in_flight, store.stats().records), (100, 0, 100));
    assert!(service.send(post("key-0", "x")).await.is_replay());
    let mut other = post("key-0", "x");
    other.headers_mut().insert("x-account", "other".parse().expect("a value"));
    assert_eq!(service.send(other).await.status, 201);
}
