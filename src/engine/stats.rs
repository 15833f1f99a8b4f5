//! Counters: what the store has done since it was opened, and what it holds.

use std::sync::atomic::{AtomicU64, Ordering};

use super::shard::LockedShard;
use super::{Engine, Flight};
use crate::ids::StoreTime;

/// A counter that many threads add to.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) takeovers: Counter,
    pub(crate) replays: Counter,
    pub(crate) mismatches: Counter,
    pub(crate) in_flight: Counter,
    pub(crate) releases: Counter,
    pub(crate) forgets: Counter,
    pub(crate) pruned: Counter,
    pub(crate) dropped_segments: Counter,
    pub(crate) compactions: Counter,
    pub(crate) compacted_segments: Counter,
    pub(crate) compaction_outputs: Counter,
    pub(crate) compacted_bytes: Counter,
    pub(crate) footer_bytes: Counter,
    pub(crate) late_retries: Counter,
    pub(crate) late_lost: Counter,
    pub(crate) late_failures: Counter,
}

/// What all compactions took and made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CompactionCounts {
    pub(crate) inputs: u64,
    pub(crate) outputs: u64,
    pub(crate) bytes: u64,
}

impl Counters {
    pub(crate) fn compaction(&self) -> CompactionCounts {
        CompactionCounts {
            inputs: self.compacted_segments.get(),
            outputs: self.compaction_outputs.get(),
            bytes: self.compacted_bytes.get(),
        }
    }
}

/// What a store holds and has done. Counts of events are since it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Completed records in the index, expired ones that were not pruned yet included.
    pub records: u64,
    /// Claims in flight, abandoned and unresolved ones included.
    pub in_flight: u64,
    /// Unresolved attempts.
    pub unresolved: u64,
    /// Since when the oldest of them is unresolved.
    pub oldest_unresolved: Option<StoreTime>,
    /// Keys claimed for the first time, or again after a release or an expiry.
    pub claims: u64,
    /// Claims that took over from an earlier attempt.
    pub takeovers: u64,
    /// Completions.
    pub completions: u64,
    /// Replays.
    pub replays: u64,
    /// Claims refused for another fingerprint.
    pub mismatches: u64,
    /// Claims that met one in flight.
    pub met_in_flight: u64,
    /// Releases.
    pub releases: u64,
    /// Records forgotten on request.
    pub forgets: u64,
    /// Expired records removed.
    pub pruned: u64,
    /// Segments dropped whole.
    pub dropped_segments: u64,
    /// Compactions.
    pub compactions: u64,
    /// Segments whose survivors compactions moved.
    pub compacted_segments: u64,
    /// Bytes that compactions wrote.
    pub compacted_bytes: u64,
    /// Bytes of dead records that were not given back yet: those of sealed segments whose record
    /// has expired or was replaced or forgotten since the store was opened, roughly and not
    /// overstated.
    pub debt_bytes: u64,
    /// Segments whose records have all expired, and that were not dropped yet.
    pub expired_segments: u64,
    /// Whether pruning and compaction are paused.
    pub compaction_paused: bool,
    /// Batches written to the log.
    pub batches: u64,
    /// Bytes written to the log.
    pub log_bytes: u64,
    /// Bytes of the log's footers.
    pub footer_bytes: u64,
    /// Syncs of the log.
    pub syncs: u64,
    /// Bytes of zeros written to fresh segment files.
    pub zero_filled_bytes: u64,
    /// Segments that may hold records.
    pub segments: u64,
    /// Segment files kept ready.
    pub spare_segments: u64,
    /// Bytes of all segment files.
    pub disk_bytes: u64,
    /// Bytes of memory that the index takes.
    pub index_bytes: u64,
    /// Records in the cache ([`Options::record_cache_bytes`](crate::Options::record_cache_bytes)).
    pub cached_records: u64,
    /// Bytes of memory that the cache takes, tables included.
    pub record_cache_bytes: u64,
    /// Records that were answered from the cache.
    pub record_cache_hits: u64,
    /// Records that were not in the cache when they were asked for, and read from their files.
    pub record_cache_misses: u64,
    /// Claims that were told, or refused, as a late retry.
    pub late_retries: u64,
    /// Keys whose record is gone and that are remembered as expired, about: one that expired more
    /// than once may count as often, and one that was forgotten until its time is over.
    pub late_keys: u64,
    /// Bytes of memory that they take: filters, and keys that are in no filter yet.
    pub late_bytes: u64,
    /// Bytes of the files they are in.
    pub late_disk_bytes: u64,
    /// Pages that were read because a filter took a key for a remembered one.
    pub late_reads: u64,
    /// Those of them that knew the key.
    pub late_confirmed: u64,
    /// Pages that could not be read, or were damaged: late retries of their keys go unnoticed.
    pub late_unreadable: u64,
    /// Expired keys that are not remembered, since the disk refused or nothing says which they
    /// were.
    pub late_lost: u64,
    /// Writes of the memory that failed: what it holds may not survive the process before one that
    /// works.
    pub late_failures: u64,
    /// Decisions that are in the audit trail, or on their way to it.
    pub audit_events: u64,
    /// Decisions that are not: there were too many at a time, or the trail's disk failed.
    pub audit_dropped: u64,
    /// Failures of the trail's disk.
    pub audit_failures: u64,
    /// Bytes of the trail's files.
    pub audit_bytes: u64,
    /// Store time, in milliseconds since the Unix epoch.
    pub store_time: StoreTime,
    /// By how much a leap of the clock is held back, in milliseconds.
    pub held_back_ms: u64,
    /// Whether no further segment can be had (the disk is full, or the process may open no more
    /// files): new claims are refused once what is left is spoken for.
    pub short_of_room: bool,
    /// Whether a failed write has ended all changes.
    pub poisoned: bool,
}

