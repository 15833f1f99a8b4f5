//! Requests that two servers would read differently, and requests that are no HTTP.

use crate::answer::Answer;
use crate::process::Place;
use crate::upstream::Upstream;
use crate::wire::exchange;

const HEAD: &str =
    "POST /v1/charges HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nIdempotency-Key: k\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Zero of no answer.
fn status(answer: &[u8]) -> u16 {
    Answer::parse(answer).map_or(0, |answer| answer.status)
}

#[test]
fn no_second_request_is_found_in_the_body_of_the_first() {
    for lengths in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 99\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let (place, upstream) = (Place::new(), Upstream::start());
        let proxy = place.proxy(upstream.address, &[]);
        let request = format!("{HEAD}{lengths}\r\n0\r\n\r\n{SMUGGLED}");
        let answer = exchange(proxy.clients, request.as_bytes());
        // It is read as chunked or not at all, and what follows it is not read.
        assert!([201, 400].contains(&status(&answer)), "{lengths}: {answer:?}");
        let seen = upstream.seen();
        assert!(seen.len() <= 1, "{lengths}: {seen:?}");
        for seen in seen {
            assert!(seen.line.starts_with("POST /v1/charges"), "{seen:?}");
            assert!(seen.all("transfer-encoding").is_empty(), "{seen:?}");
            assert!(seen.body.is_empty(), "{seen:?}");
        }
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    let auth = "Authorization: a\r\nIdempotency-Key: k\r\n";
    let cases = [
        format!("{HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\n{SMUGGLED}"),
        format!("{HEAD}Content-Length: +1\r\n\r\n1{SMUGGLED}"),
        format!("{HEAD}Content-Length: 1, 2\r\n\r\n1{SMUGGLED}"),
        format!("{HEAD}Content-Length : 1\r\n\r\n1{SMUGGLED}"),
        format!("{HEAD}Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n{SMUGGLED}"),
        format!("{HEAD}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{SMUGGLED}"),
        format!("{HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"),
        format!("{HEAD}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"),
        format!("{HEAD}{CHUNKED}{CHUNKED}\r\n0\r\n\r\n{SMUGGLED}"),
        format!("{HEAD}Transfer-Encoding: identity\r\n{CHUNKED}\r\n0\r\n\r\n{SMUGGLED}"),
        format!("{HEAD}{CHUNKED}\r\n1\na\r\n0\r\n\r\n{SMUGGLED}"),
        format!("{HEAD}{CHUNKED}\r\n0x1\r\na\r\n0\r\n\r\n{SMUGGLED}"),
        format!("{HEAD}{CHUNKED}\r\n1;\"\r\n\"\r\na\r\n0\r\n\r\n{SMUGGLED}"),
        format!("{HEAD}{CHUNKED}\r\n1\r\nab0\r\n\r\n{SMUGGLED}"),
        format!("{HEAD}{CHUNKED}\r\n10000000000000000\r\na\r\n0\r\n\r\n{SMUGGLED}"),
        format!("{HEAD}X: a\rOncekey-Attempt: 9\r\n\r\n{SMUGGLED}"),
        format!("{HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{SMUGGLED}"),
        format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n{SMUGGLED}"),
        format!("{HEAD}Host: b\r\nContent-Length: 1\r\n\r\n1{SMUGGLED}"),
        format!("POST / HTTP/1.1\r\n{auth}Content-Length: 1\r\n\r\n1{SMUGGLED}"),
        format!("POST / HTTP/1.1\r\nHost:\r\n{auth}Content-Length: 1\r\n\r\n1{SMUGGLED}"),
        format!("POST / HTTP/1.1\r\nHost: a/b\r\n{auth}Content-Length: 1\r\n\r\n1{SMUGGLED}"),
        format!("POST http://b/ HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 1\r\n\r\n1{SMUGGLED}"),
        format!("POST / HTTP/1.1\r\nHost: a\r\n folded\r\n{auth}\r\n{SMUGGLED}"),
        format!("POST / HTTP/1.0\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n{SMUGGLED}"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n{auth}\r\n{SMUGGLED}"),
        format!("POST / x HTTP/1.1\r\nHost: a\r\n{auth}\r\n{SMUGGLED}"),
        format!("\0\u{1}\u{2}{SMUGGLED}"),
    ];
    for case in cases {
        let answer = exchange(proxy.clients, case.as_bytes());
        assert_eq!(status(&answer), 400, "{case:?}: {:?}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(upstream.count(), 0, "{:?}", upstream.seen());
}

#[test]
fn a_tunnel_is_not_made() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    let answer = exchange(proxy.clients, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
    assert_eq!(status(&answer), 501, "{:?}", String::from_utf8_lossy(&answer));
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_doubled_or_malformed_key_is_refused() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: a\r\n";
    let long = "k".repeat(300);
    for keys in [
        "Idempotency-Key: a\r\nIdempotency-Key: b\r\n".to_owned(),
        "Idempotency-Key: \"a\r\n".to_owned(),
        "Idempotency-Key:\r\n".to_owned(),
        format!("Idempotency-Key: {long}\r\n"),
        "Idempotency-Key: a, b\r\n".to_owned(),
    ] {
        let answer = exchange(proxy.clients, format!("{head}{keys}\r\n").as_bytes());
        assert_eq!(status(&answer), 400, "{keys:?}");
    }
    assert_eq!(upstream.count(), 0);
}
