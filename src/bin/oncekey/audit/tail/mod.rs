//! `oncekey audit tail`: the newest events of a trail, and those that come.

mod follow;
mod only;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use oncekey::audit::{Judgement, Trail, TrailItem, item_json};

use self::only::Only;
use super::judged::Judged;
use super::source;
use super::words::{self, Colour, Paint};
use crate::words::{conclude, fail};

const EXAMPLES: &str = "\
Examples:
  oncekey audit tail STORE
  oncekey audit tail STORE --follow --only collisions
  oncekey audit tail STORE --follow --only suspicious_replay --only key_reuse
  oncekey audit tail STORE -n 1000 --json | jq -r .kind | sort | uniq -c

It takes no lock, so the store may be in use. Events come to the trail about 100 ms after they
happened. --follow ends when the store is closed, or by Ctrl-C. Gaps and damage are always shown:
what is missing may be what was asked for. #1234abcd stands for a text that the trail does not keep.

Exit codes:
  0   shown; with --follow: the store was closed, or Ctrl-C
  2   there is no trail, it cannot be read, or the command line is wrong";

/// Show a trail's newest events, with the verdict on each collision.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A store's directory, or that of a trail.
    #[arg(value_name = "STORE|TRAIL")]
    place: PathBuf,

    /// Show what comes, until the store is closed.
    #[arg(short, long)]
    follow: bool,

    /// Go on when the store is closed, and show what comes when it is opened again.
    #[arg(long, requires = "follow")]
    reopen: bool,

    /// Print JSON lines, as `audit export` does.
    #[arg(long)]
    json: bool,

    /// Only events of this sort: `collisions`, a kind (replayed), or a verdict (race). May be given
    /// several times.
    #[arg(long, value_name = "SORT", value_parser = only::parse)]
    only: Vec<Only>,

    /// How many of the events that are there to show first.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    lines: u32,

    /// When to colour: auto is on a terminal, unless NO_COLOR is set.
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
}

/// How items become lines.
#[derive(Debug)]
struct Manner {
    json: bool,
    only: Vec<Only>,
    paint: Paint,
}

impl Manner {
    /// The line of an item, if it is of a sort that was asked for.
    fn line(
        &self,
        item: &TrailItem,
        judgement: Option<&Judgement>,
        trail: &Trail,
    ) -> Option<String> {
        if let TrailItem::Event(event) = item
            && !self.only.is_empty()
            && !self.only.iter().any(|only| only.allows(event, judgement))
        {
            return None;
        }
        Some(if self.json {
            item_json(source::origin(trail), item, judgement, &|label| trail.name(label))
        } else {
            words::line(item, judgement, trail, self.paint)
        })
    }
}

/// Shows what is there, and then what comes.
pub(crate) fn run(args: Args) -> ExitCode {
    let mut judged = match source::open(&args.place) {
        Ok(source) => Judged::new(source.trail),
        Err(error) => return fail(&error),
    };
    let manner = Manner { json: args.json, only: args.only, paint: Paint::new(args.color) };
    let newest = match newest(&mut judged, &manner, args.lines as usize) {
        Ok(newest) => newest,
        Err(error) => return fail(&error),
    };
    if let Err(error) = print(&newest) {
        return conclude(Err(error), ExitCode::SUCCESS);
    }
    if args.follow {
        return follow::follow(judged, &manner, args.reopen);
    }
    ExitCode::SUCCESS
}

/// The last lines of what is there now.
fn newest(
    judged: &mut Judged,
    manner: &Manner,
    count: usize,
) -> Result<VecDeque<String>, oncekey::Error> {
    let mut newest = VecDeque::new();
    while let Some((item, judgement)) = judged.next()? {
        if count == 0 {
            continue;
        }
        if let Some(line) = manner.line(&item, judgement.as_ref(), &judged.trail) {
            if newest.len() == count {
                newest.pop_front();
            }
            newest.push_back(line);
        }
    }
    Ok(newest)
}

fn print<'a>(lines: impl IntoIterator<Item = &'a String>) -> io::Result<()> {
    let mut output = io::BufWriter::new(io::stdout().lock());
    for line in lines {
        output.write_all(line.as_bytes())?;
        output.write_all(b"\n")?;
    }
    output.flush()
}
