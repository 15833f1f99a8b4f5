//! Holds a store against the books: what was told is there, nothing else is, and the store works.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use oncekey::audit::{EventKind, Trail, TrailItem};
use oncekey::{
    Claim, Durability, Entry, ErrorKind, Inspector, Options, Outcome, Record, Resolution, Store,
    StoredResponse,
};

use crate::book::{Book, Done, Held, Page, State, body};
use crate::common::{key, scope};
use crate::load::{self, request};
use crate::now_ms;

/// Store time and the wall clock of one machine differ by less.
const CLOCK_SLACK_MS: u64 = 100;

/// No TTL is shorter. So long after an instant a claim of then, whose owner is gone, may have been
/// forgotten, and a completion expired.
pub const MIN_TTL_MS: u64 = 1000;

/// What was known at an instant.
#[derive(Debug, Clone)]
pub struct Known {
    /// How much each client had been told before it.
    pub told: Vec<u64>,
    /// The books as they were soon after it.
    pub books: Vec<Book>,
    pub at_ms: u64,
    /// When the life began.
    pub since_ms: u64,
}

/// What a judgement looked at.
#[derive(Debug, Default, Clone, Copy)]
pub struct Seen {
    pub keys: u64,
    pub completions: u64,
    pub claims: u64,
    pub unresolved: u64,
    pub torn: u64,
    pub copied: u64,
    pub events: u64,
    pub gaps: u64,
    pub cut_short: u64,
    /// How long before the instant the first completion was that the trail lacks.
    pub trail_lost_ms: u64,
}

impl Seen {
    pub fn add(&mut self, other: Self) {
        self.keys += other.keys;
        self.completions += other.completions;
        self.claims += other.claims;
        self.unresolved += other.unresolved;
        self.torn += other.torn;
        self.copied += other.copied;
        self.events += other.events;
        self.gaps += other.gaps;
        self.cut_short += other.cut_short;
        self.trail_lost_ms = self.trail_lost_ms.max(other.trail_lost_ms);
    }
}

type Verdict<T> = Result<T, String>;

/// All that can be asked of a store whose life ended at an instant. It is changed by that.
pub fn judge(store: &Path, known: &Known, opened: impl FnOnce(&Store)) -> Verdict<Seen> {
    let mut seen = Seen::default();
    trail(store, known, &mut seen)?;
    let options = load::options(Durability::Sync);
    let since_ms = known.at_ms;
    let first = open(&options, store)?;
    opened(&first);
    if !first.recovery().damage.is_empty() || first.recovery().clean {
        return Err(format!("it was cut in the middle of a load: {:?}", first.recovery()));
    }
    seen.torn += u64::from(!first.recovery().torn.is_empty());
    seen.copied += u64::from(first.recovery().copied);
    let found = look_at_all(&first, known, since_ms, &mut seen)?;
    let completed = touch(&first, known, since_ms, &found)?;
    close(&first)?;
    drop(first);
    let inspector = Inspector::open(store).map_err(|error| format!("inspecting: {error}"))?;
    let report = inspector.verify().map_err(|error| format!("verifying: {error}"))?;
    if !report.is_whole() || !report.torn.is_empty() {
        return Err(format!("verify, after a close: {report:?}"));
    }
    // The second opening after a crash has been wrong elsewhere where the first was right.
    let second = open(&options, store)?;
    if !second.recovery().clean {
        return Err(format!("it was closed: {:?}", second.recovery()));
    }
    for (name, state) in &completed {
        let page = [state];
        matching(name, &page, look(&second, name, since_ms)?)?;
    }
    close(&second)?;
    Ok(seen)
}

fn open(options: &Options, store: &Path) -> Verdict<Store> {
    options.open(store).map_err(|error| format!("it does not open: {error}"))
}

fn close(store: &Store) -> Verdict<()> {
    let closed = store.close(Duration::from_secs(60)).wait();
    match closed.map_err(|error| format!("closing: {error}"))?.remaining {
        0 => Ok(()),
        some => Err(format!("{some} claims remain")),
    }
}

/// What a key was found as, with the moments before and after.
struct Look {
    entry: Option<Entry>,
    before_ms: u64,
    after_ms: u64,
    since_ms: u64,
}

fn look(store: &Store, name: &str, since_ms: u64) -> Verdict<Look> {
    let before_ms = now_ms();
    let entry = store.get(&scope(), &key(name)).wait();
    let entry = entry.map_err(|error| format!("{name}: {error}"))?;
    Ok(Look { entry, before_ms, after_ms: now_ms(), since_ms })
}

