//! A directory that is copied while it is written: the copy opens with what was told before the
//! copy began, or says why not.

use std::time::{Duration, Instant};

use oncekey::{Durability, ErrorKind};

use crate::ground::run;
use crate::judge::{self, Known, Seen};
use crate::load::{self, Load};
use crate::{chosen, now_ms, pause};

const CLIENTS: usize = 4;

#[derive(Debug, Default)]
struct Tally {
    whole: u64,
    damaged: u64,
    refused: u64,
    seen: Seen,
}

/// `ONCEKEY_COPIES` of them.
#[test]
#[ignore = "takes minutes"]
fn a_copy_of_a_store_that_is_written_opens_whole_or_says_why_not() {
    let begin = Instant::now();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store");
    let store = load::options(Durability::Sync).create(&path).expect("a store");
    let load = Load::new(CLIENTS);
    let copies = chosen("ONCEKEY_COPIES", 40);
    let tally = std::thread::scope(|threads| {
        threads.spawn(|| load.run(&store, 1));
        let tally = (0..copies).map(|number| {
            pause(Duration::from_millis(20));
            let at_ms = now_ms();
            let told = load.told();
            let copy = directory.path().join(format!("copy-{number}"));
            // A file that goes meanwhile is an error of `cp`, which goes on.
            let _ =
                run("cp", &["-r", path.to_str().expect("UTF-8"), copy.to_str().expect("UTF-8")]);
            let known = Known { told, books: load.copy(), at_ms, since_ms: at_ms };
            let result = look_at(&copy, &known);
            std::fs::remove_dir_all(&copy).expect("removed");
            result
        });
        let tally = tally.take_while(|_| !load.is_stopped()).fold(Ok(Tally::default()), add);
        load.stop();
        tally
    });
    let tally = tally.unwrap_or_else(|error| panic!("{error}"));
    let Tally { whole, damaged, refused, seen } = tally;
    println!(
        "{copies} copies in {} s: {whole} opened with all that had been told ({} keys, {} of them \
         completed), {damaged} with damage that was told, {refused} were refused",
        begin.elapsed().as_secs(),
        seen.keys,
        seen.completions
    );
}

/// What became of one copy.
enum Copied {
    Whole(Seen),
    Damaged,
    Refused,
}

fn add(so_far: Result<Tally, String>, next: Result<Copied, String>) -> Result<Tally, String> {
    let mut tally = so_far?;
    match next? {
        Copied::Whole(seen) => {
            tally.whole += 1;
            tally.seen.add(seen);
        }
        Copied::Damaged => tally.damaged += 1,
        Copied::Refused => tally.refused += 1,
    }
    Ok(tally)
}

fn look_at(copy: &std::path::Path, known: &Known) -> Result<Copied, String> {
    let store = match load::options(Durability::Sync).open(copy) {
        Ok(store) => store,
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::WrongStore) => {
            return Ok(Copied::Refused);
        }
        Err(error) => return Err(format!("a copy does not open: {error}")),
    };
    let recovery = store.recovery();
    if !recovery.damage.is_empty() {
        return Ok(Copied::Damaged);
    }
    if !recovery.copied {
        return Err("a copy was not noticed".into());
    }
    let mut seen = Seen::default();
    match judge::look_at_all(&store, known, known.at_ms, &mut seen) {
        Ok(_) => Ok(Copied::Whole(seen)),
        Err(error) => Err(format!("{error}; {recovery:?}")),
    }
}
