//! What is merged: trails, lines of JSON in files, subjects of NATS.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use oncekey::audit::merge::{
    Fed, Merge, Snapshot, Snapshots, SourceId, Told, TrailFeed, parse_told,
};
#[cfg(feature = "nats")]
use oncekey::audit::merge::{NatsSource, Received};
#[cfg(feature = "nats")]
use oncekey::audit::sink::NatsAddress;
use oncekey::audit::{EventId, Label, Origin};
use oncekey::{Error, ErrorKind, StoreId, StoreTime};

use crate::audit::source;

/// A line is no longer than this: an event's have a few kilobytes, a summary of a trail with many
/// claims that never ended some twenty megabytes.
const MAX_LINE_BYTES: usize = 64 << 20;
/// So many names of lines are kept.
const MAX_NAMES: usize = 1 << 16;
/// So much of one source is taken before another has its turn.
const AT_ONCE: usize = 512;
/// Faults are told up to so many, and counted.
const MAX_FAULTS: usize = 20;

/// One source.
pub(super) struct Source {
    pub(super) id: SourceId,
    pub(super) name: String,
    reader: Reader,
    /// When the last event that was read happened.
    pub(super) last_at: StoreTime,
    /// Whether there was nothing more when it was last read.
    pub(super) is_at_end: bool,
}

enum Reader {
    Trail(Box<TrailFeed>),
    Lines(Lines),
    #[cfg(feature = "nats")]
    Nats(Box<NatsSource>, Stream),
}

struct Lines {
    input: Box<dyn BufRead>,
    /// The beginning of a line whose end is not there yet.
    line: Vec<u8>,
    number: u64,
    /// The openings that are being read, by store, while the file has no statement of its own.
    reading: Option<HashMap<StoreId, (Origin, EventId)>>,
}

/// What is wrong in sources, and what they know besides.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) faults: Vec<String>,
    pub(super) more_faults: u64,
    /// What is no fault where a store is in use.
    pub(super) asides: Vec<String>,
    pub(super) names: HashMap<Label, String>,
    pub(super) snapshots: Snapshots,
}

impl Notes {
    fn fault(&mut self, what: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(what);
        } else {
            self.more_faults += 1;
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.faults.is_empty() && self.more_faults == 0
    }
}

