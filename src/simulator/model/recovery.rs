//! What may be found after a crash (promises 2 and 7): the store as some prefix of the log left it,
//! no shorter than what was promised, and with every claim ownerless.

use super::page::{Done, Flight, Page, Span, Stage};
use super::said::Seen;
use super::{Entry, KeyId, Look, Model, Times, Verdict};
use crate::DropPolicy;

/// How much must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// The process died: everything that was told.
    Told,
    /// The power went: everything that was promised to be on stable storage.
    Durable,
    /// Damage was reported: anything that ever was.
    Anything,
}

/// What the next process sees, and under which circumstances.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    /// By key.
    pub(crate) seen: &'a [Seen],
    pub(crate) times: Times,
    pub(crate) bound: Bound,
    /// Whether it is not the first process to recover: an earlier one has said of claims that they
    /// are abandoned, and was cut short.
    pub(crate) again: bool,
}

impl Model {
    /// The pages that a look at a key may show.
    pub(crate) fn shown_to(&self, look: &Look) -> Vec<Page> {
        self.versions(look).cloned().collect()
    }

    /// Judges a look at a key that may have shown one of these pages.
    pub(crate) fn check_seen(pages: &[Page], times: Times, seen: &Seen) -> Verdict {
        let fits = |page: &Page| match (&page.flight, seen) {
            (Some(flight), Seen::InFlight { token, attempt }) => {
                (flight.token, flight.attempt) == (*token, *attempt)
                    && flight.stage != Stage::Unresolved
            }
            (Some(flight), Seen::Unresolved { token, attempt }) => {
                (flight.token, flight.attempt) == (*token, *attempt)
                    && flight.stage == Stage::Unresolved
            }
            (Some(_), Seen::Nothing) => page.may_be_bare(times.now),
            (None, Seen::Nothing) => {
                page.done.as_ref().is_none_or(|done| done.expires_ms <= times.now.hi)
            }
            (_, Seen::Done(shown)) => {
                page.may_be_bare(times.now) && page.live(times.now).any(|done| shown.is(done))
            }
            _ => false,
        };
        match pages.iter().any(fits) {
            true => Ok(()),
            false => Err(format!("a key is seen as {seen:?} at {times:?}: {pages:?}")),
        }
    }

    /// Judges what the next process sees of every key, and goes on from there.
    pub(crate) fn recover(&mut self, found: &Found<'_>) -> Verdict {
        self.see(found.times);
        let least = match found.bound {
            Bound::Told => self.handed.max(self.durable),
            Bound::Durable => self.durable,
            Bound::Anything => return self.adopt(found.seen, found.times),
        };
        let (floor_ms, now) = (self.floor(least), found.times.now);
        if now.hi < floor_ms {
            return Err(format!("promise 6: store time was {floor_ms} and is {now:?}"));
        }
        let Some(mut pages) = self.matching(found, least) else {
            return Err(self.explain(found, least));
        };
        for (key, page) in pages.iter_mut().enumerate() {
            if matches!(found.seen[key], Seen::Unreadable | Seen::Nothing) {
                self.leave_open(key, page, least);
            }
        }
        self.restart(pages, found.seen, found.times, floor_ms);
        Ok(())
    }

    /// Store time of the entries below a number.
    fn floor(&self, number: u64) -> u64 {
        let count = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let times = self.log.iter().take(count).map(|entry| entry.at_ms);
        times.fold(self.floor_ms, u64::max)
    }

