//! Clients that take too long, send too much, or come in too great a number.

use std::io::Write;
use std::thread;

use crate::answer::{Answer, problem};
use crate::process::Place;
use crate::upstream::Upstream;
use crate::wire::{charge, connect, exchange, get, read_to_end, request};

const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nIdempotency-Key: k\r\n";

#[test]
fn a_head_that_does_not_come_is_not_waited_for() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &["--client-timeout", "300ms"]);
    let silent = ["", "P", "POST / HTTP/1.1\r\n", HEAD];
    let clients = silent.map(|begun| {
        let mut socket = connect(proxy.clients);
        socket.write_all(begun.as_bytes()).expect("sent");
        thread::spawn(move || read_to_end(&mut socket))
    });
    for client in clients {
        // It hangs up, with or without a word.
        let told = String::from_utf8(client.join().expect("no panic")).expect("text");
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 408"), "{told}");
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(charge(proxy.clients, "/v1/charges", "k", "{}").status, 201);
}

#[test]
fn a_body_that_does_not_come_leaves_nothing_behind() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &["--body-timeout", "300ms"]);
    let mut socket = connect(proxy.clients);
    socket.write_all(format!("{HEAD}Content-Length: 9\r\n\r\nhal").as_bytes()).expect("sent");
    let answer = Answer::read(&mut socket).expect("an answer");
    assert_eq!(answer.problem(), problem(408, "body-timeout"));
    assert_eq!(upstream.count(), 0);
    // The key is free.
    let whole = format!("{HEAD}Connection: close\r\nContent-Length: 2\r\n\r\n{{}}");
    let answer = exchange(proxy.clients, whole.as_bytes());
    assert!(answer.starts_with(b"HTTP/1.1 201"), "{:?}", String::from_utf8_lossy(&answer));
}

#[test]
fn what_is_too_large_is_refused() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &["--max-request-bytes", "1000"]);
    let large = "x".repeat(1001);
    let answer = charge(proxy.clients, "/v1/charges", "key", &large);
    assert_eq!(answer.problem(), problem(413, "body-too-large"));
    let huge = "x".repeat(1 << 20);
    let many: String = (0..200).map(|number| format!("X-{number}: 1\r\n")).collect();
    for more in [format!("X: {huge}\r\n\r\n"), format!("{many}\r\n")] {
        let answer = exchange(proxy.clients, format!("{HEAD}{more}").as_bytes());
        // A reset may overtake the answer, since the rest was not read.
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{answer:?}");
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(charge(proxy.clients, "/v1/charges", "key", "{}").status, 201);
}

#[test]
fn clients_beyond_the_limit_wait_for_their_turn() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &["--max-connections", "2"]);
    let held = [(); 2].map(|()| {
        let mut socket = connect(proxy.clients);
        socket.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        assert_eq!(Answer::read(&mut socket).expect("an answer").status, 201);
        socket
    });
    let clients = proxy.clients;
    let waiting = thread::spawn(move || get(clients, "/"));
    let metrics = get(proxy.admin, "/metrics").text();
    assert!(metrics.contains("oncekey_proxy_connections 2\n"), "{metrics}");
    assert_eq!(upstream.count(), 2);
    drop(held);
    assert_eq!(waiting.join().expect("no panic").status, 201);
}

/// A client that hangs up does not stop its request, and must not make room for more of them.
#[test]
fn requests_of_clients_that_hung_up_count() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &["--max-connections", "2"]);
    for key in ["a", "b"] {
        let mut gone = connect(proxy.clients);
        let head = "POST /gate HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nIdempotency-Key: ";
        gone.write_all(format!("{head}{key}\r\n\r\n").as_bytes()).expect("sent");
        upstream.wait_for(if key == "a" { 1 } else { 2 });
    }
    let clients = proxy.clients;
    let waiting = thread::spawn(move || charge(clients, "/v1/charges", "c", "{}"));
    let in_flight = |count| {
        let metrics = get(proxy.admin, "/metrics").text();
        metrics.contains(&format!("oncekey_proxy_in_flight {count}\n"))
    };
    while !in_flight(1) {
        thread::yield_now();
    }
    assert_eq!(upstream.count(), 2);
    upstream.open_gate();
    assert_eq!(waiting.join().expect("no panic").status, 201);
}

#[test]
fn a_scope_may_use_so_many_new_keys() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &["--scope-keys-per-minute", "50"]);
    let mut socket = connect(proxy.clients);
    let mut ask = |scope, key: &str| {
        let headers = [("Authorization", scope), ("Idempotency-Key", key)];
        socket.write_all(&request("POST", "/v1/charges", &headers, "{}")).expect("sent");
        Answer::read(&mut socket).expect("an answer")
    };
    for number in 0..2_000 {
        let answer = ask("a", &format!("key-{number}"));
        if number < 50 {
            assert_eq!(answer.status, 201);
        } else {
            assert_eq!(answer.problem(), problem(429, "too-many-keys"));
        }
    }
    assert_eq!(upstream.count(), 50);
    // Its own keys are known still, and nobody else has less for it.
    assert!(ask("a", "key-0").is_replay());
    assert_eq!(ask("b", "key-0").status, 201);
    let metrics = get(proxy.admin, "/metrics").text();
    assert!(metrics.contains("oncekey_claims_in_flight 0\n"), "{metrics}");
}
