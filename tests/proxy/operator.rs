//! What an operator sees and does: health, metrics, the log, unresolved requests, the end.

use std::io::Write;
use std::thread;

use serde_json::Value;

use crate::answer::Answer;
use crate::process::{Place, Proxy};
use crate::upstream::Upstream;
use crate::wire::{charge, connect, get, request, try_charge, try_send};

/// What waits for somebody.
pub fn unresolved(proxy: &Proxy) -> Vec<Value> {
    let list = get(proxy.admin, "/unresolved").json();
    list["unresolved"].as_array().expect("a list").clone()
}

/// Settles one of them.
pub fn resolve(proxy: &Proxy, item: &Value, how: &str) -> Answer {
    let order = format!(
        "{{\"scope\": {}, \"key\": {}, \"token\": {}, {how}}}",
        item["scope"], item["key"], item["token"]
    );
    let headers = [("Content-Type", "application/json")];
    try_send(proxy.admin, "POST", "/resolve", &headers, &order).expect("an answer")
}

#[test]
fn what_is_in_flight_ends_before_the_proxy_does() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    assert_eq!(get(proxy.admin, "/readyz").status, 200);
    let clients = proxy.clients;
    let waiting = thread::spawn(move || try_charge(clients, "/gate", "stays", "{}"));
    // A client that does not wait for the answer.
    let mut gone = connect(clients);
    let headers = [("Authorization", "a"), ("Idempotency-Key", "gone")];
    gone.write_all(&request("POST", "/gate", &headers, "{}")).expect("sent");
    upstream.wait_for(2);
    drop(gone);
    proxy.terminate();
    while get(proxy.admin, "/readyz").status == 200 {
        thread::yield_now();
    }
    assert_eq!(get(proxy.admin, "/healthz").status, 200);
    upstream.open_gate();
    let answer = waiting.join().expect("no panic").expect("an answer");
    assert_eq!(answer.status, 201);
    let (code, log) = proxy.ended();
    assert_eq!(code, 0, "{log}");

    let proxy = place.proxy(upstream.address, &[]);
    assert!(charge(proxy.clients, "/gate", "stays", "{}").is_replay());
    let retry = try_send(proxy.clients, "POST", "/gate", &headers, "{}").expect("an answer");
    assert!(retry.is_replay());
    assert_eq!(upstream.count(), 2);
}

#[test]
fn what_does_not_end_in_time_is_left_unresolved() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &["--shutdown-timeout", "300ms"]);
    let clients = proxy.clients;
    let waiting = thread::spawn(move || try_charge(clients, "/gate", "key", "{}"));
    upstream.wait_for(1);
    let (code, log) = proxy.stop();
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("1 requests in flight did not end in time"), "{log}");
    let told = waiting.join().expect("no panic");
    assert!(told.as_ref().is_none_or(|answer| answer.status == 500), "{told:?}");
    let proxy = place.proxy(upstream.address, &[]);
    assert_eq!(charge(proxy.clients, "/gate", "key", "{}").status, 409);
    assert_eq!(upstream.count(), 1);
}

