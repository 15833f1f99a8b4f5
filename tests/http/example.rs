//! The axum example as a process of its own: killed with a charge in flight, started again, told to
//! stop. The process is this very program, in which the example's `main` is a test.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use oncekey::Options;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::server::axum_example;
use crate::world::Answer;

/// What the example reads, and nobody else here sets.
const LISTEN: &str = "LISTEN";

/// The example, in a process that was told where to listen.
#[test]
fn serves() {
    if std::env::var_os(LISTEN).is_some() {
        axum_example::main().expect("it ends well");
    }
}

struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(dir: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        command.args(["--exact", "example::serves", "--nocapture"]).current_dir(dir);
        command.env(LISTEN, "127.0.0.1:0").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut lines = lines.map(|line| line.expect("a line"));
        let address = lines.find_map(|line| line.split_once("http://")?.1.trim().parse().ok());
        let address = address.expect("it says where it listens");
        // Whatever else it says must find a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    fn send(&self, key: &str, amount: u64) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).expect("connected");
        let body = format!("{{\"amount\":{amount}}}");
        let head = "POST /v1/charges HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk_anna\r\n";
        let rest = format!("Idempotency-Key: \"{key}\"\r\nContent-Length: {}\r\n", body.len());
        let json = "Content-Type: application/json\r\n\r\n";
        socket.write_all(format!("{head}{rest}{json}{body}").as_bytes()).expect("sent");
        socket
    }

    fn charge(&self, key: &str, amount: u64) -> Answer {
        Answer::read(&mut self.send(key, amount)).expect("an answer")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_example_charges_once_also_when_it_is_killed() {
    let dir = tempfile::tempdir().expect("a directory");
    // A store of small segments is ready sooner.
    let options = Options::new().segment_bytes(4 << 20);
    drop(options.create(dir.path().join("state").join("idempotency")).expect("a store"));
    let example = Process::start(dir.path());
    let first = example.charge("first", 1);
    assert_eq!((first.status, first.is_replay()), (201, false), "{first:?}");
    // Two orders under one key: the one that is refused says that the other is in flight.
    let mut cut = example.send("cut", 2);
    let refused = example.charge("cut", 3);
    let (cut_amount, is_told) = match refused.status {
        422 => (2, None),
        _ => (3, Answer::read(&mut cut)),
    };
    drop(example);

    let example = Process::start(dir.path());
    let again = example.charge("first", 1);
    assert_eq!((again.is_replay(), &again.body), (true, &first.body));
    let retry = example.charge("cut", cut_amount);
    // The gateway knows the charge by its downstream key, so that an attempt that died is run
    // again; or it was charged in the end, before the process was killed.
    let body: Value = serde_json::from_slice(&retry.body).expect("JSON");
    assert_eq!((retry.status, body["amount"].as_u64()), (201, Some(cut_amount)), "{retry:?}");
    assert!(example.charge("cut", cut_amount).is_replay());
    assert!(is_told.is_none_or(|told| told.status == 422));
    let pid = Pid::from_child(&example.child);
    kill_process(pid, Signal::INT).expect("signalled");
    let mut example = example;
    assert_eq!(example.child.wait().expect("it ends").code(), Some(0));
}
