//! A request whose effect is unknown is never sent again by itself, whatever ended it.

use std::thread;

use crate::answer::problem;
use crate::operator::{resolve, unresolved};
use crate::process::Place;
use crate::upstream::Upstream;
use crate::wire::{charge, try_charge};

#[test]
fn a_request_is_sent_once_and_every_retry_gets_its_response() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    let first = charge(proxy.clients, "/v1/charges", "key", "{}");
    assert_eq!((first.status, first.is_replay()), (201, false), "{first:?}");
    for key in ["key", "\"key\""] {
        let retry = charge(proxy.clients, "/v1/charges", key, "{}");
        assert_eq!((retry.status, &retry.body), (first.status, &first.body));
        assert!(retry.is_replay());
    }
    let other = charge(proxy.clients, "/v1/charges", "key", "{\"amount\": 2}");
    assert_eq!(other.problem(), problem(422, "key-reused"));
    assert_eq!(upstream.count(), 1);
}

#[test]
fn an_upstream_that_hangs_up_is_not_asked_again() {
    for (path, told) in [
        ("/hang-up", problem(502, "upstream-hung-up")),
        ("/garbage", problem(502, "upstream-hung-up")),
        ("/cut", problem(500, "handler-failed")),
    ] {
        let (place, upstream) = (Place::new(), Upstream::start());
        let proxy = place.proxy(upstream.address, &[]);
        assert_eq!(charge(proxy.clients, path, "key", "{}").problem(), told, "{path}");
        for _ in 0..2 {
            let retry = charge(proxy.clients, path, "key", "{}");
            assert_eq!(retry.problem(), problem(409, "unresolved"), "{path}");
        }
        assert_eq!(upstream.count(), 1, "{path}");
        // Nor after a restart.
        assert_eq!(proxy.stop().0, 0);
        let proxy = place.proxy(upstream.address, &[]);
        let retry = charge(proxy.clients, path, "key", "{}");
        assert_eq!(retry.problem(), problem(409, "unresolved"), "{path}");
        assert_eq!(upstream.count(), 1, "{path}");
    }
}

#[test]
fn a_proxy_that_was_killed_does_not_send_again_what_was_in_flight() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    let done = charge(proxy.clients, "/v1/charges", "done", "{}");
    let clients = proxy.clients;
    let cut = thread::spawn(move || try_charge(clients, "/gate", "key", "{}"));
    upstream.wait_for(2);
    proxy.kill();
    assert_eq!(cut.join().expect("no panic"), None);

    let proxy = place.proxy(upstream.address, &[]);
    assert_eq!(charge(proxy.clients, "/gate", "key", "{}").problem(), problem(409, "unresolved"));
    let retry = charge(proxy.clients, "/v1/charges", "done", "{}");
    assert_eq!((retry.is_replay(), &retry.body), (true, &done.body));
    assert_eq!(upstream.count(), 2);

    // Somebody looked: it was executed.
    let [item] = &unresolved(&proxy)[..] else { panic!("one") };
    let answer = resolve(
        &proxy,
        item,
        r#""response": {"status": 201, "headers": {"x-a": "1"}, "body": "ok"}"#,
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let retry = charge(proxy.clients, "/gate", "key", "{}");
    assert_eq!((retry.status, retry.header("x-a"), &retry.body[..]), (201, "1", &b"ok"[..]));
    assert!(retry.is_replay());
    assert_eq!(upstream.count(), 2);
}