#[test]
fn the_log_has_the_outcomes_and_no_credentials() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    for _ in 0..2 {
        charge(proxy.clients, "/v1/charges?card=4242", "key", "{\"secret\": 1}");
    }
    charge(proxy.clients, "/hang-up", "lost", "{}");
    get(proxy.clients, "/v1/charges");
    let metrics = get(proxy.admin, "/metrics").text();
    for (outcome, count) in
        [("executed", 1), ("replayed", 1), ("upstream-hung-up", 1), ("passed", 1)]
    {
        let line = format!("oncekey_proxy_requests_total{{outcome=\"{outcome}\"}} {count}\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
    assert!(metrics.contains("oncekey_unresolved 1\n"), "{metrics}");
    assert!(metrics.contains("oncekey_proxy_request_seconds_count 4\n"), "{metrics}");

    let (code, log) = proxy.stop();
    assert_eq!(code, 0, "{log}");
    for secret in ["sk_anna", "4242", "secret\\\""] {
        assert!(!log.contains(secret), "{log}");
    }
    let lines = log.lines().filter(|line| line.starts_with('{'));
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let outcomes: Vec<_> = lines.iter().map(|line| line["outcome"].as_str()).collect();
    let all = ["executed", "replayed", "upstream-hung-up", "passed"];
    assert_eq!(outcomes, all.map(Some));
    assert_eq!(lines[0]["key"], "key");
    assert_eq!(lines[0]["scope"], lines[1]["scope"]);
    assert_eq!(lines[0]["attempt"], 1);
    let key = upstream.seen()[0].all("oncekey-downstream-key").concat();
    assert_eq!(lines[0]["downstream_key"], key);
}

#[test]
fn records_are_not_for_browsers_nor_for_who_lacks_the_token() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let ask = |proxy: &Proxy, headers: &[(&str, &str)]| {
        try_send(proxy.admin, "GET", "/unresolved", headers, "").expect("an answer").status
    };
    let proxy = place.proxy(upstream.address, &[]);
    assert_eq!(ask(&proxy, &[]), 200);
    assert_eq!(ask(&proxy, &[("Origin", "http://127.0.0.1")]), 403);
    // A page whose name leads here (DNS rebinding) sends no `Origin` with a GET, but its name.
    for host in ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "8.8.8.8", ""] {
        assert_eq!(ask(&proxy, &[("Host", host)]), 403, "{host:?}");
    }
    for host in ["localhost:8081", "127.0.0.1:1", "[::1]", "LOCALHOST"] {
        assert_eq!(ask(&proxy, &[("Host", host)]), 200, "{host:?}");
    }
    let order = try_send(proxy.admin, "POST", "/resolve", &[], "{}").expect("an answer");
    assert_eq!(order.status, 415);
    assert_eq!(get(proxy.admin, "/other").status, 404);
    drop(proxy);
    let token = place.file("token", "0123456789abcdef\n");
    let proxy = place.proxy(upstream.address, &["--admin-token-file", &token]);
    assert_eq!(ask(&proxy, &[]), 403);
    assert_eq!(ask(&proxy, &[("Authorization", "Bearer 0123456789abcdeg")]), 403);
    let token = ("Authorization", "Bearer 0123456789abcdef");
    assert_eq!(ask(&proxy, &[token]), 200);
    assert_eq!(ask(&proxy, &[token, ("Host", "admin.example")]), 200);
    assert_eq!(get(proxy.admin, "/metrics").status, 200);
}

#[test]
fn an_order_that_makes_no_sense_changes_nothing() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    charge(proxy.clients, "/hang-up", "key", "{}");
    let [item] = &unresolved(&proxy)[..] else { panic!("one") };
    for bad in [
        r#""not_executed": false"#,
        r#""not_executed": true, "response": {"status": 200}"#,
        r#""response": {"status": 99}"#,
        r#""response": {"status": 101}"#,
        r#""response": {"status": 200, "headers": {"a b": "c"}}"#,
        r#""response": {"status": 200, "headers": {"a": "b\r\nc: d"}}"#,
        r#""executed": true"#,
    ] {
        assert_eq!(resolve(&proxy, item, bad).status, 400, "{bad}");
    }
    let mut other = item.clone();
    other["token"] = 1.into();
    assert_eq!(resolve(&proxy, &other, r#""not_executed": true"#).status, 404);
    assert_eq!(unresolved(&proxy).len(), 1);
}

#[test]
fn a_proxy_that_cannot_run_says_why() {
    let (place, upstream) = (Place::empty(), Upstream::start());
    let typo = place.file("typo.toml", "lisen = '127.0.0.1:1'");
    let good = place.file("good.toml", "[rule]\nttl = '1h'");
    let short = place.file("short", "abc");
    for (flags, why) in [
        (&["--config", &typo][..], "lisen"),
        (&["--config", "/nowhere/proxy.toml"], "/nowhere/proxy.toml"),
        (&["--secret-file", &short], "16 or more"),
        (&["--must-exist"], "state"),
    ] {
        let output = place.run(upstream.address, flags);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(why), "{text}");
    }
    let output = place.run(upstream.address, &["--config", &good, "--check"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!place.store().exists());
}
