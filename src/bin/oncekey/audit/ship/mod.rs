//! `oncekey audit ship`: a trail as an outbox, sent to where others read it.

mod target;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use oncekey::audit::merge::SnapshotMaker;
use oncekey::audit::sink::{Cursor, Message, Shipper, Sink};
use oncekey::{Error, ErrorKind, StoreTime};

use self::target::Target;
use crate::audit::source;
use crate::audit::window::span_ms;
use crate::words::{escape, fail};

/// A trail is written every 100 ms.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  oncekey audit ship /var/lib/pay/idempotency --to file:/var/log/pay/audit.jsonl --cursor log
  oncekey audit ship STORE --to stdout --cursor once | jq -c .kind
  oncekey audit ship STORE --to nats://queue:4222/audit.eu --cursor nats --follow
  oncekey audit ship STORE --to nats://queue:4222/summaries --summaries --follow --mark-every 1min

Each event arrives at least once, whenever either side dies: the cursor moves after the sink has
acknowledged. A cursor is a small file beside the trail (or in another directory, if its name has a
/), and is of one sink. It takes no lock, and may be used on a store that is in use.

Exit codes:
  0   all that there was is shipped
  1   the same, and part of the trail is damaged
  2   it could not be shipped, or the command line is wrong";

/// Send a trail to a file, to standard output or to NATS JetStream.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The store's directory, or that of a trail.
    #[arg(value_name = "STORE")]
    store: PathBuf,

    /// Where to: file:PATH, stdout, or nats://HOST:PORT/SUBJECT.
    #[arg(long, value_name = "SINK")]
    to: Target,

    /// The name of this sink's cursor, or its path.
    #[arg(long, value_name = "NAME", required_unless_present = "summaries")]
    cursor: Option<String>,

    /// Ship summaries in place of events: what the trail adds up to, again and again, each in
    /// place of the one before. It needs no cursor.
    #[arg(long, conflicts_with = "cursor")]
    summaries: bool,

    /// Go on with what is written meanwhile, until a signal comes.
    #[arg(long)]
    follow: bool,

    /// Say that there is nothing new this often, so that whoever merges does not wait.
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = span_ms)]
    mark_every: u64,

    /// An event is in the trail so soon at the latest: the store's Audit::write_every and what
    /// clocks may differ.
    #[arg(long, value_name = "SPAN", default_value = "6s", value_parser = span_ms)]
    settle: u64,

    /// Give up if a sink cannot be reached for so long; with --follow it never does.
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = span_ms)]
    give_up: u64,

    /// Make a JetStream stream of this name for the subject, if there is none.
    #[arg(long, value_name = "STREAM")]
    create_stream: Option<String>,
}

/// Ships.
pub(crate) fn run(args: Args) -> ExitCode {
    match ship(&args) {
        Ok(code) => code,
        // A reader that has gone away has read all it wanted.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn is_broken_pipe(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let source = source.and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|source| source.kind() == std::io::ErrorKind::BrokenPipe)
}

fn ship(args: &Args) -> Result<ExitCode, Error> {
    wait_for_trail(args);
    let trail = source::open(&args.store)?.trail;
    let cursor = args.cursor.as_deref().map(|name| cursor_of(args, name)).transpose()?;
    let mut patience = Patience::new(args);
    let mut sink = loop {
        match args.to.open(args.create_stream.as_deref()) {
            Ok(sink) => break sink,
            Err(error) => patience.wait(error)?,
        }
    };
    let Some(cursor) = cursor else {
        return summaries(SnapshotMaker::new(trail), &mut *sink, args, &mut patience);
    };
    let mut shipper = Shipper::new(trail, cursor)?;
    let mut marked: Option<Instant> = None;
    let mut code = ExitCode::SUCCESS;
    loop {
        let before = now();
        match step(&mut shipper, &mut *sink, before, args, &mut marked) {
            Ok(count) => {
                patience.calm();
                for damage in shipper.take_damage() {
                    eprintln!("oncekey: damage: {}", escape(&damage.to_string()));
                    code = ExitCode::from(1);
                }
                if count > 0 {
                    continue;
                }
                if !args.follow {
                    return Ok(code);
                }
                std::thread::sleep(LOOK_EVERY);
            }
            Err(error) => patience.wait(error)?,
        }
    }
}

/// Ships what the trail adds up to; with --follow as often as marks.
fn summaries(
    mut maker: SnapshotMaker,
    sink: &mut dyn Sink,
    args: &Args,
    patience: &mut Patience,
) -> Result<ExitCode, Error> {
    loop {
        while let Some(snapshot) = maker.make()? {
            let message = Message::new(snapshot.id(), snapshot.to_json()?);
            while let Err(error) = sink.send(std::slice::from_ref(&message)) {
                patience.wait(error)?;
            }
            patience.calm();
        }
        if !args.follow {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(Duration::from_millis(args.mark_every));
    }
}

/// A store that has decided nothing yet has no trail: who follows waits for it.
fn wait_for_trail(args: &Args) {
    let is_missing = || {
        let place = &args.store;
        args.follow && place.join("MANIFEST").exists() && !place.join("audit").is_dir()
    };
    if is_missing() {
        eprintln!(
            "oncekey: there is no trail yet: the store has decided nothing, or was not opened with \
             Options::audit; waiting for it"
        );
    }
    while is_missing() {
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Ships a batch; if there was none, says so from time to time.
fn step(
    shipper: &mut Shipper,
    sink: &mut dyn Sink,
    before: StoreTime,
    args: &Args,
    marked: &mut Option<Instant>,
) -> Result<usize, Error> {
    let count = shipper.ship(sink)?;
    let is_due = marked.is_none_or(|at| at.elapsed() >= Duration::from_millis(args.mark_every));
    if count == 0 && is_due {
        let at = StoreTime::from_millis(before.as_millis().saturating_sub(args.settle));
        shipper.mark(at, sink)?;
        *marked = Some(Instant::now());
    }
    Ok(count)
}

/// The cursor: beside the trail, unless its name says where.
fn cursor_of(args: &Args, name: &str) -> Result<Cursor, Error> {
    let sink = args.to.describe();
    if name.contains('/') {
        let path = Path::new(name);
        let directory = path.parent().unwrap_or(Path::new("/"));
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        return Cursor::open(directory, name, &sink);
    }
    let beside = args.store.join("audit");
    Cursor::open(if beside.is_dir() { &beside } else { &args.store }, name, &sink)
}

fn now() -> StoreTime {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    StoreTime::from_millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// How long a sink that cannot be reached is tried again.
struct Patience {
    give_up: Option<Duration>,
    since: Option<Instant>,
    pause: Duration,
}

impl Patience {
    fn new(args: &Args) -> Self {
        let give_up = (!args.follow).then_some(Duration::from_millis(args.give_up));
        Self { give_up, since: None, pause: FIRST_PAUSE }
    }

    fn calm(&mut self) {
        if self.since.take().is_some() {
            eprintln!("oncekey: the sink answers again");
        }
        self.pause = FIRST_PAUSE;
    }

    /// Waits a while, if the error may pass.
    fn wait(&mut self, error: Error) -> Result<(), Error> {
        if error.kind() != ErrorKind::Unavailable {
            return Err(error);
        }
        let since = *self.since.get_or_insert_with(|| {
            eprintln!("oncekey: {}; trying again", escape(&error.to_string()));
            Instant::now()
        });
        if self.give_up.is_some_and(|give_up| since.elapsed() >= give_up) {
            return Err(error);
        }
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        Ok(())
    }
}
