//! The proxy as a process: started, asked, stopped, killed.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::disallowed_methods, reason = "a test is a user of the library, not its engine")]

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;

use oncekey::Options;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A directory for a store and the files around it, which outlives the proxies over it.
pub struct Place {
    dir: TempDir,
}

impl Place {
    /// With a store of small segments: a proxy is ready a second earlier than where it fills those
    /// of a store of its own.
    pub fn new() -> Self {
        let place = Self::empty();
        let store = Options::new().segment_bytes(4 << 20).create(place.store()).expect("a store");
        drop(store);
        place
    }

    pub fn empty() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    }

    pub fn store(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn command(&self, upstream: SocketAddr, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oncekey"));
        command.args(["proxy", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        command.args(["--scope-header", "authorization", "--upstream"]);
        command.arg(format!("http://{upstream}")).arg("--store").arg(self.store()).args(more);
        command.env_clear().stdin(Stdio::null());
        command
    }

    /// A proxy that is ready.
    pub fn proxy(&self, upstream: SocketAddr, more: &[&str]) -> Proxy {
        let mut command = self.command(upstream, more);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut stderr = child.stderr.take().expect("piped");
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut address = |name: &str| -> SocketAddr {
            let line = lines.next().and_then(Result::ok).unwrap_or_default();
            let url = line.strip_prefix(&format!("{name}: http://"));
            url.and_then(|url| url.parse().ok()).unwrap_or_else(|| panic!("not {name}: {line:?}"))
        };
        let (clients, admin) = (address("clients"), address("admin"));
        Proxy { child, clients, admin, log: Some(log) }
    }

    /// A proxy that ends by itself.
    pub fn run(&self, upstream: SocketAddr, more: &[&str]) -> Output {
        self.command(upstream, more).output().expect("it runs")
    }
}

/// A proxy that runs. It is killed when it is dropped.
pub struct Proxy {
    child: Child,
    pub clients: SocketAddr,
    pub admin: SocketAddr,
    log: Option<JoinHandle<String>>,
}

impl Proxy {
    pub fn terminate(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("signalled");
    }

    /// SIGKILL, and nothing of it is left.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("it ended");
    }

    /// Waits for its end; the exit code, and what it wrote on standard error.
    pub fn ended(mut self) -> (i32, String) {
        let code = self.child.wait().expect("it ends").code().expect("no signal");
        let log = self.log.take().expect("once").join().expect("read");
        (code, log)
    }

    /// SIGTERM, and its end.
    pub fn stop(self) -> (i32, String) {
        self.terminate();
        self.ended()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