impl Stats {
    /// Bytes written to segments a byte of the log: footers and what compactions moved included,
    /// the zeros of fresh files ([`zero_filled_bytes`](Self::zero_filled_bytes)) and the manifest
    /// not.
    #[must_use]
    pub fn write_amplification(&self) -> f64 {
        let all = self.log_bytes + self.footer_bytes + self.compacted_bytes;
        all as f64 / self.log_bytes.max(1) as f64
    }
}

/// What all shards hold and have done.
#[derive(Debug, Default)]
struct ShardTotals {
    records: u64,
    index_bytes: u64,
    claims: u64,
    completions: u64,
}

impl Engine {
    /// Reads all counters. Not free: it visits every shard.
    pub(crate) fn stats(&self) -> Stats {
        let log = self.writer.lock().writer.counters;
        let catalog = self.catalog.lock();
        let files = catalog.files();
        let (spare_segments, disk_bytes, zero_filled_bytes) =
            (files.free_count() as u64, files.allocated_bytes(), files.zero_filled_bytes());
        drop(catalog);
        let (late, audit) = (self.late_stats(), self.audit.counts());
        let shards = self.count_shards();
        let (counters, cache) = (&self.counters, self.cache.counts());
        let (segments, now) = (self.table.all(), self.time.now());
        Stats {
            records: shards.records,
            in_flight: self.limits.in_flight(),
            unresolved: self.limits.unresolved(),
            oldest_unresolved: self.oldest_unresolved(),
            claims: shards.claims,
            takeovers: counters.takeovers.get(),
            completions: shards.completions,
            replays: counters.replays.get(),
            mismatches: counters.mismatches.get(),
            met_in_flight: counters.in_flight.get(),
            releases: counters.releases.get(),
            forgets: counters.forgets.get(),
            pruned: counters.pruned.get(),
            dropped_segments: counters.dropped_segments.get(),
            compactions: counters.compactions.get(),
            compacted_segments: counters.compacted_segments.get(),
            compacted_bytes: counters.compacted_bytes.get(),
            debt_bytes: segments.iter().map(|segment| segment.debt_bytes(now)).sum(),
            expired_segments: segments.iter().filter(|s| s.has_expired(now)).count() as u64,
            compaction_paused: self.is_paused(),
            batches: log.batches,
            log_bytes: log.bytes,
            footer_bytes: counters.footer_bytes.get(),
            syncs: log.syncs,
            zero_filled_bytes,
            segments: segments.len() as u64,
            spare_segments,
            disk_bytes,
            index_bytes: shards.index_bytes,
            cached_records: cache.records,
            record_cache_bytes: cache.bytes,
            record_cache_hits: cache.hits,
            record_cache_misses: cache.misses,
            late_retries: counters.late_retries.get(),
            late_keys: late.keys,
            late_bytes: late.bytes,
            late_disk_bytes: late.disk_bytes,
            late_reads: late.reads,
            late_confirmed: late.confirmed,
            late_unreadable: late.unreadable,
            late_lost: counters.late_lost.get(),
            late_failures: counters.late_failures.get(),
            audit_events: audit.events,
            audit_dropped: audit.dropped,
            audit_failures: audit.failures,
            audit_bytes: audit.bytes,
            store_time: now,
            held_back_ms: self.time.held_back_ms(),
            short_of_room: self.room.shortage.is_on(),
            poisoned: self.is_poisoned(),
        }
    }

    fn count_shards(&self) -> ShardTotals {
        let mut totals = ShardTotals::default();
        for shard in &self.shards {
            let shard = shard.lock();
            totals.records += shard.index.len() as u64;
            totals.index_bytes += shard.index.memory_bytes() as u64;
            totals.claims += shard.counts.claims;
            totals.completions += shard.counts.completions;
        }
        totals
    }

    fn oldest_unresolved(&self) -> Option<StoreTime> {
        if self.limits.unresolved() == 0 {
            return None;
        }
        let oldest =
            |shard: &LockedShard| shard.lock().flights().filter_map(Flight::unresolved_since).min();
        self.shards.iter().filter_map(oldest).min()
    }
}
