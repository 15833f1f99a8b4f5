//! What an upstream is told, and what a client cannot make it believe; whose key is whose.

use std::io::Write;

use crate::answer::{Answer, problem};
use crate::process::Place;
use crate::upstream::Upstream;
use crate::wire::{charge, connect, try_send};

const ANNA: (&str, &str) = ("Authorization", "Bearer sk_anna");

#[test]
fn the_upstream_is_told_of_the_claim_by_the_proxy_alone() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    let forged = [
        ANNA,
        ("Host", "api.example"),
        ("Idempotency-Key", "key"),
        ("Idempotency_Key", "other"),
        ("Oncekey-Attempt", "7"),
        ("Oncekey_Attempt", "8"),
        ("oncekey-downstream-key", "ok_forged"),
        ("Oncekey-Token", "1"),
        ("X-Forwarded-For", "203.0.113.1"),
        ("Forwarded", "for=203.0.113.1"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Hop", "1"),
        ("Connection", "x-hop, authorization, idempotency-key"),
        ("Upgrade", "h2c"),
        ("TE", "trailers"),
        ("X-Kept", "1"),
    ];
    let answer = try_send(proxy.clients, "POST", "/v1/charges", &forged, "{}").expect("an answer");
    assert_eq!(answer.status, 201, "{answer:?}");
    // Without a key as well.
    try_send(proxy.clients, "GET", "/v1/charges", &[&forged[1..2], &forged[4..]].concat(), "")
        .expect("an answer");

    let [keyed, keyless] = &upstream.seen()[..] else { panic!("two") };
    assert_eq!(keyed.all("oncekey-attempt"), ["1"]);
    assert_ne!(keyed.all("oncekey-token"), ["1"]);
    assert!(keyed.all("oncekey-downstream-key")[0].starts_with("ok_"));
    assert_ne!(keyed.all("oncekey-downstream-key"), ["ok_forged"]);
    assert_eq!(keyed.all("idempotency-key"), ["key"]);
    assert_eq!(keyed.all("authorization"), ["Bearer sk_anna"]);
    for seen in [keyed, keyless] {
        assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(seen.all("x-forwarded-host"), ["api.example"]);
        assert_eq!(seen.all("forwarded"), ["for=127.0.0.1;proto=http;host=\"api.example\""]);
        assert_eq!(seen.all("host"), ["api.example"]);
        assert_eq!(seen.all("x-kept"), ["1"]);
        for gone in ["x-hop", "upgrade", "te", "idempotency_key", "oncekey_attempt"] {
            assert!(seen.all(gone).is_empty(), "{gone}: {seen:?}");
        }
    }
    for told in ["oncekey-attempt", "oncekey-token", "oncekey-downstream-key"] {
        assert!(keyless.all(told).is_empty(), "{told}: {keyless:?}");
    }
}

#[test]
fn a_client_gets_the_upstreams_headers_but_for_those_of_its_connection() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    let first = charge(proxy.clients, "/v1/charges", "key", "{}");
    let retry = charge(proxy.clients, "/v1/charges", "key", "{}");
    for answer in [&first, &retry] {
        assert_eq!(answer.headers.get_all("x-many").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(answer.header("x-hop"), "");
    }
    // The upstream said that it was one; that is not for it to say.
    assert!(!first.is_replay() && retry.is_replay());
    assert_eq!((first.header("set-cookie"), retry.header("set-cookie")), ("session", ""));
}

#[test]
fn a_key_of_another_scope_is_another_key() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    let key = ("Idempotency-Key", "key");
    let ask = |headers: &[(&str, &str)]| {
        try_send(proxy.clients, "POST", "/v1/charges", headers, "{}").expect("an answer")
    };
    let anna = ask(&[ANNA, key]);
    let ben = ask(&[("Authorization", "Bearer sk_ben"), key]);
    assert_ne!(anna.body, ben.body);
    assert!(!ben.is_replay());
    // Another header of the same name does not lead to Anna's.
    let both = ask(&[ANNA, ("Authorization", "Bearer sk_ben"), key]);
    assert!(!both.is_replay());
    assert_eq!(ask(&[key]).problem(), problem(401, "scope-missing"));
    assert_eq!(upstream.count(), 3);
    assert_eq!(ask(&[ANNA, key]).body, anna.body);
}

