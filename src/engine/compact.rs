//! Compaction: the survivors of several mostly dead segments move into fewer, those of like expiry
//! together.
//!
//! A record keeps its token, so a forget or a newer record still wins over the copy, whatever comes
//! first to disk. A segment that cannot be copied, because of damage or because its survivors take
//! more than they should, is left alone from then on until it expires. The manifest changes from
//! the old segments to the new ones in one step; the index follows entry by entry, each only if it
//! still points where the copy was made from.
//!
//! Left to others: what is worth moving ([`super::choice`]), and how fast ([`super::pace`]).

use std::sync::Arc;

use super::Engine;
use super::catalog::Need;
use super::choice::{Candidate, Choice, Conditions, choose};
use super::lookup::Spot;
use super::pace::Pace;
use super::recovery::frame_bytes;
use super::rewriter::Rewriter;
use super::segment::{NewEntry, Segment};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{KeyHash, SegmentId, StoreTime};
use crate::index::Location;
use crate::log::{Footer, FooterEntry, SegmentKind};
use crate::reached;
use crate::sabotage::{self, Bug};

/// The log's pace is that of its last segments, so many of them.
const PACE_SEGMENTS: usize = 8;

/// A record or a forget that has to move.
struct Survivor {
    input: usize,
    entry: FooterEntry,
}

/// A record that was copied.
struct Move {
    hash: KeyHash,
    from: Spot,
    to: Location,
    output: SegmentId,
}

/// What copying has come to.
#[derive(Default)]
struct Copies {
    /// Finished ones, and the one that is being written.
    outputs: Vec<Arc<Segment>>,
    rewriter: Option<Rewriter>,
    moves: Vec<Move>,
}

/// Why copying came to no end.
enum Stopped {
    /// This input cannot be copied: something in it cannot be read.
    NotThis(SegmentId),
    /// There would be no fewer outputs than inputs; the last of those to blame.
    NotFewer(SegmentId),
    /// The store is about to stop, or the disk did not read what it may read later.
    Later,
}

impl Stopped {
    /// A footer could not be read.
    fn at((segment, error): (SegmentId, Error)) -> Self {
        match error.kind() {
            ErrorKind::Io => Self::Later,
            _ => Self::NotThis(segment),
        }
    }
}

/// What [`Store::compact`](crate::Store::compact) did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// Segments that were dropped whole, or whose survivors moved.
    pub segments: u64,
    /// Bytes that were written to move them.
    pub written_bytes: u64,
    /// Bytes of segment files that are ready for use again.
    pub freed_bytes: u64,
}

impl Engine {
    /// Moves all that is worth moving, and drops what has expired.
    pub(crate) fn compact_all(&self) -> Result<Compacted> {
        let hurry = self.upkeep.hurry();
        self.check_writable()?;
        let (before, mut dropped) = (self.counters.compaction(), 0);
        loop {
            match self.step_prune(&mut Pace::hurried()) {
                0 if !self.step_compact(Pace::hurried()) => break,
                count => dropped += count,
            }
        }
        self.check_writable()?;
        drop(hurry);
        let after = self.counters.compaction();
        let inputs = after.inputs - before.inputs;
        let outputs = after.outputs - before.outputs;
        Ok(Compacted {
            segments: dropped + inputs,
            written_bytes: after.bytes - before.bytes,
            freed_bytes: (dropped + inputs - outputs) * u64::from(self.segment_size),
        })
    }

    /// What is worth moving, and the segments it is in.
    fn choose_inputs(&self, hurried: bool) -> Option<(Vec<Arc<Segment>>, Choice)> {
        let now = self.time.now();
        let left_alone = self.upkeep.left_alone.lock().clone();
        let all = self.table.all();
        let conditions = Conditions {
            now,
            segment_bytes: u64::from(self.segment_size),
            segments: all.len() as u64,
            turnover_ms: turnover_ms(&all, now),
            hurried: hurried || self.is_short(),
        };
        let emptied = self.emptied.lock();
        let may = |segment: &Arc<Segment>| {
            segment.is_sealed()
                && !left_alone.contains(&segment.id)
                && !emptied.must_stay(segment.id)
                && segment.contents().latest_expiry > now
        };
        let segments: Vec<_> = all.into_iter().filter(may).collect();
        drop(emptied);
        let per_mille = self.upkeep.density.get();
        let candidates: Vec<Candidate> =
            segments.iter().map(|segment| segment.candidate(now, per_mille)).collect();
        let choice = choose(&candidates, &conditions)?;
        let inputs = choice.inputs.iter().filter_map(|at| segments.get(*at).cloned()).collect();
        Some((inputs, choice))
    }

