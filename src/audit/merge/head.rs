//! One producer as it comes in: what was told of it, what is missing, and what may be handed on.
//!
//! Invariants:
//! - an event is taken once, however often it is told;
//! - events become ready in the order of their sequence, each at its own time or at that of the
//!   one before, whichever is later, so that a producer's order is never turned;
//! - nothing that becomes ready later is earlier than `bound`, but for what comes late: what was
//!   no longer waited for.

use std::collections::{BTreeMap, VecDeque};

use super::ranges::Ranges;
use super::told::Producer;
use crate::audit::Event;
use crate::ids::StoreTime;

#[derive(Debug)]
pub(super) struct Head {
    pub(super) producer: Producer,
    pub(super) key_id: u64,
    /// The sources that told of it, in the order in which they did.
    pub(super) sources: Vec<u32>,
    seen: Ranges,
    /// What its trail does not have, as it says.
    lost: Ranges,
    /// Nothing before this is waited for.
    passed: u64,
    /// What is there behind something that is missing.
    pending: BTreeMap<u64, Waiting>,
    ready: VecDeque<(StoreTime, Event)>,
    pub(super) bound: StoreTime,
    mark: Option<(u64, StoreTime)>,
    pub(super) end: Option<(u64, bool)>,
    pub(super) counts: Counts,
    pub(super) first_at: StoreTime,
    pub(super) last_at: StoreTime,
    /// When it last came any further, by the clock of whoever merges.
    pub(super) moved_at: Option<StoreTime>,
    pub(super) is_waited_for: bool,
    /// Whether its first ready event is known to those who order them.
    pub(super) is_queued: bool,
    /// Below this, gaps were given up, and what is told again cannot be told from what is late.
    given_up_below: u64,
}

/// An event that waits for what is missing before it.
#[derive(Debug)]
struct Waiting {
    event: Event,
    /// Since when, by the clock of whoever merges, once it is known.
    since: Option<StoreTime>,
}

/// What came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) events: u64,
    pub(super) duplicates: u64,
    pub(super) late: u64,
    pub(super) unsure: u64,
    /// How many were missing in gaps that were given up for want of memory.
    pub(super) given_up: u64,
}

/// What became of an event that was told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It waits, or is ready.
    Held,
    /// Its place has been passed.
    Late,
    /// It was told before, or that cannot be known any more.
    Known,
}

impl Head {
    pub(super) fn new(producer: Producer, key_id: u64) -> Self {
        Self {
            producer,
            key_id,
            sources: Vec::new(),
            seen: Ranges::default(),
            lost: Ranges::default(),
            passed: 0,
            pending: BTreeMap::new(),
            ready: VecDeque::new(),
            bound: StoreTime(0),
            mark: None,
            end: None,
            counts: Counts::default(),
            first_at: StoreTime(u64::MAX),
            last_at: StoreTime(0),
            moved_at: None,
            is_waited_for: true,
            is_queued: false,
            given_up_below: 0,
        }
    }

    /// Takes an event.
    pub(super) fn take(&mut self, event: &Event, now: Option<StoreTime>, max_gaps: usize) -> Taken {
        let sequence = event.id.sequence;
        if !self.seen.insert(sequence) {
            if sequence < self.given_up_below {
                self.counts.unsure += 1;
            } else {
                self.counts.duplicates += 1;
            }
            return Taken::Known;
        }
        self.counts.events += 1;
        self.first_at = self.first_at.min(event.at);
        self.last_at = self.last_at.max(event.at);
        let taken = if sequence < self.passed {
            Taken::Late
        } else {
            self.pending.insert(sequence, Waiting { event: *event, since: now });
            Taken::Held
        };
        while self.seen.len() > max_gaps {
            let Some((first, count)) = self.seen.fill_first() else { break };
            self.counts.given_up += count;
            self.given_up_below = first.saturating_add(count);
            self.pass_to(self.given_up_below);
        }
        self.come_further();
        taken
    }

    /// Takes note of what its trail does not have.
    pub(super) fn lose(&mut self, first: u64, count: u64, max_gaps: usize) {
        let Some(more) = count.checked_sub(1) else { return };
        self.lost.insert_range(first, first.saturating_add(more).min(u64::MAX - 1));
        while self.lost.len() > max_gaps {
            // What lies between two of them is not waited for, either.
            let Some(_) = self.lost.fill_first() else { break };
        }
        self.come_further();
    }