/// Opens what is named: a directory may hold a store, a trail, or several of them.
pub(super) fn open(
    names: &[PathBuf],
    #[cfg_attr(not(feature = "nats"), allow(unused, reason = "it is for streams"))] follow: bool,
    merge: &mut Merge,
) -> Result<Vec<Source>, Error> {
    let mut sources = Vec::new();
    for name in names {
        let shown = name.display().to_string();
        #[cfg(feature = "nats")]
        if shown.starts_with("nats:") {
            let address = NatsAddress::parse(&shown)?;
            let shown = address.to_string();
            let reader = Reader::Nats(
                Box::new(NatsSource::connect(address)?),
                Stream { is_patient: follow, ..Stream::default() },
            );
            sources.push(Source::new(merge, shown, reader));
            continue;
        }
        if shown.starts_with("nats:") {
            let what = "this program was built without NATS: build it with --features cli,nats";
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
        if name.is_dir() {
            for place in places(name) {
                let feed = TrailFeed::new(source::open(&place)?.trail);
                let shown = place.display().to_string();
                sources.push(Source::new(merge, shown, Reader::Trail(Box::new(feed))));
            }
        } else {
            let input: Box<dyn BufRead> = if shown == "-" {
                Box::new(BufReader::new(io::stdin()))
            } else {
                let file = File::open(name).map_err(|error| {
                    let what = format!(
                        "opening {shown}: {error}; give directories of stores or trails, or files \
                         of JSON lines"
                    );
                    Error::new(ErrorKind::Io, what)
                })?;
                Box::new(BufReader::new(file))
            };
            let reading = Some(HashMap::new());
            let lines = Lines { input, line: Vec::new(), number: 0, reading };
            sources.push(Source::new(merge, shown, Reader::Lines(lines)));
        }
    }
    Ok(sources)
}

/// The directory itself if it is a store or a trail, or those inside of it that are.
fn places(directory: &Path) -> Vec<PathBuf> {
    if source::open(directory).is_ok() {
        return vec![directory.to_owned()];
    }
    let inside = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut inside: Vec<PathBuf> = inside.map(|entry| entry.path()).collect();
    inside.retain(|path| path.is_dir() && source::open(path).is_ok());
    inside.sort();
    // Of none the error says what is wrong with the directory.
    if inside.is_empty() { vec![directory.to_owned()] } else { inside }
}

impl Source {
    fn new(merge: &mut Merge, name: String, reader: Reader) -> Self {
        let id = merge.source(name.clone());
        Self { id, name, reader, last_at: StoreTime::from_millis(0), is_at_end: false }
    }

    /// The name of a label, if it is a trail that has it.
    pub(super) fn label_name(&self, label: Label) -> Option<Cow<'_, str>> {
        match &self.reader {
            Reader::Trail(feed) => feed.trail().name(label),
            _ => None,
        }
    }

    /// Tells the merge some of what there is.
    pub(super) fn read(&mut self, merge: &mut Merge, notes: &mut Notes) -> Result<(), Error> {
        self.is_at_end = false;
        for _ in 0..AT_ONCE {
            let told = match &mut self.reader {
                Reader::Trail(feed) => match feed.next().transpose()? {
                    Some(Fed::Told(origin, told)) => Next::Told(origin, told),
                    Some(Fed::Damage(damage)) => Next::Fault(damage.to_string()),
                    Some(_) => Next::Other,
                    None => Next::End,
                },
                Reader::Lines(lines) => lines.next(merge, self.id, notes)?,
                #[cfg(feature = "nats")]
                Reader::Nats(source, stream) => stream.next(source, notes)?,
            };
            match told {
                Next::Told(origin, told) => {
                    if let Told::Event(event) = told {
                        self.last_at = self.last_at.max(event.at);
                    }
                    merge.tell(self.id, origin, told);
                }
                Next::Fault(what) => notes.fault(format!("{}: {what}", self.name)),
                Next::Other => {}
                Next::End => {
                    self.is_at_end = true;
                    break;
                }
            }
        }
        Ok(())
    }

    /// States that a trail that was read to its end had nothing else before `at`.
    pub(super) fn mark(&self, at: StoreTime, merge: &mut Merge) {
        if let Reader::Trail(feed) = &self.reader
            && let Some((origin, told)) = feed.mark(at)
        {
            merge.tell(self.id, origin, told);
        }
    }

    /// What is left at the end that is nothing whole.
    pub(super) fn check_end(&self, notes: &mut Notes) -> Result<(), Error> {
        match &self.reader {
            Reader::Trail(feed) => match feed.trail().unread_bytes()? {
                0 => {}
                bytes => notes.asides.push(format!(
                    "{}: {bytes} bytes at the end make no event: a write is under way, or was cut \
                     short",
                    self.name
                )),
            },
            Reader::Lines(lines) if !lines.line.is_empty() => notes.fault(format!(
                "{}: the last line has no end: a write is under way, or was cut short",
                self.name
            )),
            _ => {}
        }
        Ok(())
    }
}

#[allow(clippy::large_enum_variant, reason = "nearly all of them are told")]
enum Next {
    Told(Origin, Told),
    Fault(String),
    Other,
    End,
}

impl Lines {
    fn next(&mut self, merge: &mut Merge, id: SourceId, notes: &mut Notes) -> Result<Next, Error> {
        let limit = (MAX_LINE_BYTES + 1).saturating_sub(self.line.len()) as u64;
        let read = (&mut self.input).take(limit).read_until(b'\n', &mut self.line);
        let read = read.map_err(|error| Error::new(ErrorKind::Io, format!("reading: {error}")))?;
        if self.line.last() != Some(&b'\n') {
            if self.line.len() <= MAX_LINE_BYTES {
                return Ok(if read == 0 { Next::End } else { Next::Other });
            }
            let what = format!("line {}: it is longer than 64 MiB", self.number + 1);
            return Err(Error::new(ErrorKind::Corrupt, what));
        }
        self.number += 1;
        let line = std::mem::take(&mut self.line);
        let (next, gap_after) = parse(&line, notes);
        match next {
            Next::Fault(what) => Ok(Next::Fault(format!("line {}: {what}", self.number))),
            Next::Told(origin, told) => {
                self.follow(origin, &told, gap_after, merge, id);
                Ok(Next::Told(origin, told))
            }
            next => Ok(next),
        }
    }

