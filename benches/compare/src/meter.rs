//! Counters: time, CPU and bytes handed to write calls of this process, the CPU that others took
//! meanwhile, and the syncs of a child.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A reading of the counters.
pub struct Meter {
    started: Instant,
    cpu_seconds: f64,
    machine_seconds: f64,
    written_bytes: u64,
}

/// What passed between two readings.
pub struct Spent {
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub written_bytes: u64,
    /// Cores that the rest of the machine kept busy, on average.
    pub others_cores: f64,
}

impl Meter {
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            cpu_seconds: cpu_seconds(),
            machine_seconds: machine_seconds(),
            written_bytes: written_bytes(),
        }
    }

    pub fn stop(&self) -> Spent {
        let seconds = self.started.elapsed().as_secs_f64();
        let cpu_seconds = cpu_seconds() - self.cpu_seconds;
        let others_seconds = machine_seconds() - self.machine_seconds - cpu_seconds;
        Spent {
            seconds,
            cpu_seconds,
            written_bytes: written_bytes() - self.written_bytes,
            others_cores: (others_seconds / seconds).max(0.0),
        }
    }
}

fn cpu_seconds() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

/// Seconds all cores were busy, from `/proc/stat`, which counts hundredths.
fn machine_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let all = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let counts = all.map(|count| count.parse().unwrap_or(0)).collect::<Vec<u64>>();
    // user, nice, system, (idle, iowait,) irq, softirq
    let busy = [0, 1, 2, 5, 6].map(|index| counts.get(index).copied().unwrap_or(0));
    busy.iter().sum::<u64>() as f64 / 100.0
}

/// Bytes handed to write calls (`wchar`), whatever the page cache does with them.
fn written_bytes() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let wchar = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    wchar.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// How long a settling may take.
pub const SETTLE_LIMIT: Duration = Duration::from_secs(30);
/// A process that keeps less of a core busy than this has settled.
const IDLE_CORES: f64 = 0.1;

/// Waits for the engine's threads to finish with what was loaded, and writes it all out.
pub fn settle(dir: &Path) {
    let started = Instant::now();
    let dir = File::open(dir).expect("open the engine's directory");
    rustix::fs::syncfs(&dir).expect("sync the filesystem");
    while started.elapsed() < SETTLE_LIMIT {
        let cpu_before = cpu_seconds();
        thread::sleep(Duration::from_secs(1));
        if cpu_seconds() - cpu_before < IDLE_CORES {
            break;
        }
    }
    rustix::fs::syncfs(&dir).expect("sync the filesystem");
}

/// Runs this program under `strace` and answers its cycles and its sync calls, if strace is there.
pub fn child_syncs(arguments: &[&str], dir: &Path) -> Option<(u64, u64)> {
    let report = dir.join("strace");
    let output = Command::new("strace")
        .args(["-f", "-c", "--seccomp-bpf"])
        .arg("-e")
        .arg("trace=fsync,fdatasync,sync_file_range,msync,sync,syncfs")
        .arg("-o")
        .arg(&report)
        .arg(std::env::current_exe().ok()?)
        .args(arguments)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let cycles = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
    let report = fs::read_to_string(report).ok()?;
    Some((cycles, total_calls(&report)))
}

/// The calls of strace's summary: columns are time, seconds, per call, calls, [errors,] name.
fn total_calls(report: &str) -> u64 {
    let rows = report.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let sync = |row: &Vec<&str>| row.last().is_some_and(|name| name.contains("sync"));
    rows.filter(sync).filter_map(|row| row.get(3)?.parse::<u64>().ok()).sum()
}