#[test]
fn a_store_is_not_served_under_scopes_of_another_kind() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let secret = place.file("secret", "0123456789abcdef\n");
    let other = place.file("other", "0123456789abcdeF\n");
    let proxy = place.proxy(upstream.address, &["--secret-file", &secret]);
    charge(proxy.clients, "/v1/charges", "key", "{}");
    assert_eq!(proxy.stop().0, 0);
    for flags in
        [&[][..], &["--secret-file", &other], &["--secret-file", &secret, "--scope-header", "x-a"]]
    {
        let output = place.run(upstream.address, flags);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--accept-new-scopes"));
    }
    let proxy = place.proxy(upstream.address, &["--secret-file", &secret]);
    assert!(charge(proxy.clients, "/v1/charges", "key", "{}").is_replay());
}

/// With the earlier secret told no retry is lost, and the scopes stay when it is not any more.
#[test]
fn a_secret_may_be_changed() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let [old, new] = ["old", "new"].map(|name| place.file(name, &name.repeat(8)));
    let changed = ["--secret-file", &new, "--earlier-secret-file", &old];
    let ask = |flags: &[&str], key: &str| {
        let proxy = place.proxy(upstream.address, flags);
        let answer = charge(proxy.clients, "/v1/charges", key, "{}");
        let other = charge(proxy.clients, "/v1/charges", key, "{\"amount\": 2}");
        assert_eq!(other.problem(), problem(422, "key-reused"));
        answer
    };
    assert!(!ask(&["--secret-file", &old], "first").is_replay());
    assert!(ask(&changed, "first").is_replay());
    assert!(!ask(&changed, "second").is_replay());
    let alone = &["--secret-file", &new][..];
    assert!(ask(alone, "second").is_replay());
    // What only the earlier secret could tell apart is refused, not executed again.
    assert_eq!(ask(alone, "first").problem(), problem(422, "key-reused"));
    assert_eq!(upstream.count(), 2);
}

#[test]
fn how_long_responses_are_kept_is_told() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let config = place.file(
        "proxy.toml",
        "retention-header = 'idempotency-retention'\ndocumentation = 'https://a.example/keys'\n\
         [[routes]]\npath = '/v1/charges'\nrule = { ttl = '1h' }\n",
    );
    let proxy = place.proxy(upstream.address, &["--config", &config]);
    for (path, told) in [("/v1/charges", "3600"), ("/v1/refunds", "86400")] {
        for _ in 0..2 {
            let answer = charge(proxy.clients, path, path, "{}");
            assert_eq!(answer.header("idempotency-retention"), told);
        }
    }
    // Every problem has the link, also one of the proxy's own.
    for problem in [
        charge(proxy.clients, "/v1/charges", "/v1/charges", "{\"amount\": 2}"),
        charge(proxy.clients, "/hang-up", "key", "{}"),
    ] {
        assert_eq!(problem.header("link"), "<https://a.example/keys>; rel=\"describedby\"");
        let kind = problem.json()["type"].as_str().expect("a type").to_owned();
        assert!(kind.starts_with("https://a.example/keys#"), "{kind}");
    }
}

#[test]
fn the_stripe_profile_answers_as_stripe_does() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &["--profile", "stripe"]);
    let keyless = try_send(proxy.clients, "POST", "/v1/charges", &[ANNA], "{}");
    assert_eq!(keyless.expect("an answer").status, 201);
    let lost = charge(proxy.clients, "/hang-up", "key", "{}");
    assert_eq!((lost.status, lost.json()["error"]["type"].as_str()), (502, Some("api_error")));
    assert_eq!(lost.json()["error"]["code"], "upstream_hung_up");
    let retry = charge(proxy.clients, "/hang-up", "key", "{}");
    assert_eq!(retry.json()["error"]["type"], "idempotency_error");
}

