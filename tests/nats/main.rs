//! `oncekey audit ship` and `oncekey audit merge` with a real NATS server: killed and started again
//! midway, and the shippers killed at random moments.
//!
//! Needs `nats-server` (Debian has it as a package; `NATS_SERVER` names another).

#![allow(clippy::disallowed_methods, reason = "a test is a user of the library, not its engine")]

#[path = "../support/regions.rs"]
mod support;

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use oncekey::audit::Privacy;

use support::{SECRET, charge, create, essence, merge, oncekey, str, text};

/// A server with JetStream, whose streams outlive it.
struct Server {
    directory: PathBuf,
    port: u16,
    process: Option<Child>,
}

impl Server {
    fn new(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let mut server = Self { directory: root.join("nats"), port, process: None };
        server.start();
        server
    }

    fn start(&mut self) {
        let program = std::env::var("NATS_SERVER").unwrap_or_else(|_| "nats-server".into());
        // Debian's is in a directory that only root searches.
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let mut process = Command::new(&program)
            .env("PATH", path)
            .args(["-js", "-a", "127.0.0.1", "-p", &self.port.to_string(), "-sd"])
            .arg(&self.directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; apt-get install nats-server"));
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(process.try_wait().expect("a state").is_none(), "the server has ended");
            std::thread::yield_now();
        }
        self.process = Some(process);
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it is killed");
            process.wait().expect("it is gone");
        }
    }

    fn subject(&self, name: &str) -> String {
        format!("nats://127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn shipper(place: &Path, to: &str, follow: bool) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oncekey"));
    command.args(["audit", "ship", str(place), "--to", to, "--cursor", "queue"]);
    command.args(["--create-stream", "AUDIT"]).stderr(Stdio::null());
    if follow {
        command.arg("--follow");
    }
    command
}

/// What the cursor has.
fn cursor(place: &Path) -> Option<Vec<u8>> {
    std::fs::read(place.join("audit/queue.cursor")).ok()
}

/// Every event arrives at least once, and the merge of the stream is that of the stores.
#[test]
fn what_arrives_is_what_was_decided_whoever_is_killed() {
    let root = tempfile::tempdir().expect("a directory");
    let mut server = Server::new(root.path());
    let to = server.subject("audit");
    let places = ["region-a", "region-b"].map(|name| root.path().join(name));
    for round in 0..12_u64 {
        let stores = places.each_ref().map(|place| create(place, SECRET, Privacy::Reduced));
        let mut shippers: Vec<Child> = places
            .iter()
            .map(|place| shipper(place, &to, true).spawn().expect("it starts"))
            .collect();
        for number in 0..50 + round * 37 % 200 {
            if number == 30 && round % 4 == 1 {
                server.kill();
            }
            for (region, store) in stores.iter().enumerate() {
                charge(store, "acct_42", &format!("{region}-{round}-{number}"));
                charge(store, "acct_42", &format!("{region}-{round}-{}", number / 3));
            }
        }
        charge(&stores[(round % 2) as usize], "acct_42", "everywhere");
        if server.process.is_none() && round % 8 == 1 {
            server.start();
        }
        // Every third round the shippers get so far as to move their cursors, through whatever
        // became of the server; else they are killed wherever they are.
        if server.process.is_some() && round % 3 == 1 {
            for place in &places {
                let before = cursor(place);
                charge(&stores[0], "acct_42", &format!("a-{round}"));
                charge(&stores[1], "acct_42", &format!("b-{round}"));
                while cursor(place) == before {
                    std::thread::yield_now();
                }
            }
        }
        for shipper in &mut shippers {
            shipper.kill().expect("it is killed");
            shipper.wait().expect("it is gone");
        }
        if server.process.is_none() {
            server.start();
        }
    }
    for place in &places {
        let status = shipper(place, &to, false).status().expect("it runs");
        assert!(status.success(), "{status:?}");
    }
    let (of_queue, code) = merge(&[&to]);
    let (of_stores, _) = merge(&[str(&places[0]), str(&places[1])]);
    assert_eq!(code, 1, "a key was executed in both");
    assert_eq!(essence(&of_queue), essence(&of_stores));
    assert_eq!(of_stores["findings"].as_array().map(Vec::len), Some(1));
    // A queue beside the stores changes nothing.
    let (together, _) = merge(&[&to, str(&places[0]), str(&places[1])]);
    assert_eq!(essence(&together), essence(&of_stores));
}

