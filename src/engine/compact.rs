//! Compaction: the survivors of several mostly dead segments move into one.
//!
//! A record keeps its token, so a forget or a newer record still wins over the copy, whatever comes
//! first to disk. A segment that cannot be copied, because of damage or because its survivors do
//! not fit after all, is left alone from then on until it expires. The manifest changes from the
//! old segments to the new one in one step; the index follows entry by entry, each only if it still
//! points where the copy was made from.

use std::sync::Arc;

use super::Engine;
use super::catalog::Need;
use super::lookup::Spot;
use super::recovery::frame_bytes;
use super::rewriter::Rewriter;
use super::segment::{NewEntry, Segment};
use crate::error::Result;
use crate::ids::{KeyHash, SegmentId, StoreTime};
use crate::index::Location;
use crate::log::{Footer, FooterEntry, SegmentKind};
use crate::sabotage::{self, Bug};

/// At most this share of a segment may be alive for it to be worth moving, in percent.
const ALIVE_PERCENT: u64 = 50;
/// How full the segment they move into may be planned, in percent: what is alive is an estimate.
const FILL_PERCENT: u64 = 90;

/// What came of copying.
enum Copied {
    All(Arc<Segment>, Vec<Move>),
    /// This input cannot be copied: something in it cannot be read, or does not fit.
    NotThis(SegmentId),
}

/// A record that was copied.
struct Move {
    hash: KeyHash,
    from: Spot,
    to: u32,
}

impl Engine {
    /// Segments that fit into one, of like expiry; `None` if that would give nothing back.
    pub(crate) fn choose_inputs(&self) -> Option<Vec<Arc<Segment>>> {
        let now = self.time.now();
        let limit = u64::from(self.segment_size) * ALIVE_PERCENT / 100;
        let mut sparse: Vec<(StoreTime, u64, Arc<Segment>)> = Vec::new();
        let left_alone = self.upkeep.left_alone.lock().clone();
        let may = |segment: &Arc<Segment>| segment.is_sealed() && !left_alone.contains(&segment.id);
        for segment in self.table.all().into_iter().filter(may) {
            let (latest, taken) = {
                let contents = segment.contents();
                let footer = Footer::space(contents.records as usize) as u64;
                (contents.latest_expiry, u64::from(contents.data_end) + footer)
            };
            let alive = taken.saturating_sub(segment.reclaimable_bytes(now));
            if latest > now && alive <= limit {
                sparse.push((latest, alive, segment));
            }
        }
        sparse.sort_by_key(|(latest, ..)| *latest);
        let capacity = u64::from(self.segment_size) * FILL_PERCENT / 100;
        let mut chosen: Vec<Arc<Segment>> = Vec::new();
        let mut sum = 0;
        for (_, alive, segment) in sparse {
            if sum + alive > capacity {
                if chosen.len() >= 2 {
                    break;
                }
                chosen.clear();
                sum = 0;
            }
            sum += alive;
            chosen.push(segment);
        }
        (chosen.len() >= 2).then_some(chosen)
    }

    /// Step: one compaction, if one is worth it. Returns whether it gave anything back.
    pub(crate) fn step_compact(&self) -> bool {
        let alone = self.rewriting.lock();
        if self.is_poisoned() || self.check_open().is_err() {
            return false;
        }
        let Some(inputs) = self.choose_inputs() else { return false };
        match self.compact(&inputs) {
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

    fn compact(&self, inputs: &[Arc<Segment>]) -> Result<bool> {
        let output = self.catalog.lock().new_segment(Need::Compaction, SegmentKind::Compacted)?;
        let slot = output.slot;
        let copied = self.copy_survivors(inputs, output);
        let (output, moves) = match copied {
            Ok(Copied::All(output, moves)) => (output, moves),
            other => {
                self.catalog.lock().files_mut().give_back(slot, None);
                if let Copied::NotThis(segment) = other? {
                    self.upkeep.left_alone.lock().insert(segment);
                }
                return Ok(false);
            }
        };
        // Readers find the copy before the manifest lets go of the original: both are there until
        // the end.
        self.table.put(output.clone());
        let named =
            self.catalog.lock().replace(inputs, std::slice::from_ref(&output), self.time.now());
        if let Err(error) = named {
            drop(self.table.take(slot));
            self.catalog.lock().retire([output]);
            return Err(error);
        }
        self.redirect(&output, &moves);
        for input in inputs {
            // Whatever is still listed there has expired.
            self.unlist(input);
        }
        let gone: Vec<_> =
            inputs.iter().filter_map(|segment| self.table.take(segment.slot)).collect();
        self.catalog.lock().retire(gone);
        self.counters.compactions.add(1);
        self.counters.compacted_bytes.add(u64::from(output.contents().data_end));
        Ok(true)
    }

    /// Copies what is alive.
    fn copy_survivors(&self, inputs: &[Arc<Segment>], output: Arc<Segment>) -> Result<Copied> {
        let now = self.time.now();
        let mut rewriter = Rewriter::new(output, now);
        let mut moves = Vec::new();
        for input in inputs {
            // Damage stays where it is, to be reported when it is met by a reader.
            let Ok(footer) = input.read_footer() else { return Ok(Copied::NotThis(input.id)) };
            for entry in footer.entries {
                if entry.expires_at(input.base) <= now || !self.is_alive(input, &entry) {
                    continue;
                }
                let location = Location { slot: input.slot, offset: entry.offset };
                let from = Spot { location, segment: input.id };
                let read = input.read_frame(entry.offset, |frame| {
                    if !rewriter.has_room(frame_bytes(&frame)) {
                        return Ok(None);
                    }
                    let expires_at = entry.expires_at(input.base);
                    let (hash, forget) = (entry.hash, entry.forget);
                    rewriter.add(&frame, NewEntry { hash, offset: 0, forget, expires_at }).map(Some)
                });
                match read {
                    Err(_) => return Ok(Copied::NotThis(input.id)),
                    Ok(copied) => match copied? {
                        None => return Ok(Copied::NotThis(input.id)),
                        Some(_) if entry.forget => {}
                        Some(to) => moves.push(Move { hash: entry.hash, from, to }),
                    },
                }
            }
        }
        Ok(Copied::All(rewriter.finish()?, moves))
    }

    /// A forget lives as long as what it hides could; a record while the index points to it.
    fn is_alive(&self, input: &Segment, entry: &FooterEntry) -> bool {
        let location = Location { slot: input.slot, offset: entry.offset };
        let shard = self.shard(entry.hash).lock();
        entry.forget || self.still_in(&shard, entry.hash, Spot { location, segment: input.id })
    }

    /// Points the index to the copies.
    fn redirect(&self, output: &Segment, moves: &[Move]) {
        for Move { hash, from, to } in moves {
            let to = Location { slot: output.slot, offset: *to };
            let mut shard = self.shard(*hash).lock();
            // A record that expired meanwhile may be about to be replaced.
            if let Some(flight) = shard.flight_replacing(*hash, *from) {
                flight.replaces = Some(Spot { location: to, segment: output.id });
            }
            if !shard.index.replace(self.geometry, *hash, from.location, to) {
                if sabotage::is_on(Bug::UndeadCopy) {
                    shard.index.insert(self.geometry, *hash, to);
                }
                // It was forgotten meanwhile; how long it is matters little.
                output.add_dead(64);
            }
        }
    }
}