    /// In an export the next opening of a store says that the one before is over.
    fn follow(
        &mut self,
        origin: Origin,
        told: &Told,
        is_statement: bool,
        merge: &mut Merge,
        id: SourceId,
    ) {
        if is_statement {
            self.reading = None;
        }
        let Some(reading) = &mut self.reading else { return };
        let key = origin.store_id;
        let next = match told {
            Told::Event(event) => EventId::new(event.id.boot, event.id.sequence.saturating_add(1)),
            Told::End { .. } => {
                reading.remove(&key);
                return;
            }
            _ => return,
        };
        if let Some((of, before)) = reading.insert(key, (origin, next))
            && before.boot < next.boot
        {
            merge.tell(id, of, Told::End { next: before, is_closed: true });
        }
    }
}

/// What a line says, and whether it is a statement of one who ships.
fn parse(line: &[u8], notes: &mut Notes) -> (Next, bool) {
    let Ok(text) = std::str::from_utf8(line) else {
        return (Next::Fault("it is no UTF-8".into()), false);
    };
    if text.trim().is_empty() {
        return (Next::Other, false);
    }
    if text.starts_with("{\"snapshot\"") {
        return match Snapshot::parse(text.trim_end()) {
            Ok(snapshot) => {
                notes.snapshots.take(snapshot);
                (Next::Other, true)
            }
            Err(error) => (Next::Fault(error.to_string()), false),
        };
    }
    let parsed = match parse_told(text.trim_end()) {
        Ok(parsed) => parsed,
        Err(error) => return (Next::Fault(error.to_string()), false),
    };
    for (label, name) in parsed.names {
        if notes.names.len() < MAX_NAMES {
            notes.names.insert(label, name);
        }
    }
    if let Some(damage) = parsed.damage {
        return (Next::Fault(damage.to_string()), false);
    }
    let is_statement = text.starts_with("{\"told\"");
    match (parsed.origin, parsed.told) {
        (Some(origin), Some(told)) => (Next::Told(origin, told), is_statement),
        (None, Some(_)) => {
            let what = "it does not say which store it is of, as lines of `oncekey audit export` \
                        and `oncekey audit ship` do";
            (Next::Fault(what.into()), false)
        }
        (_, None) => (Next::Other, false),
    }
}

/// How far a stream is read.
#[cfg(feature = "nats")]
#[derive(Debug, Default)]
struct Stream {
    /// What was there when the last message was sent has been read.
    is_caught_up: bool,
    /// How often there was nothing although there should have been, or the server did not answer.
    silences: u32,
    /// Whether it is waited for however long that takes.
    is_patient: bool,
}

#[cfg(feature = "nats")]
impl Stream {
    const WAIT: std::time::Duration = std::time::Duration::from_millis(250);
    const MAX_SILENCES: u32 = 120;

    fn next(&mut self, source: &mut NatsSource, notes: &mut Notes) -> Result<Next, Error> {
        let wait = if self.is_caught_up { Self::WAIT / 5 } else { Self::WAIT };
        match source.next(wait) {
            Ok(Received::Message { line, pending }) => {
                (self.is_caught_up, self.silences) = (pending == 0, 0);
                Ok(parse(&line, notes).0)
            }
            Ok(Received::Empty) => Ok(Next::End),
            Ok(_) if self.is_caught_up => Ok(Next::End),
            Err(error) if error.kind() != ErrorKind::Unavailable => Err(error),
            failed => {
                self.silences = self.silences.saturating_add(1);
                if self.silences == 1
                    && let Err(error) = &failed
                {
                    notes.asides.push(format!("{error}; trying again"));
                }
                if self.is_patient || self.silences < Self::MAX_SILENCES {
                    std::thread::sleep(Self::WAIT / 5);
                    return Ok(Next::Other);
                }
                let what = "a stream does not go on although it has more";
                Err(failed.err().unwrap_or_else(|| Error::new(ErrorKind::Unavailable, what)))
            }
        }
    }
}