    /// Whether room on the disk counts more than what is written.
    pub(super) fn is_short(&self) -> bool {
        self.room.shortage.is_on() || self.room.are_spares_used()
    }

    /// Whether a compaction is due.
    pub(crate) fn has_debt(&self) -> bool {
        self.choose_inputs(false).is_some()
    }

    /// Step: one compaction, if one is worth it. Returns whether it gave anything back.
    pub(crate) fn step_compact(&self, mut pace: Pace) -> bool {
        let alone = self.rewriting.lock();
        if self.is_poisoned() || self.check_open().is_err() {
            return false;
        }
        let chosen = self.choose_inputs(pace.is_hurried());
        let Some((inputs, choice)) = chosen else { return false };
        if choice.pressed {
            pace = pace.pressed();
        }
        match self.compact(&inputs, &mut pace) {
            Ok(moved_all) => moved_all,
            Err(error) => {
                // A shortage may pass.
                drop(alone);
                if !error.is_shortage() {
                    self.fail(error);
                }
                false
            }
        }
    }

    fn compact(&self, inputs: &[Arc<Segment>], pace: &mut Pace) -> Result<bool> {
        let (mut copies, now) = (Copies::default(), self.time.now());
        let copied = match self.find_survivors(inputs, now) {
            Ok(survivors) => self.copy(inputs, &survivors, &mut copies, pace),
            Err(stopped) => Ok(Err(stopped)),
        };
        let Copies { outputs, moves, .. } = copies;
        let copied = match copied {
            Ok(Ok(())) => Ok(self.unlist_left_out(inputs, now, pace).map_err(Stopped::at)),
            stopped => stopped,
        };
        if !matches!(copied, Ok(Ok(()))) {
            let mut catalog = self.catalog.lock();
            outputs.iter().for_each(|output| catalog.files_mut().give_back(output.slot, None));
            drop(catalog);
            match copied? {
                Err(Stopped::NotFewer(_)) if self.upkeep.density.forget() => {}
                Err(Stopped::NotThis(segment) | Stopped::NotFewer(segment)) => {
                    reached::note("compaction: a segment is left alone");
                    self.upkeep.left_alone.lock().insert(segment);
                }
                _ => {}
            }
            return Ok(false);
        }
        // Readers find the copies before the manifest lets go of the originals: both are there
        // until the end.
        outputs.iter().for_each(|output| self.table.put(output.clone()));
        let named = self.catalog.lock().replace(inputs, &outputs, self.time.now());
        if let Err(error) = named {
            outputs.iter().for_each(|output| drop(self.table.take(output.slot)));
            self.catalog.lock().retire(outputs);
            return Err(error);
        }
        self.redirect(&moves);
        for input in inputs {
            // What had expired was left out; nothing else is listed there, or it would be lost.
            self.unlist_moved(input, pace);
        }
        self.count_compaction(inputs, &outputs);
        let gone: Vec<_> =
            inputs.iter().filter_map(|segment| self.table.take(segment.slot)).collect();
        self.catalog.lock().retire(gone);
        self.uncache(inputs);
        Ok(true)
    }