    /// Takes note that nothing else happened before `at` than what is before `next`.
    pub(super) fn mark(&mut self, next: u64, at: StoreTime) {
        self.mark = self.mark.max(Some((next, at)));
        self.come_further();
    }

    /// Takes note of where it ends.
    pub(super) fn end(&mut self, next: u64, is_closed: bool) {
        self.end = self.end.max(Some((next, is_closed)));
        self.come_further();
    }

    /// Makes ready what nothing is missing before.
    fn come_further(&mut self) {
        loop {
            while let Some(entry) = self.pending.first_entry() {
                if *entry.key() > self.passed {
                    break;
                }
                let event = entry.remove().event;
                self.bound = self.bound.max(event.at);
                self.ready.push_back((self.bound, event));
                self.passed = self.passed.max(event.id.sequence + 1);
            }
            let after = self.lost.end_from(self.passed);
            if after == self.passed {
                break;
            }
            self.pass_to(after);
        }
        if let Some((next, at)) = self.mark
            && self.passed >= next
        {
            self.bound = self.bound.max(at);
        }
    }

    /// Waits no longer for what is missing before `sequence`.
    fn pass_to(&mut self, sequence: u64) {
        let next = self.pending.keys().next().copied().unwrap_or(u64::MAX);
        self.passed = self.passed.max(sequence.min(next));
    }

    /// Waits no longer for what is missing before the first that is there; says whether anything
    /// was.
    pub(super) fn pass_first_gap(&mut self) -> bool {
        let Some(first) = self.pending.keys().next().copied() else { return false };
        self.passed = self.passed.max(first);
        self.come_further();
        true
    }

    /// Waits no longer where what is there has waited for longer than that.
    pub(super) fn pass_old_gaps(&mut self, now: StoreTime, max_wait_ms: u64) {
        while let Some(mut first) = self.pending.first_entry() {
            let since = *first.get_mut().since.get_or_insert(now);
            if now.ms_since(since) <= max_wait_ms {
                break;
            }
            self.pass_first_gap();
        }
    }

    /// The first that is ready.
    pub(super) fn front(&self) -> Option<StoreTime> {
        self.ready.front().map(|(at, _)| *at)
    }

    pub(super) fn pop(&mut self) -> Option<(StoreTime, Event)> {
        self.ready.pop_front()
    }

    /// When the first happened that waits for something missing.
    pub(super) fn first_pending(&self) -> Option<StoreTime> {
        self.pending.values().next().map(|waiting| waiting.event.at)
    }

    pub(super) fn held(&self) -> usize {
        self.pending.len() + self.ready.len()
    }

    /// Whether all of it is there.
    pub(super) fn is_finished(&self) -> bool {
        self.end.is_some_and(|(next, _)| self.passed >= next) && self.pending.is_empty()
    }

    /// How far it is known to reach: the sequence after the last.
    pub(super) fn known_end(&self) -> u64 {
        let told = [self.seen.end(), self.lost.end()];
        let stated = [self.mark.map_or(0, |(next, _)| next), self.end.map_or(0, |(next, _)| next)];
        told.into_iter().chain(stated).max().unwrap_or_default()
    }

    /// What is missing: the first of each gap, how many, and whether its trail says that it does
    /// not have them.
    pub(super) fn missing(&self) -> impl Iterator<Item = (u64, u64, bool)> + '_ {
        let gaps = self.seen.missing(self.known_end());
        gaps.map(|(first, count)| (first, count, self.lost.end_from(first) >= first + count))
    }

    /// Whether it and another ran at the same time, by more than clocks may differ: openings of one
    /// store never do, unless one is of a copy.
    pub(super) fn ran_beside(&self, other: &Self, max_skew_ms: u64) -> bool {
        let (begin, end) = (self.first_at.max(other.first_at), self.last_at.min(other.last_at));
        begin.plus_ms(max_skew_ms) < end
    }

    /// What says how far it came: it moved if this changed.
    pub(super) fn progress(&self) -> (u64, StoreTime) {
        (self.passed, self.bound)
    }
}
