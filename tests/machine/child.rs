//! A child process that says what it was told, line by line, on standard error. It is this test
//! again, with the store's directory in its environment.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Mutex;

const DIRECTORY: &str = "ONCEKEY_MACHINE_DIRECTORY";
const ROUND: &str = "ONCEKEY_MACHINE_ROUND";

/// What the parent gave the child; `None` if this is no child.
pub fn orders() -> Option<(PathBuf, u64)> {
    let directory = std::env::var(DIRECTORY).ok()?;
    let round = std::env::var(ROUND).expect("a round").parse().expect("a number");
    Some((directory.into(), round))
}

/// Says a line, whole. Threads take turns.
pub fn say(line: &str) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().expect("no panic");
    let mut out = std::io::stderr().lock();
    // The parent may be gone: then so is the need to go on.
    out.write_all(format!("{line}\n").as_bytes()).unwrap_or_else(|_| std::process::exit(1));
}

/// The command of a child that runs one test of this program, behind another program if one is
/// given.
pub fn command(before: &[&str], test: &str, directory: &Path, round: u64) -> Command {
    let exe = std::env::current_exe().expect("this program");
    let mut command = match before {
        [] => Command::new(&exe),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(&exe);
            command
        }
    };
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .env(ROUND, round.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// A child that runs.
pub struct Voice {
    pub child: Child,
    out: BufReader<ChildStderr>,
}

impl Voice {
    pub fn of(mut command: Command) -> Self {
        let mut child = command.spawn().expect("a child");
        let out = BufReader::new(child.stderr.take().expect("its voice"));
        Self { child, out }
    }

    /// The next whole line. What was cut short was never said.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.out.read_line(&mut line).expect("text");
        let whole = read > 0 && line.ends_with('\n');
        whole.then(|| line.trim_end().to_owned())
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
