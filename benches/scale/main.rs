//! What a key costs, from a million keys to a hundred million: memory, latency, opening.
//!
//! `cargo bench --bench scale -- [--dir DIR] [--keys 1000000,10000000] [--rounds 3] [--full]
//! [--svg FOLDER]`. `--full` adds a hundred million keys: some minutes, and 25 GB below DIR.
//!
//! Each store is filled by a process of its own, which dies without closing it, and is opened by
//! others, which die likewise: every opening is one after a crash. Sizes take turns, so that what
//! else the machine does meets all of them.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a bench measures real time")]

#[path = "../support/plot.rs"]
mod plot;
mod work;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use plot::{Axis, Plot, Scale, Series};

const FULL: u64 = 100_000_000;

struct Args {
    dir: PathBuf,
    keys: Vec<u64>,
    rounds: u64,
    svg: Option<PathBuf>,
}

/// Figures by name; the medians of the rounds.
type Figures = BTreeMap<String, f64>;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse().expect("a number");
    match words.as_slice() {
        ["child", "fill", dir, keys] => work::fill(Path::new(dir), number(keys)),
        ["child", "open", dir, keys, fresh] => {
            work::open(Path::new(dir), number(keys), number(fresh))
        }
        ["child", "bare", dir] => work::open_only(Path::new(dir)),
        ["child", "sync", dir, fresh] => work::open_sync(Path::new(dir), number(fresh)),
        // Whoever runs all benches as tests wants to know that they run.
        words if words.contains(&"--test") => run(&Args::small()),
        words => run(&Args::parse(words)),
    }
}

impl Args {
    fn small() -> Self {
        Self { dir: std::env::temp_dir(), keys: vec![10_000], rounds: 1, svg: None }
    }

    fn parse(words: &[&str]) -> Self {
        let mut args = Self { keys: vec![1_000_000, 10_000_000], rounds: 3, ..Self::small() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || *words.next().expect("a value");
            match *word {
                "--dir" => args.dir = value().into(),
                "--keys" => {
                    let keys = value().split(',');
                    args.keys = keys.map(|keys| keys.parse().expect("a number")).collect();
                }
                "--rounds" => args.rounds = value().parse().expect("a number"),
                "--svg" => args.svg = Some(value().into()),
                "--full" => args.keys.push(FULL),
                // From cargo.
                "--bench" => {}
                other => panic!("{other} is not known; the bench's header lists what is"),
            }
        }
        args
    }
}

fn run(args: &Args) {
    std::fs::create_dir_all(&args.dir).expect("a folder");
    let folder = tempfile::tempdir_in(&args.dir).expect("a folder");
    let mut all: Vec<(u64, Figures)> = Vec::new();
    for keys in &args.keys {
        let dir = folder.path().join(keys.to_string());
        eprintln!("filling {keys} keys");
        all.push((*keys, child(&["fill", &text(&dir), &keys.to_string()])));
    }
    let mut rounds: Vec<Vec<Figures>> = vec![Vec::new(); args.keys.len()];
    for round in 0..args.rounds {
        for (keys, found) in args.keys.iter().zip(&mut rounds) {
            eprintln!("round {} of {}: {keys} keys", round + 1, args.rounds);
            let dir = text(&folder.path().join(keys.to_string()));
            let fresh = |way: u64| (keys + (2 * round + way) * 1_000_000).to_string();
            let mut figures = child(&["open", &dir, &keys.to_string(), &fresh(0)]);
            figures.append(&mut child(&["sync", &dir, &fresh(1)]));
            // The second of these finds no tail.
            child(&["bare", &dir]);
            figures.append(&mut child(&["bare", &dir]));
            found.push(figures);
        }
    }
    for ((_, figures), rounds) in all.iter_mut().zip(&rounds) {
        figures.append(&mut medians(rounds));
    }
    report(&all);
    if let Some(folder) = &args.svg {
        draw(&all, folder);
    }
}

/// Runs this program once more, for one piece of work, and reads what it tells. It dies on purpose.
fn child(words: &[&str]) -> Figures {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .arg("child")
        .args(words)
        .stderr(Stdio::inherit())
        .output()
        .expect("a process");
    let told = String::from_utf8(output.stdout).expect("text");
    let pairs = told.lines().filter_map(|line| line.split_once(' '));
    let figures: Figures =
        pairs.map(|(name, value)| (name.to_owned(), value.parse().expect("a number"))).collect();
    assert!(!figures.is_empty() && output.status.code().is_none(), "{words:?} failed");
    figures
}

