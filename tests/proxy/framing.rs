//! Where one message ends and the next begins, on both sides of the proxy: no length, coding,
//! trailer or early answer makes a client or a service read what was not sent to it.

use std::io::Write;

use crate::answer::{Answer, problem};
use crate::process::Place;
use crate::upstream::Upstream;
use crate::wire::{charge, connect, exchange, get, request};

const HEAD: &str = "Host: a\r\nAuthorization: a\r\nIdempotency-Key: k\r\n";

#[test]
fn chunks_go_before_a_length_in_an_answer() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    for is_replay in [false, true] {
        let answer = charge(proxy.clients, "/two-lengths", "key", "{}");
        assert_eq!((answer.status, &answer.body[..]), (200, &b"abc"[..]));
        assert_eq!(answer.is_replay(), is_replay);
    }
    // Without a key, too.
    assert_eq!(get(proxy.clients, "/two-lengths").body, "abc");
}

#[test]
fn an_answer_that_cannot_be_passed_on_is_none() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    for path in ["/coded", "/switches"] {
        let told = charge(proxy.clients, path, path, "{}");
        assert_eq!(told.problem(), problem(502, "upstream-hung-up"), "{path}");
        let retry = charge(proxy.clients, path, path, "{}");
        assert_eq!(retry.problem(), problem(409, "unresolved"), "{path}");
    }
    assert_eq!(upstream.count(), 2);
}

#[test]
fn what_comes_before_and_after_an_answer_is_not_part_of_it() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    for path in ["/informs", "/says-more"] {
        for _ in 0..2 {
            let answer = charge(proxy.clients, path, path, "{}");
            assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]), "{path}");
        }
        // What was left over is nobody's answer.
        assert!(get(proxy.clients, "/next").text().contains("charge"));
    }
    for is_replay in [false, true] {
        let answer = charge(proxy.clients, "/trailers", "key", "{}");
        assert_eq!((answer.is_replay(), &answer.body[..]), (is_replay, &b"abc"[..]));
        assert_eq!(answer.header("x-trailer"), "");
    }
}

#[test]
fn requests_in_one_piece_are_answered_in_their_order() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    let one = |key, body| {
        let headers = [("Authorization", "a"), ("Idempotency-Key", key)];
        request("POST", "/v1/charges", &headers, body)
    };
    let all = [one("a", "1"), one("b", "1"), one("a", "1"), one("a", "2"), one("c", "1")].concat();
    let mut socket = connect(proxy.clients);
    socket.write_all(&all).expect("sent");
    let answers: Vec<Answer> =
        (0..5).map(|_| Answer::read(&mut socket).expect("an answer")).collect();
    let told = answers.iter().map(|answer| (answer.status, answer.is_replay()));
    let expected = [(201, false), (201, false), (201, true), (422, false), (201, false)];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_eq!(answers[0].body, answers[2].body);
    assert_eq!(upstream.count(), 3);
}

#[test]
fn a_body_that_nobody_read_is_not_taken_for_a_request() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    let inner = "POST /inner HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nIdempotency-Key: i\r\n\r\n";
    let last = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for refused in ["Authorization: a\r\n", "Idempotency-Key: k\r\n"] {
        let head = format!("POST /v1/charges HTTP/1.1\r\nHost: a\r\n{refused}");
        let length = format!("Content-Length: {}\r\n\r\n", inner.len());
        exchange(proxy.clients, format!("{head}{length}{inner}{last}").as_bytes());
    }
    for seen in upstream.seen() {
        assert!(seen.line.starts_with("GET /last"), "{seen:?}");
    }
}

#[test]
fn trailers_and_extensions_of_chunks_reach_nobody() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    let chunks = "3;a=b\r\nabc\r\n0\r\nOncekey-Attempt: 9\r\nAuthorization: b\r\n\r\n";
    let more = "Transfer-Encoding: chunked\r\nTrailer: Oncekey-Attempt\r\nConnection: close\r\n";
    for method in ["POST", "PUT"] {
        let sent = format!("{method} /v1/charges HTTP/1.1\r\n{HEAD}{more}\r\n{chunks}");
        let answer = exchange(proxy.clients, sent.as_bytes());
        assert_eq!(Answer::parse(&answer).expect("an answer").status, 201);
    }
    for seen in upstream.seen() {
        assert_eq!((&*seen.body, seen.all("authorization")), ("abc", vec!["a"]), "{seen:?}");
        assert!(!seen.all("oncekey-attempt").contains(&"9") && seen.all("trailer").is_empty());
    }
}

#[test]
fn the_two_forms_of_a_target_are_one_request() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    for (target, is_replay) in [("http://a/v1/charges", false), ("/v1/charges", true)] {
        let sent = format!("POST {target} HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n");
        let answer = Answer::parse(&exchange(proxy.clients, sent.as_bytes())).expect("an answer");
        assert_eq!((answer.status, answer.is_replay()), (201, is_replay), "{target}");
    }
    assert_eq!(upstream.seen()[0].line, "POST /v1/charges HTTP/1.1");
    for bad in ["v1/charges", "a:80", "//", "*", "\\", "/a b"] {
        let sent = format!("POST {bad} HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n");
        exchange(proxy.clients, sent.as_bytes());
    }
    for seen in upstream.seen() {
        let path = seen.line.split(' ').nth(1).expect("a path");
        assert!(path.starts_with('/') || path == "*", "{seen:?}");
        assert_eq!(seen.all("host"), ["a"]);
    }
}

#[test]
fn other_methods_go_on_and_no_method_opens_a_tunnel() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    for method in ["OPTIONS", "TRACE", "PROPFIND", "post"] {
        for _ in 0..2 {
            let sent = format!("{method} /v1/charges HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n");
            let answer = exchange(proxy.clients, sent.as_bytes());
            let answer = Answer::parse(&answer).expect("an answer");
            assert_eq!((answer.status, answer.is_replay()), (201, false), "{method}");
        }
    }
    let count = upstream.count();
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    let sent = format!("POST /v1/charges HTTP/1.1\r\n{HEAD}{upgrade}\r\n");
    let mut socket = connect(proxy.clients);
    socket.write_all(sent.repeat(2).as_bytes()).expect("sent");
    let both = [(); 2].map(|()| Answer::read(&mut socket).expect("an answer"));
    assert_eq!(both.map(|answer| (answer.status, answer.is_replay())), [(201, false), (201, true)]);
    assert_eq!(upstream.count(), count + 1);
    assert!(upstream.seen()[count].all("upgrade").is_empty());
}