#[test]
fn the_server_leaves_out_what_it_has() {
    let root = tempfile::tempdir().expect("a directory");
    let server = Server::new(root.path());
    let to = server.subject("audit");
    let place = root.path().join("a");
    let store = create(&place, SECRET, Privacy::Reduced);
    for number in 0..700 {
        charge(&store, "acct_42", &format!("{number}"));
    }
    drop(store);
    assert!(shipper(&place, &to, false).status().expect("it runs").success());
    // As if the shipper had died before its cursor was on disk.
    std::fs::remove_file(place.join("audit/queue.cursor")).expect("it was there");
    assert!(shipper(&place, &to, false).status().expect("it runs").success());
    let (view, _) = merge(&[&to]);
    assert_eq!(
        (&view["stores"][0]["duplicates"], &view["stores"][0]["missing"]),
        (&0.into(), &"0".into())
    );
    assert_eq!(view["stores"][0]["events"], 1400);
}

#[test]
fn without_a_stream_or_a_server_it_is_told_what_to_do() {
    let root = tempfile::tempdir().expect("a directory");
    let mut server = Server::new(root.path());
    let place = root.path().join("a");
    charge(&create(&place, SECRET, Privacy::Reduced), "acct_42", "k1");
    let to = server.subject("audit");
    let args = ["audit", "ship", str(&place), "--to", &to, "--cursor", "c", "--give-up", "1ms"];
    let output = oncekey(&args);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("--create-stream"), "{output:?}");
    server.kill();
    let output = oncekey(&args);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("is the server there?"), "{output:?}");
    for wrong in ["nats://h", "nats:///a", "nats://h:1/a.>", "nats://h/a..b", "nats://h/a b"] {
        let output = oncekey(&["audit", "merge", wrong]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    let secret = "nats://me:hush@127.0.0.1:1/audit";
    let output = oncekey(&["audit", "merge", secret]);
    assert!(!text(&output.stderr).contains("hush"), "{output:?}");
}

/// A merge that follows goes on after the server was away, and tells what was executed meanwhile.
#[test]
fn a_merge_follows_through_a_restart_of_the_server() {
    let root = tempfile::tempdir().expect("a directory");
    let mut server = Server::new(root.path());
    let to = server.subject("audit");
    let places = ["region-a", "region-b"].map(|name| root.path().join(name));
    let stores = places.each_ref().map(|place| create(place, SECRET, Privacy::Reduced));
    for (store, place) in stores.iter().zip(&places) {
        charge(store, "acct_42", str(place));
    }
    let _shippers = places
        .each_ref()
        .map(|place| Running(shipper(place, &to, true).spawn().expect("it starts")));
    while places.iter().any(|place| cursor(place).is_none()) {
        std::thread::yield_now();
    }
    let mut merge = Command::new(env!("CARGO_BIN_EXE_oncekey"));
    merge.args(["audit", "merge", "--follow", "--json", "--every", "1h", "--max-skew", "1s", &to]);
    let merge = merge.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut merge = Running(merge);
    let output = std::io::BufReader::new(merge.0.stdout.take().expect("piped"));
    let mut lines = std::io::BufRead::lines(output);
    let mut found = |key: &str| {
        for store in &stores {
            charge(store, "acct_42", key);
        }
        // What follows lets the stream go on without waiting for marks.
        for store in &stores {
            charge(store, "acct_42", &format!("after {key}"));
        }
        lines.find_map(|line| {
            let line: serde_json::Value =
                serde_json::from_str(&line.expect("a line")).expect("one value a line");
            let hash = line.get("finding")?["key_hash"].as_str()?.to_owned();
            Some(hash)
        })
    };
    let before = found("before").expect("a finding");
    server.kill();
    server.start();
    let mut after = found("meanwhile").expect("a finding");
    while after == before {
        after = found("again").expect("a finding");
    }
}

/// A process that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