    /// The pages that explain what is seen: those of the last prefix that does, with what else may
    /// be there by those before it.
    ///
    /// What nobody was told of survives key by key: a segment begins with the claims in flight as
    /// they are in memory, ahead of the batch that is about to be written. Without a sync for each
    /// batch that goes for all that is not known to be synced.
    fn matching(&self, found: &Found<'_>, least: u64) -> Option<Vec<Page>> {
        let told = if self.rules.syncs_each { self.handed.max(least) } else { least };
        let mut pages = self.base.clone();
        let fits = |key: KeyId, page: &Page| self.may_be(page, key, found);
        let mut wrong = (0..pages.len()).filter(|key| !fits(*key, &pages[*key])).count();
        let mut matching: Option<Vec<Page>> = None;
        let mut number = self.first;
        let mut entries = self.log.iter();
        while number < told
            && let Some(entry) = entries.next()
        {
            if wrong == 0 && number >= least {
                matching = Some(merge(matching, &pages, found.times.now));
            }
            let page = &mut pages[entry.key];
            wrong -= usize::from(!fits(entry.key, page));
            page.clone_from(&entry.page);
            wrong += usize::from(!fits(entry.key, page));
            number += 1;
        }
        let mut fitting: Vec<bool> =
            pages.iter().enumerate().map(|(key, page)| fits(key, page)).collect();
        for entry in entries.filter(|entry| fits(entry.key, &entry.page)) {
            let now = found.times.now;
            let old = std::mem::replace(&mut pages[entry.key], entry.page.clone());
            if std::mem::replace(&mut fitting[entry.key], true) {
                merge_page(&mut pages[entry.key], &old, now);
            }
        }
        match fitting.contains(&false) {
            true => matching,
            false => Some(merge(matching, &pages, found.times.now)),
        }
    }

    /// What cannot be read, or has expired, may be any record that the key had since the entries
    /// that must be there.
    fn leave_open(&self, key: KeyId, page: &mut Page, least: u64) {
        let mut left = vec![&self.base[key]];
        for (number, entry) in (self.first..).zip(&self.log).filter(|(_, entry)| entry.key == key) {
            if number < least {
                left.clear();
            }
            left.push(&entry.page);
        }
        if left.iter().any(|other| other.done != page.done || other.beneath != page.beneath) {
            let mut dones: Vec<Done> = left.iter().flat_map(|page| page.dones().cloned()).collect();
            dones.dedup();
            page.done = None;
            page.beneath = dones;
        }
    }

    /// Whether a key that the log leaves as `page` may be seen so by the next process.
    fn may_be(&self, page: &Page, key: KeyId, found: &Found<'_>) -> bool {
        let now = found.times.now;
        let is = |flight: &Flight, token: u64, attempt: u32| {
            (flight.token, flight.attempt) == (token, attempt)
        };
        let current = &self.pages[key];
        let ghost = page.ghost.as_ref().or(current.ghost.as_ref());
        match &found.seen[key] {
            // A claim in flight would be seen all the same.
            Seen::Unreadable => match &page.flight {
                Some(flight) => self.may_be_gone(flight, key, found),
                None => true,
            },
            Seen::InFlight { token, attempt } => match &page.flight {
                Some(flight) => is(flight, *token, *attempt) && self.becomes(flight, key, false),
                None => ghost.is_some_and(|ghost| is(ghost, *token, *attempt)),
            },
            Seen::Unresolved { token, attempt } => page.flight.as_ref().is_some_and(|flight| {
                is(flight, *token, *attempt) && self.becomes(flight, key, true)
            }),
            Seen::Done(shown) => {
                let covered = |flight: &Flight| !self.may_be_gone(flight, key, found);
                !page.flight.as_ref().is_some_and(covered)
                    && page.live(now).any(|done| shown.is(done))
            }
            Seen::Nothing => match &page.flight {
                Some(flight) => self.may_be_gone(flight, key, found),
                None => {
                    let forgets = |entry: &Entry| entry.key == key && entry.forgets;
                    page.done.as_ref().is_none_or(|done| done.expires_ms <= now.hi)
                        || self.log.iter().any(forgets)
                }
            },
        }
    }

    /// Whether a claim becomes unresolved, or merely abandoned, when its process ends.
    fn becomes(&self, flight: &Flight, key: KeyId, unresolved: bool) -> bool {
        let by = |flight: &Flight, policy: DropPolicy| {
            let is = flight.stage == Stage::Unresolved || policy == DropPolicy::Unresolved;
            is == unresolved
        };
        let current = self.pages[key].flight.as_ref();
        let in_memory = current.filter(|current| current.token == flight.token);
        by(flight, flight.logged_policy)
            || in_memory.is_some_and(|flight| by(flight, flight.policy))
    }

