//! `oncekey proxy` before the bare service, as a process of its own. It is there where the feature
//! is, and ends with the bench.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

/// A proxy that runs.
pub struct Proxy {
    child: Child,
    pub address: SocketAddr,
}

impl Proxy {
    #[cfg(not(feature = "proxy"))]
    pub fn start(_upstream: SocketAddr, _store: &Path) -> Option<Self> {
        None
    }

    #[cfg(feature = "proxy")]
    pub fn start(upstream: SocketAddr, store: &Path) -> Option<Self> {
        use std::io::{BufRead, BufReader};
        use std::process::{Command, Stdio};

        let mut command = Command::new(env!("CARGO_BIN_EXE_oncekey"));
        command.args(["proxy", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        command.args(["--scope-header", "x-account", "--requirement", "optional"]);
        command.args(["--access-log", "false"]).arg("--upstream").arg(format!("http://{upstream}"));
        command.arg("--store").arg(store).env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("clients: http://").expect("an address");
        Some(Self { child, address: address.parse().expect("an address") })
    }

    /// What it has had of the processors, to a hundredth of a second.
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.expect("Linux tells");
        // After the name, which is in parentheses: the 12th and the 13th, in user and system.
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let ticks = fields.split_whitespace().skip(11).take(2);
        Duration::from_millis(10)
            * ticks.map(|ticks| ticks.parse::<u32>().expect("ticks")).sum::<u32>()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