fn medians(rounds: &[Figures]) -> Figures {
    let names = rounds.iter().flat_map(Figures::keys);
    let of = |name: &String| {
        let mut values: Vec<f64> = rounds.iter().filter_map(|f| f.get(name).copied()).collect();
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    };
    names.map(|name| (name.clone(), of(name))).collect()
}

fn report(all: &[(u64, Figures)]) {
    println!("| keys | fill/s | index B/key | RAM B/key | RAM B/key, opened | disk B/key |");
    println!("| ---: | ---: | ---: | ---: | ---: | ---: |");
    for (keys, f) in all {
        let each = |name: &str| f[name] / *keys as f64;
        println!(
            "| {} | {:.0} | {:.2} | {:.2} | {:.2} | {:.0} |",
            plot::short(*keys as f64),
            *keys as f64 / f["fill_s"],
            each("fill_index"),
            each("fill_anonymous"),
            each("open_anonymous"),
            each("disk"),
        );
    }
    println!("\n| keys | open ms | CPU ms | no tail | CPU ms | peak, B/key | segments |");
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (keys, f) in all {
        let peak = f["open_peak"] / *keys as f64;
        let name = plot::short(*keys as f64);
        let (open, cpu, segments) = (f["open_ms"], f["open_cpu_ms"], f["segments"]);
        let (bare, bare_cpu) = (f["bare_open_ms"], f["bare_open_cpu_ms"]);
        let bare = format!("{bare:.0} | {bare_cpu:.0}");
        println!("| {name} | {open:.0} | {cpu:.0} | {bare} | {peak:.1} | {segments:.0} |");
    }
    println!("\n| keys | {} |", LATENCIES.map(|(name, _)| name).join(" | "));
    println!("| ---: | {} |", LATENCIES.map(|_| "---:").join(" | "));
    let first = &all[0].1;
    for (keys, f) in all {
        let cells = LATENCIES.map(|(_, name)| {
            let ratio = f[name] / first[name];
            format!("{:.2} ({ratio:.2}x)", f[name])
        });
        println!("| {} | {} |", plot::short(*keys as f64), cells.join(" | "));
    }
}

const LATENCIES: [(&str, &str); 8] = [
    ("claim p50 us", "interval_p50_us"),
    ("p99", "interval_p99_us"),
    ("p99.9", "interval_p999_us"),
    ("synced claim p50 us", "sync_p50_us"),
    ("p99", "sync_p99_us"),
    ("absent ns", "absent_ns"),
    ("present ns", "present_ns"),
    ("reads for false matches in 50,000", "false_reads"),
];

fn draw(all: &[(u64, Figures)], folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder");
    let series = |name: &str, figure: &dyn Fn(u64, &Figures) -> f64| Series {
        name: name.to_owned(),
        points: all.iter().map(|(keys, f)| (*keys as f64, figure(*keys, f))).collect(),
    };
    let first = &all[0].1;
    let relative = |name: &'static str| move |_: u64, f: &Figures| f[name] / first[name];
    let keys = || Axis { title: "keys".into(), scale: Scale::Log, label: plot::short };
    let linear =
        |title: &str| Axis { title: title.into(), scale: Scale::Linear, label: plot::short };
    let cost = Plot {
        title: "Latency against the number of keys, relative to the fewest".into(),
        x: keys(),
        y: linear("times"),
        series: vec![
            series("claim p50", &relative("interval_p50_us")),
            series("claim p99", &relative("interval_p99_us")),
            series("synced claim p50", &relative("sync_p50_us")),
            series("synced claim p99", &relative("sync_p99_us")),
        ],
    };
    let memory = Plot {
        title: "Memory against the number of keys".into(),
        x: keys(),
        y: linear("bytes a key"),
        series: vec![
            series("index", &|keys, f| f["fill_index"] / keys as f64),
            series("all of the process", &|keys, f| f["fill_anonymous"] / keys as f64),
            series("all, after opening", &|keys, f| f["open_anonymous"] / keys as f64),
        ],
    };
    let open = Plot {
        title: "Opening after a crash".into(),
        x: keys(),
        y: Axis { title: "ms".into(), scale: Scale::Log, label: plot::short },
        series: vec![series("open", &|_, f| f["open_ms"])],
    };
    for (name, plot) in [("latency", cost), ("memory", memory), ("open", open)] {
        let path = folder.join(format!("scale-{name}.svg"));
        std::fs::write(&path, plot.svg()).expect("written");
        eprintln!("{}", path.display());
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}