    /// Whether a claim was abandoned so long ago that the next process forgets it at once.
    fn may_be_gone(&self, flight: &Flight, key: KeyId, found: &Found<'_>) -> bool {
        let now = found.times.now;
        let over = |flight: &Flight| {
            let again = found.again && self.floor_ms.saturating_add(flight.ttl_ms) <= now.hi;
            let over = flight.end_of_abandoned().is_some_and(|end| end.may_be_over(now));
            flight.stage != Stage::Unresolved && (over || again)
        };
        let current = &self.pages[key];
        let in_memory = current.flight.iter().chain(&current.ghost);
        over(flight) || in_memory.filter(|f| f.token == flight.token).any(over)
    }

    /// Goes on from the pages of a prefix.
    fn restart(&mut self, mut pages: Vec<Page>, seen: &[Seen], times: Times, floor_ms: u64) {
        for (key, (page, seen)) in pages.iter_mut().zip(seen).enumerate() {
            let current = std::mem::take(&mut self.pages[key]);
            let ghost = page.ghost.take().or(current.ghost);
            let in_memory = current.flight.as_ref().or(ghost.as_ref());
            if page.flight.is_none() && matches!(seen, Seen::InFlight { .. }) {
                page.flight.clone_from(&ghost);
            }
            if let Some(flight) = &mut page.flight {
                let before = abandoned_at(flight, in_memory).unwrap_or(Span::at(floor_ms));
                let lo = before.lo.min(floor_ms);
                orphan(flight, seen, Span { lo, hi: before.hi.max(times.latest.hi) });
            }
            if matches!(seen, Seen::Done(_)) && page.flight.is_some() {
                page.ghost = page.flight.take();
            }
            if let Seen::Done(shown) = seen
                && let Some(at) = page.beneath.iter().position(|done| shown.is(done))
            {
                let done = page.beneath.swap_remove(at);
                page.set_done(Some(done));
            }
            if *seen == Seen::Nothing {
                page.ghost = page.flight.take().or(ghost);
                // It was forgotten before the log says so, or never there.
                page.done.take_if(|done| done.expires_ms > times.now.hi);
                page.beneath.retain(|done| done.expires_ms <= times.now.hi);
            }
        }
        self.go_on_from(pages, floor_ms);
    }

    fn go_on_from(&mut self, pages: Vec<Page>, floor_ms: u64) {
        self.first += self.log.len() as u64;
        self.log.clear();
        self.durable = self.first;
        self.handed = self.first;
        self.newest.fill(self.first);
        self.base.clone_from(&pages);
        self.pages = pages;
        self.replaced.clear();
        self.looks = 0;
        self.floor_ms = floor_ms;
    }

    /// Takes in what is seen of a damaged store: nothing that never was.
    fn adopt(&mut self, seen: &[Seen], times: Times) -> Verdict {
        let mut pages = Vec::with_capacity(seen.len());
        for (key, seen) in seen.iter().enumerate() {
            let old = self.history.iter().rev().filter(|(of, _)| *of == key);
            let mut old = old.map(|(_, page)| page);
            let page = match seen {
                Seen::Unreadable => Some(Page { beneath: self.dones_ever(key), ..Page::default() }),
                // What there was may have expired.
                Seen::Nothing => {
                    let done = old.find_map(|page| page.done.clone());
                    let done = done.filter(|done| done.expires_ms <= times.now.hi);
                    Some(Page { done, ..Page::default() })
                }
                Seen::Done(shown) => old
                    .find(|page| page.done.as_ref().is_some_and(|done| shown.is(done)))
                    .map(|page| Page { flight: None, ..page.clone() }),
                Seen::InFlight { token, attempt } | Seen::Unresolved { token, attempt } => {
                    self.adopt_flight(key, (*token, *attempt), seen)
                }
            };
            let Some(page) = page else {
                return Err(format!("key {key} is seen as {seen:?}, which it never was"));
            };
            pages.push(page);
        }
        self.go_on_from(pages, 0);
        Ok(())
    }