#[test]
fn a_body_without_a_key_goes_on_as_it_comes() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &[]);
    let mut socket = connect(proxy.clients);
    let head = "PUT /file HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).expect("sent");
    for part in 1..4 {
        socket.write_all(b"5\r\nhello\r\n").expect("sent");
        upstream.wait_for_chunks(part);
    }
    socket.write_all(b"0\r\n\r\n").expect("sent");
    assert_eq!(Answer::read(&mut socket).expect("an answer").status, 201);
    assert_eq!(upstream.seen()[0].body, "hellohellohello");
}

#[test]
fn which_keys_are_taken_and_which_headers_replayed_is_configured() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let config = place.file(
        "proxy.toml",
        "key-syntax = 'strict'\nkey-format = 'uuid'\n\
         [rule]\nreplayed-headers = { without = ['x-many'] }\n",
    );
    let proxy = place.proxy(upstream.address, &["--config", &config]);
    let uuid = "8e03978e-40d5-43e8-bc93-6894a57f9324";
    for bad in [uuid, "\"order-1\""] {
        let told = charge(proxy.clients, "/v1/charges", bad, "{}");
        assert_eq!(told.problem(), problem(400, "key-malformed"), "{bad}");
    }
    let quoted = format!("\"{uuid}\"");
    assert_eq!(charge(proxy.clients, "/v1/charges", &quoted, "{}").header("x-many"), "1");
    let replay = charge(proxy.clients, "/v1/charges", &quoted, "{}");
    assert_eq!((replay.is_replay(), replay.header("x-many")), (true, ""));
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_retry_that_comes_too_late_may_be_refused() {
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &["--ttl", "1ms", "--refuse-late-retries"]);
    charge(proxy.clients, "/v1/charges", "key", "{}");
    let late = loop {
        let retry = charge(proxy.clients, "/v1/charges", "key", "{}");
        if !retry.is_replay() {
            break retry;
        }
    };
    assert_eq!(late.problem(), problem(410, "key-expired"));
    assert_eq!(upstream.count(), 1);
}

/// What the proxy decided, with the networks that asked. What it notes for itself has none.
fn trail(place: &Place) -> Vec<(String, String)> {
    let mut trail = oncekey::audit::Trail::of_store(place.store()).expect("a trail");
    let mut events = Vec::new();
    while let Some(item) = trail.next() {
        if let oncekey::audit::TrailItem::Event(event) = item.expect("read") {
            let network = event.context.network.and_then(|label| trail.name(label));
            events.extend(network.map(|name| (event.kind.to_string(), name.into_owned())));
        }
    }
    events
}

#[test]
fn what_was_decided_is_in_the_audit_trail_with_who_asked() {
    for (more, network) in
        [(&[][..], "127.0.0.0/24"), (&["--trust-forwarded", "true"], "198.51.100.0/24")]
    {
        let (place, upstream) = (Place::new(), Upstream::start());
        let proxy = place.proxy(upstream.address, more);
        let headers =
            [ANNA, ("Host", "a"), ("Idempotency-Key", "key"), ("X-Forwarded-For", "198.51.100.7")];
        for _ in 0..2 {
            try_send(proxy.clients, "POST", "/v1/charges", &headers, "{}").expect("an answer");
        }
        proxy.stop();
        let events = trail(&place);
        let kinds: Vec<&str> = events.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["claimed", "completed", "replayed"]);
        assert!(events.iter().all(|(_, told)| told == network), "{events:?}");
    }
    let (place, upstream) = (Place::new(), Upstream::start());
    let proxy = place.proxy(upstream.address, &["--audit", "false"]);
    charge(proxy.clients, "/v1/charges", "key", "{}");
    proxy.stop();
    assert!(oncekey::audit::Trail::of_store(place.store()).is_err());
}
