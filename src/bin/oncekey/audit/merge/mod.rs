//! `oncekey audit merge`: many trails as one: how far each is complete, what is missing, and what
//! only all of them together show.

mod json;
mod source;
mod text;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use oncekey::audit::merge::{Finding, Merge, MergeOptions, Merged, Snapshots, Told, told_json};
use oncekey::audit::report::Summary;
use oncekey::audit::{Label, Origin};
use oncekey::{Error, ErrorKind, StoreTime};

use self::source::{Notes, Source};
use crate::audit::report;
use crate::audit::window::span_ms;
use crate::audit::words::nameless;
use crate::words::{conclude, escape, fail, print};

const LOOK_EVERY: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
Examples:
  oncekey audit merge /mnt/region-a/idempotency /mnt/region-b/idempotency
  oncekey audit merge region-a/ region-b.jsonl --names --export all.jsonl
  oncekey audit merge nats://queue:4222/audit.eu nats://queue:4222/audit.us --follow

Sources are directories of stores, of trails, or of several of them; files of JSON lines that
`audit ship` or `audit export` wrote (- is standard input); and subjects of NATS JetStream. The same
event from two of them counts once. Stores can be compared if they were given one secret
(Audit::secret).

Exit codes:
  0   shown, and nothing was found
  1   a key was executed in two stores, or may have been; a store was copied; part of a source is
      damaged
  2   a source cannot be read, or the command line is wrong";

/// See many trails as one: watermarks, gaps, and keys that two stores executed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Stores, trails, files of JSON lines, subjects of NATS.
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<PathBuf>,

    /// Show names of scopes and operations where they are known, not their hashes.
    #[arg(long)]
    names: bool,

    /// Go on with what comes, and tell findings as they come, until a signal comes.
    #[arg(long)]
    follow: bool,

    /// Print JSON: one object; with --follow one a line.
    #[arg(long)]
    json: bool,

    /// Write the merged events there, as JSON lines; - is standard output.
    #[arg(long, value_name = "FILE|-")]
    export: Option<PathBuf>,

    /// How far the clocks of stores, and of this machine, may be apart.
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = span_ms)]
    max_skew: u64,

    /// How long a store or an event that is missing holds up the others; with --follow.
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = span_ms)]
    max_wait: u64,

    /// How many events may wait in memory.
    #[arg(long, value_name = "N")]
    max_events: Option<usize>,

    /// How many keys are remembered to be compared.
    #[arg(long, value_name = "N")]
    max_keys: Option<usize>,

    /// With --follow: show how far the stores are this often.
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = span_ms)]
    every: u64,
}

/// Merges.
pub(crate) fn run(args: Args) -> ExitCode {
    match Run::new(&args).and_then(|run| run.go()) {
        Ok(code) => code,
        Err(Stop::Failed(error)) => fail(&error),
        Err(Stop::Output(error)) => conclude(Err(error), ExitCode::SUCCESS),
    }
}

enum Stop {
    Failed(Error),
    Output(io::Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

struct Run<'a> {
    args: &'a Args,
    merge: Merge,
    sources: Vec<Source>,
    notes: Notes,
    export: Option<Box<dyn Write>>,
}

impl<'a> Run<'a> {
    fn new(args: &'a Args) -> Result<Self, Stop> {
        let mut options = MergeOptions::new().max_skew_ms(args.max_skew).max_wait_ms(args.max_wait);
        if let Some(events) = args.max_events {
            options = options.max_events(events);
        }
        if let Some(keys) = args.max_keys {
            options = options.max_keys(keys);
        }
        let mut merge = Merge::new(options);
        let sources = source::open(&args.sources, args.follow, &mut merge)?;
        let export: Option<Box<dyn Write>> = match &args.export {
            None => None,
            Some(path) if path.as_os_str() == "-" => Some(Box::new(BufWriter::new(io::stdout()))),
            Some(path) => {
                let file = File::create(path).map_err(|error| {
                    let what = format!("creating {}: {error}", path.display());
                    Error::new(ErrorKind::Io, what)
                })?;
                Some(Box::new(BufWriter::with_capacity(1 << 16, file)))
            }
        };
        Ok(Self { args, merge, sources, notes: Notes::default(), export })
    }