#[test]
fn what_an_operator_knows_not_to_be_executed_is_sent() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    charge(proxy.clients, "/hang-up", "key", "{}");
    let [item] = &unresolved(&proxy)[..] else { panic!("one") };
    assert_eq!(resolve(&proxy, item, r#""not_executed": true"#).status, 200);
    assert!(unresolved(&proxy).is_empty());
    let retry = charge(proxy.clients, "/hang-up", "key", "{}");
    assert_eq!(retry.problem(), problem(502, "upstream-hung-up"));
    assert_eq!(upstream.count(), 2);
    // That was another attempt: what was known of the first says nothing of it.
    assert_eq!(resolve(&proxy, item, r#""not_executed": true"#).status, 404);
    assert_eq!(unresolved(&proxy).len(), 1);
}

#[test]
fn an_upstream_that_deduplicates_is_asked_again_under_the_same_downstream_key() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let flags = ["--upstream-deduplicates"];
    let proxy = place.proxy(upstream.address, &flags);
    let clients = proxy.clients;
    let cut = thread::spawn(move || try_charge(clients, "/gate", "key", "{}"));
    upstream.wait_for(1);
    proxy.kill();
    cut.join().expect("no panic");
    upstream.open_gate();
    let proxy = place.proxy(upstream.address, &flags);
    assert_eq!(charge(proxy.clients, "/gate", "key", "{}").status, 201);
    let seen = upstream.seen();
    let told = |name| seen.iter().map(|seen| seen.all(name).concat()).collect::<Vec<_>>();
    assert_eq!(told("oncekey-attempt"), ["1", "2"]);
    let keys = told("oncekey-downstream-key");
    assert!(keys[0] == keys[1] && !keys[0].is_empty(), "{keys:?}");
}

#[test]
fn what_never_reached_the_upstream_is_sent_when_it_can_be() {
    let place = Place::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let proxy = place.proxy(address, &[]);
    for _ in 0..2 {
        let told = charge(proxy.clients, "/v1/charges", "key", "{}");
        assert_eq!(told.problem(), problem(502, "upstream-unreachable"));
    }
    let upstream = Upstream::on(address);
    assert_eq!(charge(proxy.clients, "/v1/charges", "key", "{}").status, 201);
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_rule_says_what_becomes_of_what_was_not_answered_in_time() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let config = place.file(
        "proxy.toml",
        "[rule]\nupstream-timeout = '300ms'\n\
         [[routes]]\nmethod = 'POST'\npath = '/gate'\nrule = { on-timeout = 'released' }\n\
         [[routes]]\npath = '/unavailable'\nrule = { results = { 503 = 'release' } }\n",
    );
    let proxy = place.proxy(upstream.address, &["--config", &config]);
    for sent in 1..3 {
        let told = charge(proxy.clients, "/gate", "key", "{}");
        assert_eq!(told.problem(), problem(504, "upstream-timeout"));
        assert_eq!(upstream.count(), sent);
    }
    for sent in 3..5 {
        assert_eq!(charge(proxy.clients, "/unavailable", "other", "{}").status, 503);
        assert_eq!(upstream.count(), sent);
    }
    drop(proxy);
    let proxy = place.proxy(upstream.address, &["--upstream-timeout", "300ms"]);
    let told = charge(proxy.clients, "/gate", "third", "{}");
    assert_eq!(told.problem(), problem(504, "upstream-timeout"));
    assert_eq!(charge(proxy.clients, "/gate", "third", "{}").problem(), problem(409, "unresolved"));
    assert_eq!(upstream.count(), 5);
}

#[test]
fn an_upstream_that_knows_is_asked_what_became_of_a_request() {
    for (path, executes) in [("/lookup/yes", 1), ("/lookup/no", 2)] {
        let (place, upstream) = (Place::new(), Upstream::start());
        let proxy = place.proxy(upstream.address, &["--lookup", path]);
        charge(proxy.clients, "/hang-up", "key", "{}");
        // Another request under the key settles nothing.
        let other = charge(proxy.clients, "/hang-up", "key", "{\"amount\": 2}");
        assert_eq!(other.problem(), problem(422, "key-reused"));
        assert_eq!(upstream.count(), 1);
        let settled = charge(proxy.clients, "/hang-up", "key", "{}");
        assert_eq!(settled.problem(), problem(503, "settled"));
        assert_eq!(settled.header("retry-after"), "1");
        let retry = charge(proxy.clients, "/hang-up", "key", "{}");
        let seen = upstream.seen();
        let sent = seen.iter().filter(|seen| seen.line.starts_with("POST"));
        assert_eq!(sent.count(), executes, "{path}");
        let keys: Vec<_> = seen.iter().map(|seen| seen.all("oncekey-downstream-key")).collect();
        assert_eq!(keys[0], keys[1]);
        if executes == 1 {
            assert_eq!((retry.status, &retry.body[..]), (201, &b"found"[..]));
            assert!(retry.is_replay() && retry.header("x-a") == "1");
            assert_eq!(retry.header("oncekey-executed"), "");
        }
    }
}

#[test]
fn an_upstream_that_does_not_say_settles_nothing() {
    for path in ["/v1/charges", "/lookup/perhaps", "/hang-up"] {
        let (place, upstream) = (Place::new(), Upstream::start());
        let proxy = place.proxy(upstream.address, &["--lookup", path]);
        charge(proxy.clients, "/hang-up", "key", "{}");
        for _ in 0..2 {
            let retry = charge(proxy.clients, "/hang-up", "key", "{}");
            assert_eq!(retry.problem(), problem(409, "unresolved"), "{path}");
        }
        let seen = upstream.seen();
        assert_eq!(seen.iter().filter(|seen| seen.line.starts_with("POST")).count(), 1, "{path}");
    }
}