/// Looks at every key of the books, without changing anything: the states that were found.
pub fn look_at_all(
    store: &Store,
    known: &Known,
    since_ms: u64,
    seen: &mut Seen,
) -> Verdict<Vec<(usize, String, State)>> {
    let mut found = Vec::new();
    for (client, (book, told)) in known.books.iter().zip(&known.told).enumerate() {
        for (name, page) in &book.pages {
            let state = matching(name, &page.allowed(*told), look(store, name, since_ms)?)?;
            seen.keys += 1;
            match &state {
                State::Done(_) => seen.completions += 1,
                State::Held(held) if held.unresolved => seen.unresolved += 1,
                State::Held(_) => seen.claims += 1,
                State::Absent => {}
            }
            found.push((client, name.clone(), state));
        }
    }
    Ok(found)
}

/// What was found, if it is allowed.
fn matching(name: &str, allowed: &[&State], look: Look) -> Verdict<State> {
    let fits = |state: &&&State| match (state, &look.entry) {
        (State::Absent, None) => true,
        (State::Done(done), None) => {
            // One that was not told was completed after the instant.
            let expires_ms = done.expires_ms.unwrap_or(look.since_ms + MIN_TTL_MS);
            expires_ms < look.after_ms + CLOCK_SLACK_MS
        }
        (State::Done(done), Some(Entry::Completed(record))) => {
            is_record(name, done, record)
                && record.expires_at().as_millis() + CLOCK_SLACK_MS > look.before_ms
        }
        (State::Held(held), None) => {
            !held.unresolved && look.after_ms >= look.since_ms + MIN_TTL_MS
        }
        (State::Held(held), Some(Entry::InFlight { token, attempt, .. })) => {
            !held.unresolved && is_claim(held, token.get(), *attempt)
        }
        (State::Held(held), Some(Entry::Unresolved(found))) => {
            held.unresolved && is_claim(held, found.token().get(), found.attempt())
        }
        _ => false,
    };
    let Some(state) = allowed.iter().rev().find(fits) else {
        return Err(format!(
            "{name} may be {allowed:?} and is {:?} at {}",
            look.entry, look.after_ms
        ));
    };
    // What was begun and not told is known by now.
    Ok(match (state, look.entry) {
        (_, None) => State::Absent,
        (State::Done(done), Some(Entry::Completed(record))) => {
            State::Done(Done::told(done.attempt, &record))
        }
        (state, _) => (*state).clone(),
    })
}

fn is_claim(held: &Held, token: u64, attempt: u32) -> bool {
    held.token.is_none_or(|told| told == token) && held.attempt == attempt
}

fn is_record(name: &str, done: &Done, record: &Record) -> bool {
    done.token.is_none_or(|token| token == record.token().get())
        && done.expires_ms.is_none_or(|ms| ms == record.expires_at().as_millis())
        && done.attempt == record.response().status()
        && record.response().body() == body(name, done.attempt)
}

/// Claims what was found, as retries would; what is completed then, and what was before.
fn touch(
    store: &Store,
    known: &Known,
    since_ms: u64,
    found: &[(usize, String, State)],
) -> Verdict<Vec<(String, State)>> {
    let highest = known.books.iter().flat_map(|book| book.pages.values()).filter_map(token).max();
    let highest = highest.unwrap_or(0);
    let mut completed = Vec::new();
    for (number, (client, name, state)) in found.iter().enumerate() {
        match state {
            State::Held(held) if held.unresolved => {
                let outcome = claim(store, name)?;
                let Outcome::Unresolved(_) = outcome else {
                    return Err(format!("{name}, unresolved: {outcome:?}"));
                };
            }
            State::Held(held) => {
                let Outcome::Claimed(claim) = claim(store, name)? else {
                    return Err(format!("{name}: its holder is gone, and it cannot be claimed"));
                };
                let saved = claim.checkpoint().map(|saved| saved.data().to_vec());
                let may_be = checkpoints(known, *client, name);
                let goes_on = claim.attempt() == held.attempt + 1 && may_be.contains(&saved);
                let is_new = claim.attempt() == 1 && saved.is_none();
                let is_over = is_new && now_ms() >= since_ms + MIN_TTL_MS;
                if !goes_on && !is_over {
                    return Err(format!("{name}: {held:?} was taken over as {claim:?} {saved:?}"));
                }
                completed.push((name.clone(), complete(claim, name, highest)?));
            }
            State::Done(_) => {
                if number.is_multiple_of(8) {
                    replay(store, name, state, since_ms)?;
                }
                completed.push((name.clone(), state.clone()));
            }
            State::Absent => {}
        }
    }
    let Outcome::Claimed(claim) = claim(store, "fresh")? else {
        return Err("a fresh key is not free".into());
    };
    completed.push(("fresh".into(), complete(claim, "fresh", highest)?));
    Ok(completed)
}