    fn go(self) -> Result<ExitCode, Stop> {
        if self.args.follow { self.follow() } else { self.once() }
    }

    /// Reads all that there is, the source that is behind first, so that little has to wait.
    fn once(mut self) -> Result<ExitCode, Stop> {
        let mut open: Vec<usize> = (0..self.sources.len()).collect();
        while let Some(at) = open.iter().copied().min_by_key(|at| self.sources[*at].last_at) {
            let before = now();
            let source = &mut self.sources[at];
            source.read(&mut self.merge, &mut self.notes)?;
            if source.is_at_end {
                source.check_end(&mut self.notes)?;
                source.mark(read_to(before, self.args.max_skew), &mut self.merge);
                self.merge.close(self.sources[at].id);
                open.retain(|other| *other != at);
            }
            self.hand_on()?;
        }
        self.merge.finish();
        self.hand_on()?;
        self.merge.advance(now());
        self.export_gaps()?;
        self.show()
    }

    fn follow(mut self) -> Result<ExitCode, Stop> {
        let mut shown: Option<Instant> = None;
        loop {
            let before = now();
            let mut is_quiet = true;
            for at in 0..self.sources.len() {
                let source = &mut self.sources[at];
                source.read(&mut self.merge, &mut self.notes)?;
                is_quiet &= source.is_at_end;
                if source.is_at_end {
                    source.mark(read_to(before, self.args.max_skew), &mut self.merge);
                }
                self.hand_on()?;
            }
            self.merge.advance(before);
            self.hand_on()?;
            while let Some(finding) = self.merge.next_finding() {
                self.tell(&finding)?;
            }
            let every = Duration::from_millis(self.args.every);
            if is_quiet && shown.is_none_or(|at| at.elapsed() >= every) {
                shown = Some(Instant::now());
                self.show_status()?;
            }
            if is_quiet {
                if let Some(export) = &mut self.export {
                    export.flush()?;
                }
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }

    /// Takes what may be handed on, and exports it.
    fn hand_on(&mut self) -> io::Result<()> {
        for merged in self.merge.by_ref() {
            if let Some(export) = &mut self.export {
                let names = Names { sources: &self.sources, notes: &self.notes };
                let Merged { producer, key_id, event, .. } = merged;
                let origin = Origin::new(producer.store_id, key_id);
                let line = told_json(origin, &Told::Event(event), &|label| names.get(label));
                export.write_all(line.as_bytes())?;
                export.write_all(b"\n")?;
            }
        }
        Ok(())
    }

    /// At its end an export says what it does not have.
    fn export_gaps(&mut self) -> io::Result<()> {
        let Some(export) = &mut self.export else { return Ok(()) };
        let key_ids: std::collections::HashMap<_, _> = self
            .merge
            .stores()
            .into_iter()
            .filter_map(|store| Some((store.store_id, *store.key_ids.first()?)))
            .collect();
        for gap in self.merge.gaps() {
            let key_id = key_ids.get(&gap.producer.store_id).copied().unwrap_or_default();
            let first = oncekey::audit::EventId::new(gap.producer.boot, gap.first);
            let told = match gap.count {
                Some(count) => Told::Lost { first, count },
                None => Told::End { next: first, is_closed: false },
            };
            let origin = Origin::new(gap.producer.store_id, key_id);
            writeln!(export, "{}", told_json(origin, &told, &|_| None))?;
        }
        export.flush()
    }

    fn show(&mut self) -> Result<ExitCode, Stop> {
        let view = self.view();
        let is_bad = !view.findings.is_empty()
            || view.stores.iter().any(|store| store.was_copied)
            || !self.notes.is_clean();
        for fault in self.notes.asides.iter().chain(&self.notes.faults) {
            eprintln!("oncekey: {}", escape(fault));
        }
        if self.notes.more_faults > 0 {
            eprintln!("oncekey: and {} more of this kind", self.notes.more_faults);
        }
        let mut shown = match self.args.json {
            true => json::view(&view, true),
            // Of summaries alone there is nothing else to show.
            false if view.stores.is_empty() && view.summary.is_some() => String::new(),
            false => text::view(&view, &self.shown()),
        };
        if let (Some(summary), false) = (&view.summary, self.args.json) {
            let count = self.notes.snapshots.iter().count();
            shown.push_str(&report::tables(summary, format!("summaries of {count} openings")));
        }
        self.say(&shown)?;
        Ok(ExitCode::from(u8::from(is_bad)))
    }

    fn show_status(&mut self) -> io::Result<()> {
        for fault in self.notes.asides.drain(..).chain(self.notes.faults.drain(..)) {
            eprintln!("oncekey: {}", escape(&fault));
        }
        let view = self.view();
        let shown = if self.args.json { json::view(&view, false) } else { text::status(&view) };
        self.say(&shown)
    }

    fn tell(&mut self, finding: &Finding) -> io::Result<()> {
        let shown = if self.args.json {
            json::finding_line(finding)
        } else {
            text::finding(finding, &self.shown())
        };
        self.say(&shown)
    }

    /// To standard output, unless that is what is exported to.
    fn say(&self, text: &str) -> io::Result<()> {
        if self.args.export.as_ref().is_some_and(|path| path.as_os_str() == "-") {
            eprint!("{text}");
            return Ok(());
        }
        print(text)
    }

    fn shown(&self) -> Shown<'_> {
        let names = Names { sources: &self.sources, notes: &self.notes };
        Shown { names, with_names: self.args.names, merge: &self.merge }
    }

    fn view(&self) -> View {
        let stores = self.merge.stores();
        let summary = Some(&self.notes.snapshots).filter(|snapshots| !snapshots.is_empty());
        let secrets: HashSet<u64> =
            stores.iter().flat_map(|store| store.key_ids.iter().copied()).collect();
        View {
            complete_to: stores.iter().filter_map(|store| store.complete_to).min(),
            findings: self.merge.findings(),
            pressure: self.merge.pressure(),
            silent: match summary {
                None => self.merge.silent_sources().map(str::to_owned).collect(),
                Some(_) => Vec::new(),
            },
            summary: summary.map(Snapshots::merged),
            secrets: secrets.len(),
            faults: self.notes.faults.len() as u64 + self.notes.more_faults,
            max_skew_ms: self.args.max_skew,
            stores,
        }
    }
}

/// What is shown.
struct View {
    stores: Vec<oncekey::audit::merge::StoreView>,
    complete_to: Option<StoreTime>,
    findings: Vec<Finding>,
    pressure: oncekey::audit::merge::Pressure,
    silent: Vec<String>,
    summary: Option<Summary>,
    secrets: usize,
    faults: u64,
    max_skew_ms: u64,
}

/// Names of labels, from wherever they are known.
#[derive(Clone, Copy)]
struct Names<'a> {
    sources: &'a [Source],
    notes: &'a Notes,
}

impl<'a> Names<'a> {
    fn get(&self, label: Label) -> Option<Cow<'a, str>> {
        let of_trails = self.sources.iter().find_map(|source| source.label_name(label));
        of_trails.or_else(|| self.notes.names.get(&label).map(Cow::from))
    }
}

/// How labels and stores are shown.
struct Shown<'a> {
    names: Names<'a>,
    with_names: bool,
    merge: &'a Merge,
}

impl Shown<'_> {
    fn label(&self, label: Label) -> String {
        let name = self.names.get(label).filter(|_| self.with_names);
        name.map_or_else(|| nameless(label), |name| escape(&name))
    }

    /// A store by the sources that told of it.
    fn store(&self, store_id: oncekey::StoreId) -> String {
        let stores = self.merge.stores();
        let store = stores.iter().find(|store| store.store_id == store_id);
        let sources = store.map(|store| store.sources.join(", "));
        sources.map_or_else(|| store_id.to_string(), |sources| escape(&sources))
    }
}

/// Until when a trail that was read to its end is complete: it is written every 100 ms, and its
/// store's clock may differ.
fn read_to(before: StoreTime, max_skew_ms: u64) -> StoreTime {
    let margin_ms = max_skew_ms.saturating_add(1_000);
    StoreTime::from_millis(before.as_millis().saturating_sub(margin_ms))
}

fn now() -> StoreTime {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    StoreTime::from_millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
