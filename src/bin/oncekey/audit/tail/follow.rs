//! Follows a trail: looks for more in short intervals, until it ends or a signal comes.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Manner, print};
use crate::audit::judged::Judged;
use crate::words::{conclude, fail};

/// A trail is written every 100 ms.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// After so many items signals are looked at.
const AT_ONCE: usize = 4096;

/// Why it ended.
enum End {
    /// A signal.
    Called,
    /// The store was closed.
    Closed,
}

enum Failed {
    Trail(oncekey::Error),
    Output(io::Error),
}

pub(super) fn follow(judged: Judged, manner: &Manner, reopen: bool) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let followed = match runtime {
        Ok(runtime) => runtime.block_on(watch(judged, manner, reopen)),
        Err(error) => Err(Failed::Output(error)),
    };
    match followed {
        Ok(End::Called) => ExitCode::SUCCESS,
        Ok(End::Closed) => {
            eprintln!("oncekey: the store was closed: nothing more will come (--reopen goes on)");
            ExitCode::SUCCESS
        }
        Err(Failed::Trail(error)) => fail(&error),
        Err(Failed::Output(error)) => conclude(Err(error), ExitCode::SUCCESS),
    }
}

async fn watch(mut judged: Judged, manner: &Manner, reopen: bool) -> Result<End, Failed> {
    let mut signals = [SignalKind::interrupt(), SignalKind::terminate()]
        .into_iter()
        .map(signal)
        .collect::<io::Result<Vec<Signal>>>()
        .map_err(Failed::Output)?;
    let [interrupt, terminate] = &mut signals[..] else { return Ok(End::Called) };
    loop {
        let is_at_end = show_some(&mut judged, manner)?;
        if is_at_end && judged.trail.is_ended() && !reopen {
            return Ok(End::Closed);
        }
        let pause = if is_at_end { LOOK_EVERY } else { Duration::ZERO };
        tokio::select! {
            biased;
            _ = interrupt.recv() => return Ok(End::Called),
            _ = terminate.recv() => return Ok(End::Called),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Shows the next items; returns whether the trail ends there for now.
fn show_some(judged: &mut Judged, manner: &Manner) -> Result<bool, Failed> {
    let mut lines = Vec::new();
    let mut is_at_end = false;
    for _ in 0..AT_ONCE {
        let Some((item, judgement)) = judged.next().map_err(Failed::Trail)? else {
            is_at_end = true;
            break;
        };
        lines.extend(manner.line(&item, judgement.as_ref(), &judged.trail));
    }
    if !lines.is_empty() {
        print(&lines).map_err(Failed::Output)?;
    }
    Ok(is_at_end)
}