/// Ends a claim that a life has left behind.
pub fn end(store: &Store, name: &str, state: &State) -> Verdict<()> {
    let ended = match state {
        State::Held(held) if held.unresolved => {
            store.resolve(&scope(), &key(name), Resolution::NotExecuted).wait()
        }
        State::Held(_) => match claim(store, name)? {
            Outcome::Claimed(claim) => claim.release().wait(),
            other => return Err(format!("{name}, left behind: {other:?}")),
        },
        _ => Ok(()),
    };
    ended.map_err(|error| format!("{name}: {error}"))
}

/// What the last checkpoint of a held key may be.
pub fn checkpoints(known: &Known, client: usize, name: &str) -> Vec<Option<Vec<u8>>> {
    let held = |state: &&State| match state {
        State::Held(held) => Some(held.checkpoint.map(|number| number.to_le_bytes().to_vec())),
        _ => None,
    };
    let page = known.books.get(client).and_then(|book| book.pages.get(name));
    let allowed = page.map(|page| page.allowed(known.told[client])).unwrap_or_default();
    allowed.iter().filter_map(held).collect()
}

fn token(page: &Page) -> Option<u64> {
    match page.last() {
        State::Absent => None,
        State::Held(held) => held.token,
        State::Done(done) => done.token,
    }
}

fn claim(store: &Store, name: &str) -> Verdict<Outcome> {
    store.claim(request(name)).wait().map_err(|error| format!("claiming {name}: {error}"))
}

fn complete(claim: Claim, name: &str, highest: u64) -> Verdict<State> {
    let (token, attempt) = (claim.token().get(), claim.attempt());
    if token <= highest {
        return Err(format!("{name}: token {token}, and {highest} was given out before the cut"));
    }
    let response = StoredResponse::new(body(name, attempt)).with_status(attempt);
    let record = claim.complete(response).wait();
    let record = record.map_err(|error| format!("completing {name}: {}", error.error()))?;
    Ok(State::Done(Done::told(attempt, &record)))
}

fn replay(store: &Store, name: &str, state: &State, since_ms: u64) -> Verdict<()> {
    let before_ms = now_ms();
    let entry = match claim(store, name)? {
        Outcome::Replay(record) => Some(Entry::Completed(record)),
        // It expired meanwhile.
        Outcome::Claimed(claim) if claim.attempt() == 1 => {
            claim.release().wait().map_err(|error| format!("releasing {name}: {error}"))?;
            None
        }
        other => return Err(format!("{name}, completed: {other:?}")),
    };
    let look = Look { entry, before_ms, after_ms: now_ms(), since_ms };
    matching(name, &[state], look).map(drop)
}

/// The trail can be read up to its end. What is missing of it at the end of a life is what a cut
/// may take; how far back that goes is measured.
fn trail(store: &Path, known: &Known, seen: &mut Seen) -> Verdict<()> {
    let mut trail = match Trail::of_store(store) {
        Ok(trail) => trail,
        // It is made by a thread of its own, soon after the store.
        Err(error) if error.kind() == ErrorKind::WrongStore => return Ok(()),
        Err(error) => return Err(format!("the trail: {error}")),
    };
    let (mut first_ms, mut tokens) = (u64::MAX, HashSet::new());
    for item in &mut trail {
        match item.map_err(|error| format!("the trail: {error}"))? {
            TrailItem::Event(event) => {
                seen.events += 1;
                first_ms = first_ms.min(event.at.as_millis());
                if matches!(event.kind, EventKind::Completed | EventKind::Resolved) {
                    tokens.extend(event.token.map(|token| token.get()));
                }
            }
            TrailItem::Gap(_) => seen.gaps += 1,
            // An earlier cut ended a segment there, or one write of two that were not synced.
            TrailItem::Damage(damage) if damage.what.contains(CUT_SHORT) => seen.cut_short += 1,
            other => return Err(format!("the trail: {other:?}")),
        }
    }
    for page in known.books.iter().flat_map(|book| book.pages.values()) {
        let State::Done(Done { token: Some(token), completed_ms: Some(ms), .. }) = page.last()
        else {
            continue;
        };
        if *ms > first_ms.max(known.since_ms) && !tokens.contains(token) {
            seen.trail_lost_ms = seen.trail_lost_ms.max(known.at_ms.saturating_sub(*ms));
        }
    }
    Ok(())
}

/// A write, or a whole segment before it began.
const CUT_SHORT: &str = "was cut short";
