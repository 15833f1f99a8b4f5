//! The model: what a store must answer, said without files, threads or batches.
//!
//! It is told of every decision in the order the store takes them, and checks each against the
//! page of its key. Decisions that go to disk make a log: what was acknowledged is a prefix of it,
//! and after a crash the store must be found as some prefix left it, no shorter than that.
//!
//! | file | what |
//! | --- | --- |
//! | `page.rs` | one key |
//! | `said.rs` | the store's answers in the model's terms |
//! | `claims.rs` | which answers a claim may get |
//! | `ends.rs` | completion, release, drop and all else that ends or changes a claim |
//! | `recovery.rs` | what may be found after a crash |
//! | `trail.rs` | what the audit trail may say |

mod claims;
mod ends;
mod page;
mod recovery;
mod said;
mod trail;

use std::collections::VecDeque;

pub(crate) use claims::Ask;
use page::Done;
pub(crate) use page::{Page, Span, Stage, body_of};
pub(crate) use recovery::{Bound, Found};
pub(crate) use said::{Said, Seen, checkpoint_of};
pub(crate) use trail::{Decision, Ledger, TrailEnd, TrailFacts};

/// Which of a run's keys.
pub(crate) type KeyId = usize;

/// A broken promise, in words.
pub(crate) type Verdict<T = ()> = Result<T, String>;

/// The clocks around something the store did: time may pass while it writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Store time, by which expiry is judged.
    pub(crate) now: Span,
    /// The latest that store time can be, from which deadlines are set.
    pub(crate) latest: Span,
    /// The monotonic clock, by which leases run.
    pub(crate) mono: Span,
}

impl Times {
    /// From the beginning of one to the end of the other.
    pub(crate) fn until(self, end: Self) -> Self {
        let join = |from: Span, to: Span| Span { lo: from.lo.min(to.lo), hi: from.hi.max(to.hi) };
        Self {
            now: join(self.now, end.now),
            latest: join(self.latest, end.latest),
            mono: join(self.mono, end.mono),
        }
    }
}

/// A decision that goes to disk: the page as it leaves it.
#[derive(Debug)]
struct Entry {
    key: KeyId,
    page: Page,
    /// Store time when it was decided.
    at_ms: u64,
    /// Whether it forgets a record. A compaction leaves the record out at once: that may be on disk
    /// before this entry is, and before those ahead of it.
    forgets: bool,
}

/// What kind of store is modelled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) keys: usize,
    /// Whether every batch is synced before it is told.
    pub(crate) syncs_each: bool,
    pub(crate) refuses_late: bool,
    /// How long keys that expired are remembered, if they are.
    pub(crate) remembers_ms: u64,
    /// Whether calls of the disk fail.
    pub(crate) fails: bool,
    /// Whether files are damaged: the whole history is kept, since anything of it may be found.
    pub(crate) rots: bool,
}

#[derive(Debug)]
pub(crate) struct Model {
    rules: Rules,
    pages: Vec<Page>,
    /// The pages as of the beginning of the log.
    base: Vec<Page>,
    log: VecDeque<Entry>,
    /// The number of the log's first entry. Numbers go on across crashes.
    first: u64,
    /// Entries below this number were promised to be on stable storage.
    durable: u64,
    /// Entries below this number were told: they survive the process.
    handed: u64,
    /// For each key, the number after its newest entry.
    newest: Vec<u64>,
    /// Pages that were replaced while somebody looked, oldest first.
    replaced: Vec<(KeyId, Page)>,
    /// How many look at the moment.
    looks: usize,
    /// All pages ever, where anything may be found again.
    history: Vec<(KeyId, Page)>,
    /// Of stores that sync in intervals: records of each key, the last few. A power cut may bring
    /// back that there was one before a record that was forgotten. And of those whose disk fails:
    /// where it does when a record leaves, an expiry before that one is all that is remembered.
    earlier: Vec<VecDeque<Done>>,
    /// Keys that somebody has asked to forget: what expired of them may be hidden from then on.
    hidden: Vec<bool>,
    highest_token: u64,
    /// The latest that store time may ever have been: a crash takes back that a leap was confirmed.
    latest_ms: u64,
    /// Store time that is known to be in the log.
    floor_ms: u64,
}

/// So many earlier records of a key are kept in mind.
const EARLIER: usize = 8;

/// Somebody looks at a key: what he is told may be of any moment until he is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    key: KeyId,
    /// How many pages had been replaced when it began.
    mark: usize,
    /// The key's newest entry when it began, and the number after it.
    pub(crate) rests_on: u64,
}