    /// What is alive, those of like expiry together. A forget lives as long as what it hides could;
    /// a record while the index points to it.
    fn find_survivors(
        &self,
        inputs: &[Arc<Segment>],
        now: StoreTime,
    ) -> std::result::Result<Vec<Survivor>, Stopped> {
        let mut survivors = Vec::new();
        for (number, input) in inputs.iter().enumerate() {
            // Damage stays where it is, to be reported when it is met by a reader.
            let Ok(footer) = input.read_footer() else { return Err(Stopped::NotThis(input.id)) };
            for entry in footer.entries {
                if entry.expires_at(input.base) > now && self.is_alive(input, &entry) {
                    survivors.push(Survivor { input: number, entry });
                }
            }
        }
        // To within a tenth or so, and in the order they are read in within that.
        let now_s = FooterEntry::seconds(now, self.base);
        survivors.sort_by_key(|survivor| class(survivor.entry.expires_s.saturating_sub(now_s)));
        if let [first, .., last] = survivors.as_slice()
            && last.entry.expires_s.saturating_sub(first.entry.expires_s) > 7 * 24 * 3600
        {
            reached::note("compaction: records move that expire weeks apart");
        }
        Ok(survivors)
    }

    fn is_alive(&self, input: &Segment, entry: &FooterEntry) -> bool {
        let location = Location { slot: input.slot, offset: entry.offset };
        let shard = self.shard(entry.hash).lock();
        let spot = Spot { location, segment: input.id };
        let is_alive = entry.forget || self.still_in(&shard, entry.hash, spot);
        is_alive || sabotage::is_on(Bug::BlindRewrite)
    }

    /// Copies survivors into as many outputs as they take. What made the others dead is on disk
    /// before the last trace of them goes: a power cut that takes a forget back must find its
    /// record.
    fn copy(
        &self,
        inputs: &[Arc<Segment>],
        survivors: &[Survivor],
        copies: &mut Copies,
        pace: &mut Pace,
    ) -> Result<std::result::Result<(), Stopped>> {
        if self.interval_ms().is_some() {
            self.wait(self.everything())?;
            self.sync_now()?;
        }
        for Survivor { input, entry } in survivors {
            let Some(input) = inputs.get(*input) else { continue };
            if pace.is_over(self) {
                return Ok(Err(Stopped::Later));
            }
            let read = input.read_frame(entry.offset, |frame| {
                let Some(rewriter) = self.rewriter_for(frame_bytes(&frame), inputs, copies)? else {
                    return Ok(None);
                };
                let filed = survivors.first().filter(|_| sabotage::is_on(Bug::ShortClass));
                let filed = filed.map_or(entry, |first| &first.entry);
                let expires_at = filed.expires_at(input.base);
                let (hash, forget) = (entry.hash, entry.forget);
                rewriter.add(&frame, NewEntry { hash, offset: 0, forget, expires_at }).map(Some)
            });
            let offset = match read {
                Err(_) => return Ok(Err(Stopped::NotThis(input.id))),
                Ok(copied) => match copied? {
                    None => return Ok(Err(Stopped::NotFewer(input.id))),
                    Some(offset) => offset,
                },
            };
            copies.note(input, entry, offset);
            if let Some(rewriter) = &mut copies.rewriter {
                pace.rest(self, rewriter)?;
            }
        }
        if let Some(rewriter) = copies.rewriter.take() {
            rewriter.finish()?;
        }
        Ok(Ok(()))
    }

