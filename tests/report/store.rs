//! Reports of a real store's trail.

use std::path::Path;
use std::time::Duration;

use oncekey::audit::Audit;
use oncekey::{
    Caller, Claim, ClaimRequest, DropPolicy, Key, Options, Outcome, Scope, Store, StoredResponse,
};

use crate::{json, oncekey, printed};

/// A client's name that a terminal would obey, and one that a page would.
const HOSTILE: &str = "\u{1b}[31mevil\u{202e}\n<script>alert(1)</script>";

fn request(key: &str, client: &str, body: &str) -> ClaimRequest {
    let (scope, key) = (Scope::new("acct").expect("a scope"), Key::new(key).expect("a key"));
    let caller = Caller::new().client(client).user_agent("test/1");
    ClaimRequest::new(scope, key).operation("POST /v1/charges").payload(body).caller(caller)
}

fn claim(store: &Store, request: ClaimRequest) -> Claim {
    match store.claim(request).wait().expect("an outcome") {
        Outcome::Claimed(claim) => claim,
        other => panic!("not claimed: {other:?}"),
    }
}

/// Forty charges, ten of which are tried again, four by another payload; one is left unresolved
/// and one in flight, with its claim.
fn used(path: &Path) -> (Store, Claim) {
    let options = Options::new().segment_bytes(1 << 20).ttl(Duration::from_secs(3600));
    let store = options.audit(Audit::new()).create(path).expect("a store");
    for number in 0..40_u64 {
        let key = format!("{:08x}-1111-4222-8333-{number:012x}", number.wrapping_mul(0x9E37_79B9));
        let client = if number % 2 == 0 { "shop" } else { HOSTILE };
        let done = claim(&store, request(&key, client, "10"));
        done.complete(StoredResponse::new("charged")).wait().expect("completed");
        if number < 10 {
            let again = store.claim(request(&key, client, "10")).wait().expect("an outcome");
            assert!(matches!(again, Outcome::Replay(_)));
        }
        if number < 4 {
            let other = store.claim(request(&key, client, "999")).wait().expect("an outcome");
            assert!(matches!(other, Outcome::Mismatch(_)));
        }
    }
    let unknown = request("unknown", "shop", "1").on_drop(DropPolicy::Unresolved);
    drop(claim(&store, unknown));
    let held = claim(&store, request("held", "shop", "1"));
    (store, held)
}

#[test]
fn a_report_has_the_figures_of_what_happened_while_the_store_is_used_and_after() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state");
    let place = path.to_str().expect("UTF-8");
    let (store, held) = used(&path);
    // The trail is written within a window of time, and can be read while the store is in use.
    let live = (0..1000).find_map(|_| {
        let output = oncekey(&[place, "--format", "json"]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        (report["totals"]["claimed"] == 42).then_some(report)
    });
    assert_eq!(live.expect("it is written")["open_claims"]["in_flight"], 1);
    drop(held);
    drop(store);

    let report = json(&[place]);
    let totals = &report["totals"];
    let expected = [
        ("requests", 56),
        ("claimed", 42),
        ("completed", 40),
        ("replayed", 10),
        ("mismatches", 4),
        ("collisions", 14),
        ("keys", 42),
        ("scopes", 1),
        ("left_unresolved", 1),
        ("dropped", 1),
    ];
    for (name, count) in expected {
        assert_eq!(totals[name], count, "{name}: {report:#}");
    }
    let rate = report["rates"]["key_reuse_rate"].as_f64().expect("a rate");
    assert!((rate - 4.0 / 56.0).abs() < 1e-9);
    let reuse = report["verdicts"].as_array().expect("verdicts").iter();
    let reuse = reuse.filter(|verdict| verdict["verdict"] == "key_reuse").collect::<Vec<_>>();
    assert_eq!(reuse[0]["count"], 4);
    assert_eq!(reuse[0]["examples"].as_array().expect("examples").len(), 4);
    assert_eq!(report["open_claims"]["unresolved"], 1);
    assert_eq!(report["open_claims"]["in_flight"], 1);
    assert_eq!(report["trust"]["is_whole"], true, "{report:#}");
    // The TTL is known from the store's records.
    assert_eq!(report["ttl"]["ttl_ms"], 3_600_000);
    assert_eq!(report["ttl_costs"]["is_assumed"], false);
    let names: Vec<_> = report["clients"]
        .as_array()
        .expect("clients")
        .iter()
        .map(|client| client["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["shop", HOSTILE]);

    // The trail's own directory will do, and a time without events is said to be one.
    let trail = path.join("audit");
    let of_trail = json(&[trail.to_str().expect("UTF-8")]);
    assert_eq!(of_trail["totals"], report["totals"]);
    assert_eq!(of_trail["ttl"]["ttl_from"], "unknown");
    let nothing = printed(&[place, "--until", "2020-01-01"]);
    assert!(nothing.contains("no events in this time"), "{nothing}");
}

#[test]
fn nothing_in_a_name_is_obeyed() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state");
    let place = path.to_str().expect("UTF-8");
    drop(used(&path));

    let table = printed(&[place]);
    let is_plain = |c: char| c == '\n' || !c.is_control() && c != '\u{202e}';
    assert!(table.chars().all(is_plain), "{table}");
    assert!(table.contains("\\u{1b}[31mevil\\u{202e}\\n"), "{table}");
    for part in ["Collisions", "Key reuse", "Clients", "Operations", "TTL advice", "Open claims"] {
        assert!(table.contains(part), "{part}: {table}");
    }

    let page = printed(&[place, "--format", "html"]);
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("&lt;script&gt;"), "{page}");
    assert!(page.chars().all(is_plain));
}

#[test]
fn what_is_no_trail_is_told_with_what_to_try() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state");
    let place = path.to_str().expect("UTF-8");
    let told = |args: &[&str]| {
        let output = oncekey(args);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    assert!(told(&[place]).contains("does not exist"));
    drop(Options::new().segment_bytes(1 << 20).create(&path).expect("a store"));
    assert!(told(&[place]).contains("Options::audit"));
    let unwritten = told(&["--synth", "10", "-o", "/nowhere/at/all.html"]);
    assert!(unwritten.contains("/nowhere/at/all.html"), "{unwritten}");
    assert!(told(&[]).contains("Usage"));
}