impl Model {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            pages: vec![Page::default(); rules.keys],
            base: vec![Page::default(); rules.keys],
            log: VecDeque::new(),
            first: 0,
            durable: 0,
            handed: 0,
            newest: vec![0; rules.keys],
            replaced: Vec::new(),
            looks: 0,
            history: Vec::new(),
            earlier: vec![VecDeque::new(); rules.keys],
            hidden: vec![false; rules.keys],
            highest_token: 0,
            latest_ms: 0,
            floor_ms: 0,
        }
    }

    pub(crate) fn page(&self, key: KeyId) -> &Page {
        &self.pages[key]
    }

    /// How many decisions have gone to disk.
    pub(crate) fn logged(&self) -> u64 {
        self.first + self.log.len() as u64
    }

    pub(crate) fn begin_look(&mut self, key: KeyId) -> Look {
        self.looks += 1;
        Look { key, mark: self.replaced.len(), rests_on: self.newest[key] }
    }

    /// Notes what the clocks have shown.
    pub(crate) fn see(&mut self, times: Times) {
        self.latest_ms = self.latest_ms.max(times.latest.hi);
    }

    /// Somebody asks to forget a key.
    pub(crate) fn may_hide(&mut self, key: KeyId) {
        self.hidden[key] = true;
    }

    pub(crate) fn end_look(&mut self) {
        self.looks -= 1;
        if self.looks == 0 {
            self.replaced.clear();
        }
    }

    /// The key's pages since a look began.
    fn versions(&self, look: &Look) -> impl Iterator<Item = &Page> {
        let key = look.key;
        let old = self.replaced.iter().skip(look.mark);
        let old = old.filter(move |(of, _)| *of == key).map(|(_, page)| page);
        old.chain(std::iter::once(&self.pages[key]))
    }

    /// Changes a page in memory alone.
    fn change(&mut self, key: KeyId, change: impl FnOnce(&mut Page)) {
        if self.looks > 0 {
            self.replaced.push((key, self.pages[key].clone()));
        }
        change(&mut self.pages[key]);
    }

    /// Changes a page by a decision that goes to disk; returns the number after its entry.
    fn record(&mut self, key: KeyId, times: Times, change: impl FnOnce(&mut Page)) -> u64 {
        let before: Vec<Done> = self.pages[key].dones().cloned().collect();
        self.change(key, |page| {
            page.ghost = None;
            change(page);
        });
        let page = self.pages[key].clone();
        if (!self.rules.syncs_each || self.rules.fails) && page.dones().ne(&before) {
            let earlier = &mut self.earlier[key];
            earlier.extend(before);
            earlier.drain(..earlier.len().saturating_sub(EARLIER));
        }
        if self.rules.rots {
            self.history.push((key, page.clone()));
        }
        self.log.push_back(Entry { key, page, at_ms: times.now.lo, forgets: false });
        self.newest[key] = self.logged();
        self.logged()
    }

    /// Something was told that rests on the entries below a number.
    pub(crate) fn told(&mut self, number: u64) {
        self.handed = self.handed.max(number);
        if self.rules.syncs_each {
            self.synced(number);
        }
    }

    /// The entries below a number are on stable storage.
    pub(crate) fn synced(&mut self, number: u64) {
        self.handed = self.handed.max(number);
        self.durable = self.durable.max(number);
        while !self.rules.rots
            && self.first < self.durable
            && let Some(entry) = self.log.pop_front()
        {
            self.first += 1;
            self.floor_ms = self.floor_ms.max(entry.at_ms);
            self.base[entry.key] = entry.page;
        }
    }

    /// How long until the next record expires or lease ends, in milliseconds.
    pub(crate) fn next_deadline(&self, times: Times) -> Option<u64> {
        let left = |page: &Page| {
            let expires = page.done.as_ref().map(|done| done.expires_ms);
            let expires = expires.and_then(|ms| ms.checked_sub(times.now.lo));
            let ends = page.flight.as_ref().and_then(|flight| match flight.stage {
                Stage::Held { until, .. } => until.lo.checked_sub(times.mono.lo),
                Stage::Abandoned { at } => at.plus(flight.ttl_ms).lo.checked_sub(times.now.lo),
                Stage::Unresolved => None,
            });
            expires.into_iter().chain(ends).filter(|ms| *ms > 0).min()
        };
        self.pages.iter().filter_map(left).min()
    }

    /// Everything that was told so far.
    pub(crate) fn told_so_far(&self) -> u64 {
        self.handed
    }

    fn check_token(&mut self, token: u64) -> Verdict {
        if token <= self.highest_token {
            return Err(format!(
                "promise 5: token {token} comes after token {}",
                self.highest_token
            ));
        }
        self.highest_token = token;
        Ok(())
    }
}
