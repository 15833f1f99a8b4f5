//! Keys that come and go: what a prune of a million costs and disturbs, and what a week of traffic
//! takes of the disk. On a real directory, under a clock that is driven by hand.
//!
//! `cargo bench --features simulation --bench lifecycle -- prune` and `-- week`; `--help` lists the
//! options. Each writes a table to standard output and a plot to the directory of `--plots`.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a bench measures real time")]

mod batches;
mod latencies;
#[path = "../support/plot.rs"]
mod plot;
mod prune;
mod week;

use std::path::PathBuf;

const HELP: &str = "\
lifecycle [prune | week]...

  --dir DIR          where the stores are made (default: the system's temporary directory)
  --plots DIR        where the plots are written (default: none are)
  --rounds N         prune: how often (5)
  --days N           week: how many days (7)
  --rate N           week: requests a second (50)
  --response BYTES   week: of a response (1024)
  --segment MIB      week: the size of a segment (16)
  --together N       week: requests that share a batch (10)
";

#[derive(Debug)]
pub struct Options {
    pub dir: PathBuf,
    pub plots: Option<PathBuf>,
    pub rounds: u32,
    pub days: u64,
    pub rate: u64,
    pub response: usize,
    pub segment: u32,
    pub together: u64,
}

fn main() {
    let mut options = Options {
        dir: std::env::temp_dir(),
        plots: None,
        rounds: 5,
        days: 7,
        rate: 50,
        response: 1024,
        segment: 16,
        together: 10,
    };
    let mut what = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().expect("a value");
        let mut number = || value().parse::<u64>().expect("a number");
        match word.as_str() {
            "--bench" => {}
            "--rounds" => options.rounds = number() as u32,
            "--days" => options.days = number(),
            "--rate" => options.rate = number(),
            "--response" => options.response = number() as usize,
            "--segment" => options.segment = number() as u32,
            "--together" => options.together = number(),
            "--dir" => options.dir = value().into(),
            "--plots" => options.plots = Some(value().into()),
            "prune" | "week" => what.push(word),
            _ => return print!("{HELP}"),
        }
    }
    for name in what {
        match name.as_str() {
            "prune" => prune::run(&options),
            _ => week::run(&options),
        }
    }
}