    fn adopt_flight(&self, key: KeyId, told: (u64, u32), seen: &Seen) -> Option<Page> {
        let old = self.history.iter().filter(|(of, _)| *of == key);
        let flights = old.filter_map(|(_, page)| page.flight.as_ref());
        let same: Vec<&Flight> =
            flights.filter(|flight| (flight.token, flight.attempt) == told).collect();
        let mut flight = (*same.last()?).clone();
        flight.checkpoints = same.iter().flat_map(|flight| flight.checkpoints.clone()).collect();
        flight.checkpoints.push(None);
        orphan(&mut flight, seen, Span { lo: 0, hi: u64::MAX });
        // What the damage has brought back beneath the claim shows when it ends.
        Some(Page { flight: Some(flight), beneath: self.dones_ever(key), ..Page::default() })
    }

    /// Every record that a key of a damaged store ever had.
    fn dones_ever(&self, key: KeyId) -> Vec<Done> {
        let pages = self.history.iter().filter(|(of, _)| *of == key);
        let mut dones: Vec<Done> = pages.filter_map(|(_, page)| page.done.clone()).collect();
        dones.dedup();
        dones
    }

    /// Says what is wrong with what is seen.
    fn explain(&self, found: &Found<'_>, least: u64) -> String {
        let mut pages = self.base.clone();
        for entry in self.log.iter().take((least.saturating_sub(self.first)) as usize) {
            pages[entry.key].clone_from(&entry.page);
        }
        let mut text = format!(
            "promise 2: what the next process sees is no prefix of the log from {least} to {}, \
             at {:?}",
            self.logged(),
            found.times
        );
        for (key, page) in pages.iter().enumerate() {
            if self.may_be(page, key, found) {
                continue;
            }
            text += &format!("\n  key {key} is seen as {:?}: {page:?}", found.seen[key]);
            let skipped = (least.saturating_sub(self.first)) as usize;
            for entry in self.log.iter().skip(skipped).filter(|entry| entry.key == key) {
                text += &format!("\n    then {:?}", entry.page);
            }
        }
        text
    }
}

/// When a claim may have been abandoned, if it was before its process ended. The wall clock may
/// have been set back since.
fn abandoned_at(flight: &Flight, in_memory: Option<&Flight>) -> Option<Span> {
    let since = |flight: &Flight| match flight.stage {
        Stage::Abandoned { at } | Stage::Held { swept: Some(at), .. } => Some(at),
        _ => None,
    };
    let in_memory = in_memory.filter(|current| current.token == flight.token);
    in_memory.and_then(since).or(since(flight))
}

/// What the next process makes of a claim: nobody holds it any more.
fn orphan(flight: &mut Flight, seen: &Seen, at: Span) {
    if matches!(seen, Seen::Unresolved { .. }) {
        flight.stage = Stage::Unresolved;
        return;
    }
    flight.stage = Stage::Abandoned { at };
    if flight.logged_policy == DropPolicy::Unresolved {
        // It had been taken back, and a later segment says so.
        flight.policy = DropPolicy::Hold;
        flight.logged_policy = DropPolicy::Hold;
    }
}

/// The newest pages, with what else may be there by those that explain what is seen as well.
fn merge(found: Option<Vec<Page>>, pages: &[Page], now: Span) -> Vec<Page> {
    let mut merged = pages.to_vec();
    for (page, old) in merged.iter_mut().zip(found.into_iter().flatten()) {
        merge_page(page, &old, now);
    }
    merged
}

/// Checkpoints, and records that have expired.
fn merge_page(page: &mut Page, old: &Page, now: Span) {
    let all = |flight: &Flight| match flight.checkpoints.is_empty() {
        true => vec![None],
        false => flight.checkpoints.clone(),
    };
    if page.done.is_none() && page.beneath.is_empty() {
        page.done = old.done.clone().filter(|done| done.expires_ms <= now.hi);
    }
    if let (Some(flight), Some(old)) = (&mut page.flight, &old.flight)
        && flight.token == old.token
        && flight.checkpoints != old.checkpoints
    {
        flight.checkpoints = all(flight);
        flight.checkpoints.extend(all(old));
    }
}
