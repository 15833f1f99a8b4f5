//! What runs came across, counted: a simulator that never meets a state proves nothing about it.

use std::collections::BTreeMap;
use std::fmt;

/// How often each thing happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<&'static str, u64>,
    digest: u64,
}

/// What there is to come across, in groups.
#[rustfmt::skip]
const KNOWN: [(&str, &[&str]); 11] = [
    ("runs", &["clients", "recovered", "simulated hours", "steps"]),
    ("calls for the checker of histories", &[
        "heard", "not heard: after a leap", "not heard: after a power cut between syncs",
        "not heard: after damage", "not heard: after store time was set back",
    ]),
    ("outcomes of claims", &[
        "outcome: claimed", "outcome: claimed by takeover", "outcome: claimed, late",
        "outcome: expired", "outcome: in flight", "outcome: mismatch", "outcome: replay",
        "outcome: unresolved",
    ]),
    ("clients", &[
        "a claim is cancelled after its decision", "a claim is dropped", "a client goes away",
        "a client waits for another", "a stale holder is refused", "completed", "flushed",
        "forgotten", "looked", "nothing to forget", "resolved", "told: closed", "told: corrupt",
        "told: disk full", "told: outcome unknown", "told: poisoned", "told: another error",
    ]),
    ("crashes and ends", &[
        "closed cleanly", "closed with claims out", CRASHES[0], CRASHES[1], CRASHES[2], CRASHES[3],
        CRASHES[4], CRASHES[5], "recovered: a torn tail was cut", "recovered: damage was reported",
        "open fails and is tried again",
    ]),
    ("faults and damage", &[
        "fault: a read falls short", "fault: a sync fails", "fault: a write is cut short",
        "fault: an input or output error",
        "fault: the disk is full once", "fault: too many open files", "the disk fills up",
        "the disk has room again", "poisoned", "damage: a bit flips",
        "damage: a record cannot be read", "damage: a write goes astray",
        "damage: claims are out", "damage: the store stays shut",
    ]),
    ("log", &["committed", "pruned a segment", "compacted", "asked to compact", "asked to prune"]),
    ("growth, and compaction under load", &[
        "the index: a shard grows", "compacted while a shard grew", "compacted while claims ended",
        "compaction: a claim's record moves", "compaction: a record ends while it is copied",
        "compaction: a segment is left alone", "compaction: records move that expire weeks apart",
        "compaction: several outputs",
    ]),
    ("late retries", &[
        "late retries: one is told from memory", "late retries: a forget is marked",
        "made a run of expired keys", "late retries: a first run",
        "late retries: a run beside others", "late retries: a run becomes one with others",
        "late retries: a window leaves", "late retries: an opening drops a run",
        "late retries: more is pending than may be", "late retries: the journal is written anew",
        "late retries: a segment is kept for a run",
        "late retries: segments are kept for a run that fails",
    ]),
    ("audit trail", &[
        "trail: an opening", "trail: turns", "trail: a full ring drops",
        "trail: its disk stands still", "trail: its disk fails", "trail: a write fails",
        "trail: the machine goes off while it is written", "trail: a bit flips",
        "trail: a write goes astray", "trail: read", "trail: a gap of so many is told",
        "trail: a gap of an unknown length is told", "trail: damage is told",
    ]),
    ("time and interludes", &[
        "interlude: client", "interlude: commit", "interlude: prune or compaction",
        "interlude: slow sync", "interlude: upkeep", "rewrites", "store time: a leap is held back",
        "the wall clock is set",
        "time passes to a deadline",
    ]),
];

const CRASHES: [&str; 6] = [
    "crash during recovery",
    "crash: a torn write survives",
    "crash: everything written survives",
    "crash: nothing unsynced survives",
    "crash: one write of many survives",
    "crash: random sectors survive",
];

impl Coverage {
    pub(crate) fn hit(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    pub(crate) fn add(&mut self, what: &'static str, count: u64) {
        *self.counts.entry(what).or_default() += count;
    }

    pub(super) fn set_digest(&mut self, digest: u64) {
        self.digest = digest;
    }

    /// Adds the counts of another run. In which order runs are added changes nothing.
    pub fn merge(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            self.add(what, *count);
        }
        self.digest = self.digest.wrapping_add(other.digest);
    }

    /// How often that happened.
    #[must_use]
    pub fn count(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// How often a process died and another recovered what it had left.
    #[must_use]
    pub fn crashes(&self) -> u64 {
        CRASHES.iter().map(|crash| self.count(crash)).sum()
    }

    /// A number that depends on every decision, every crash and all that was found after it: the
    /// same for two runs of a seed.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Everything that happened, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.counts.iter().map(|(what, count)| (*what, *count))
    }

    /// Everything in groups, each with its name; also what never happened and could have.
    pub fn groups(&self) -> impl Iterator<Item = (&'static str, Vec<(&'static str, u64)>)> + '_ {
        let known = KNOWN.into_iter().map(|(group, names)| {
            (group, names.iter().map(|name| (*name, self.count(name))).collect())
        });
        let is_known = |what| KNOWN.iter().any(|(_, names)| names.contains(&what));
        let others: Vec<_> = self.iter().filter(|(what, _)| !is_known(*what)).collect();
        known.chain((!others.is_empty()).then_some(("others", others)))
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (group, counts)) in self.groups().enumerate() {
            let line = if at == 0 { "" } else { "\n" };
            writeln!(f, "{line}{group}")?;
            for (what, count) in counts {
                writeln!(f, "{count:>14}  {what}")?;
            }
        }
        Ok(())
    }
}