    /// The output that a frame of this length goes to; `None` if there would be no fewer of them
    /// than inputs.
    fn rewriter_for<'a>(
        &self,
        len: usize,
        inputs: &[Arc<Segment>],
        copies: &'a mut Copies,
    ) -> Result<Option<&'a mut Rewriter>> {
        if let Some(full) = copies.rewriter.take_if(|rewriter| !rewriter.has_room(len)) {
            full.finish()?;
        }
        if copies.rewriter.is_none() {
            if copies.outputs.len() + 1 >= inputs.len() {
                return Ok(None);
            }
            let output =
                self.catalog.lock().new_segment(Need::Compaction, SegmentKind::Compacted)?;
            if !copies.outputs.is_empty() {
                reached::note("compaction: several outputs");
            }
            copies.outputs.push(output.clone());
            copies.rewriter = Some(Rewriter::new(output, self.time.now()));
        }
        Ok(copies.rewriter.as_mut())
    }

    /// Points the index to the copies.
    fn redirect(&self, moves: &[Move]) {
        for Move { hash, from, to, output } in moves {
            let mut shard = self.shard(*hash).lock();
            // A record that expired meanwhile may be about to be replaced.
            if let Some(flight) = shard.flight_replacing(*hash, *from) {
                reached::note("compaction: a claim's record moves");
                flight.replaces = Some(Spot { location: *to, segment: *output });
            }
            if !shard.index.replace(self.geometry, *hash, from.location, *to) {
                reached::note("compaction: a record ends while it is copied");
                if sabotage::is_on(Bug::UndeadCopy) {
                    shard.index.insert(self.geometry, *hash, *to);
                }
                if sabotage::is_on(Bug::BlindRewrite) {
                    let newer = shard.index.candidates(self.geometry, *hash);
                    let newer = newer.iter().next().unwrap_or(from.location);
                    shard.index.replace(self.geometry, *hash, newer, *to);
                }
                // It was forgotten meanwhile; how long it is matters little.
                self.note_dead(*to, 64);
            }
        }
    }

    fn count_compaction(&self, inputs: &[Arc<Segment>], outputs: &[Arc<Segment>]) {
        let written: u64 = outputs.iter().map(|output| output.taken_bytes()).sum();
        let now = self.time.now();
        let reckoned = inputs.iter().map(|input| input.candidate(now, 1000).alive).sum();
        self.upkeep.density.learn(written, reckoned);
        self.counters.compactions.add(1);
        self.counters.compacted_segments.add(inputs.len() as u64);
        self.counters.compaction_outputs.add(outputs.len() as u64);
        self.counters.compacted_bytes.add(written);
    }
}

impl Copies {
    fn note(&mut self, input: &Segment, entry: &FooterEntry, offset: u32) {
        let Some(output) = self.outputs.last().filter(|_| !entry.forget) else { return };
        let location = Location { slot: input.slot, offset: entry.offset };
        self.moves.push(Move {
            hash: entry.hash,
            from: Spot { location, segment: input.id },
            to: Location { slot: output.slot, offset },
            output: output.id,
        });
    }
}

/// Classes of how long something lives yet, eight to a doubling.
fn class(seconds: u32) -> u32 {
    let coarse = (u32::BITS - seconds.leading_zeros()).saturating_sub(4);
    (coarse << 3) + (seconds >> coarse)
}

/// How long the log takes to write as many segments as there are, at the pace of the last ones.
fn turnover_ms(all: &[Arc<Segment>], now: StoreTime) -> u64 {
    let logs = all.iter().rev().filter(|one| one.kind == SegmentKind::Log && one.is_sealed());
    let (mut count, mut oldest) = (0_u64, now);
    for log in logs.take(PACE_SEGMENTS) {
        count += 1;
        oldest = oldest.min(log.contents().store_time);
    }
    now.ms_since(oldest).saturating_mul(all.len() as u64).checked_div(count).unwrap_or(0)
}

impl Segment {
    /// What is known of it, where so many of a thousand bytes that look alive are.
    fn candidate(&self, now: StoreTime, per_mille: u64) -> Candidate {
        let (all, reclaimable) = (self.taken_bytes(), self.reclaimable_bytes(now));
        let contents = self.contents();
        // A record's entry in the footer goes with it.
        let footer = Footer::space(contents.records as usize) as u64;
        let data = u64::from(contents.data_end).max(1);
        let dead = reclaimable + footer * reclaimable / data;
        let expiries = contents.expiries.as_ref();
        // Half of the file, whatever was never written of it included.
        let mostly = (u64::from(self.size) / 2).saturating_sub(u64::from(self.size) - all);
        Candidate {
            alive: all.saturating_sub(dead) * per_mille / 1000,
            halves_at: expiries.map_or(StoreTime(u64::MAX), |expiries| expiries.halves_at(now)),
            dead_since: expiries
                .map_or(StoreTime(u64::MAX), |expiries| expiries.reached_at(mostly)),
        }
    }
}
