//! What a run is like: drawn from its seed, so that a thousand seeds are a thousand different
//! services on different disks (swarm testing; Groce and others, 2012).

use std::time::Duration;

use super::dice::{Dice, derive};
use super::model::Rules;
use crate::audit::{Audit, Privacy};
use crate::{Durability, Options};

/// How long a schedule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Length {
    /// A few dozen steps and a crash or two: thousands of them a second.
    #[default]
    Short,
    /// Thousands of steps with many lives.
    Medium,
    /// Until this many clients have come, over many days in one life, hundreds at a time.
    Long(u64),
}

/// What goes wrong in a run besides crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    Fair,
    /// Calls of the disk fail.
    Faults,
    /// The disk is full for a while.
    Full,
    /// Bits rot and writes go astray.
    Rot,
}

#[derive(Debug, Clone)]
pub(crate) struct Profile {
    pub(crate) steps: u64,
    /// It is over when this many clients have come.
    pub(crate) operations: u64,
    pub(crate) keys: usize,
    /// All claims in flight must fit in a quarter of it.
    pub(crate) segment_bytes: u32,
    pub(crate) weather: Weather,
    pub(crate) interval: Option<Duration>,
    pub(crate) refuses_late: bool,
    /// How long expired keys are remembered, if they are, and how many become a file.
    pub(crate) remember_late: Duration,
    pub(crate) late_pending: usize,
    /// Which bits of a key's hash count: with few of them keys collide, and without the highest all
    /// are in one shard of the index, which grows.
    pub(crate) hash_mask: u64,
    /// At most this many clients at a time.
    pub(crate) max_clients: usize,
    /// So many times the clients come that would.
    pub(crate) crowd: u64,
    /// How many tasks are polled in a step, at most.
    pub(crate) polls: u64,
    /// In how many of a hundred disk calls something else happens.
    pub(crate) interludes: u64,
    /// How many tasks are polled in each of them, at most.
    pub(crate) meanwhile: u64,
    /// In how many of a hundred steps the process ends.
    pub(crate) ends: u64,
    /// In how many of a hundred steps the clock does something odd.
    pub(crate) odd_clock: u64,
    /// How many of a hundred clients are only looking.
    pub(crate) lookers: u64,
    pub(crate) ttls_ms: &'static [u64],
    pub(crate) sizes: &'static [usize],
    /// From which length on responses are compressed; theirs compress to next to nothing.
    pub(crate) compress_from_bytes: usize,
    /// What the cache of records may take.
    pub(crate) record_cache_bytes: usize,
    /// How long time passes at once, as a rule.
    pub(crate) naps_ms: &'static [u64],
    /// In how many of a hundred rewrites somebody asks for a prune.
    pub(crate) asks_to_prune: u64,
    /// Whether a clock that leaps is believed at once, for tests of the mechanism itself.
    pub(crate) leap_confirmation: Duration,
    /// The audit trail, if one is kept.
    pub(crate) trail: Option<TrailProfile>,
}

/// How the audit trail is kept, and what becomes of its disk, which is not the store's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrailProfile {
    pub(crate) weather: Weather,
    /// How many events may wait for the audit thread.
    pub(crate) ring: usize,
    /// In how many of a hundred steps the audit thread has a turn.
    pub(crate) turns: u64,
    pub(crate) write_every_ms: u64,
    pub(crate) sync_every_ms: u64,
    pub(crate) max_age_ms: u64,
    pub(crate) max_bytes: u64,
    pub(crate) privacy: Privacy,
    /// Whether all is as it would be without a trail: nobody goes on in the middle of what its
    /// thread writes, and nobody says who he is.
    pub(crate) is_calm: bool,
}

/// The part of a seed that floods are drawn from.
const FLOOD: u64 = u64::MAX - 1;
/// The part of a seed that the memory of expired keys is drawn from.
const LATE: u64 = u64::MAX - 2;

/// The parts of a seed that the audit trail is drawn from, and what makes a shard grow, expiries
/// lie far apart, the memory of expired keys busy, and compaction meet others.
const TRAIL: u64 = u64::MAX - 4;
const CROWD: u64 = u64::MAX - 5;
const SPREAD: u64 = u64::MAX - 6;
const BUSY: u64 = u64::MAX - 7;
const PRESSED: u64 = u64::MAX - 8;

/// The part of a seed that the size of the cache is drawn from, and the sizes: none, for a few
/// records so that they push one another out, and for all.
const CACHE: u64 = u64::MAX - 3;
const CACHE_SIZES: [usize; 4] = [0, 4 << 10, 64 << 10, 4 << 20];

const SECOND: u64 = 1000;
const HOUR: u64 = 3600 * SECOND;
const DAY: u64 = 24 * HOUR;

/// Longer than any run, and more than the trail of any run but a long one.
const AGES: u64 = 50 * 365 * DAY;
const ROOM: u64 = 64 << 20;

/// All hashes of which only these bits count are in one shard, and most of them are different.
const ONE_SHARD: u64 = u64::MAX >> 12;
/// The same of 16 shards.
const FEW_SHARDS: u64 = ONE_SHARD | 0xF << 60;

impl Profile {
    pub(crate) fn draw(seed: u64, length: Length) -> Self {
        let dice = Dice::new(derive(seed, 0));
        let weather = match dice.below(10) {
            0..=4 => Weather::Fair,
            5..=7 => Weather::Faults,
            8 => Weather::Full,
            _ => Weather::Rot,
        };
        let (steps, keys, max_clients, ends) = match length {
            Length::Short => (dice.between(8, 60), dice.between(1, 12), dice.between(2, 40), 12),
            Length::Medium => (2000, dice.between(2, 60), 200, 2),
            Length::Long(clients) => (clients.saturating_mul(10), 4000, 400, 0),
        };
        let (weather, operations, segment_bytes) = match length {
            Length::Long(clients) => (Weather::Fair, clients, 2 << 20),
            _ => (weather, u64::MAX, 1 << 16),
        };
        let profile = Self {
            steps,
            operations,
            keys: keys as usize,
            segment_bytes,
            weather,
            interval: dice.percent(25).then(|| Duration::from_millis(dice.between(1, 200))),
            refuses_late: dice.percent(25),
            remember_late: Duration::ZERO,
            late_pending: 1 << 17,
            hash_mask: dice.pick(&[u64::MAX, u64::MAX, u64::MAX, 0xFFF0_0000_0000_0001, 0], 0),
            max_clients: max_clients as usize,
            crowd: 1,
            polls: dice.pick(&[2, 6, 12, 30], 6),
            interludes: dice.pick(&[0, 2, 10, 40], 10),
            meanwhile: 3,
            ends,
            odd_clock: dice.pick(&[0, 5, 20], 5),
            lookers: dice.pick(&[5, 20, 50], 20),
            ttls_ms: dice.pick::<&'static [u64]>(
                &[&[24 * HOUR], &[5 * SECOND, HOUR, 24 * HOUR], &[SECOND, 3 * SECOND]],
                &[HOUR],
            ),
            sizes: dice.pick::<&'static [usize]>(
                &[&[0, 20, 300], &[20, 7000], &[6000, 8000], &[100, 9000]],
                &[20],
            ),
            compress_from_bytes: usize::MAX,
            record_cache_bytes: Dice::new(derive(seed, CACHE)).pick(&CACHE_SIZES, 0),
            naps_ms: &[1, 20, 900, 5_000, 30_000],
            asks_to_prune: 0,
            leap_confirmation: Duration::from_secs(600),
            trail: TrailProfile::draw(seed, length),
        };
        profile.remembering(seed).grown(seed, length)
    }

    fn remembering(self, seed: u64) -> Self {
        let late = Dice::new(derive(seed, LATE));
        Self {
            remember_late: Duration::from_millis(late.pick(&[0, 4 * SECOND, HOUR, DAY, DAY], 0)),
            late_pending: late.pick(&[1, 4, 1 << 17], 4),
            ..self
        }
    }

    /// What is drawn by dice of its own, for the draws before to stay what they are.
    fn grown(self, seed: u64, length: Length) -> Self {
        let flood = Dice::new(derive(seed, FLOOD));
        if let Length::Long(_) = length {
            return self.steady();
        }
        let is_short = length == Length::Short;
        let is_full = self.weather == Weather::Full;
        let profile = match is_short && (is_full || flood.percent(8)) {
            true => self.flooded(&flood),
            false if flood.percent(20) => Self { compress_from_bytes: 64, ..self },
            false => self,
        };
        let profile = profile.crowded(&Dice::new(derive(seed, CROWD)), is_short);
        let profile = profile.spread(seed).busy(seed);
        if is_short { profile.pressed(seed) } else { profile }
    }

    /// In some runs all keys are in one shard, and so many of them that it grows again and again.
    fn crowded(self, dice: &Dice, is_short: bool) -> Self {
        if !dice.percent(20) {
            return self;
        }
        let crowded = Self { hash_mask: ONE_SHARD, ..self };
        match is_short {
            false => crowded,
            true => Self {
                steps: crowded.steps.max(dice.between(20, 60)),
                keys: dice.between(12, 48) as usize,
                max_clients: 40,
                crowd: 3,
                polls: 30,
                lookers: 20,
                ..crowded
            },
        }
    }

    /// In some runs records expire within seconds and after months, in one store, and time passes
    /// faster, as far as the store believes it at once.
    fn spread(self, seed: u64) -> Self {
        let dice = Dice::new(derive(seed, SPREAD));
        match dice.percent(15) {
            false => self,
            true => Self {
                ttls_ms: &[SECOND, 20 * SECOND, HOUR, DAY, 7 * DAY, 90 * DAY],
                naps_ms: &[20, 900, 30_000, HOUR / 4, HOUR - SECOND],
                ..self
            },
        }
    }

    /// In some runs segment after segment is filled with what expires in seconds beside what does
    /// not, and in the middle of each compaction others go on.
    fn pressed(self, seed: u64) -> Self {
        let dice = Dice::new(derive(seed, PRESSED));
        match dice.percent(8) {
            false => self,
            true => Self {
                keys: dice.between(4, 10) as usize,
                interludes: 40,
                meanwhile: 24,
                crowd: 4,
                ttls_ms: &[4 * SECOND, 10 * SECOND, HOUR],
                naps_ms: &[20, 300, 900],
                polls: 10,
                lookers: 30,
                ..self.flooded(&dice)
            },
        }
    }

    /// In some runs keys expire all along, and become runs of expired keys: windows come and go.
    fn busy(self, seed: u64) -> Self {
        let dice = Dice::new(derive(seed, BUSY));
        match dice.percent(15) {
            false => self,
            true => Self {
                steps: self.steps.max(50),
                ttls_ms: dice
                    .pick::<&'static [u64]>(&[&[SECOND, 3 * SECOND], &[SECOND, HOUR]], &[]),
                naps_ms: &[900, 5_000, 30_000],
                remember_late: Duration::from_millis(
                    dice.pick(&[20 * SECOND, 90 * SECOND, HOUR], HOUR),
                ),
                late_pending: dice.pick(&[1, 3, 6], 1),
                asks_to_prune: 40,
                ..self
            },
        }
    }

    /// Days that pass one after the other, with records that expire all along: a clock that leaps
    /// would be held back most of the time. Some hashes may be equal, and not so many that all of a
    /// run is spent on telling them apart.
    fn steady(self) -> Self {
        Self {
            hash_mask: match self.hash_mask {
                u64::MAX => FEW_SHARDS,
                _ => 0xFFF0_0000_0000_0001,
            },
            odd_clock: 0,
            lookers: 20,
            ttls_ms: &[5 * SECOND, HOUR, 24 * HOUR],
            sizes: &[100, 9000],
            ..self
        }
    }

    /// Fills segment after segment: only then are there files to prune, to compact and to use
    /// again, and can a disk be too small.
    fn flooded(self, dice: &Dice) -> Self {
        Self {
            steps: dice.between(30, 80),
            keys: dice.between(8, 40) as usize,
            max_clients: 40,
            polls: 30,
            lookers: 5,
            sizes: &[6000, 8000],
            ..self
        }
    }

    pub(crate) fn options(&self) -> Options {
        let durability = self.interval.map_or(Durability::Sync, Durability::Interval);
        let options = Options {
            late_pending: self.late_pending,
            late_most: self.late_pending * 4,
            ..Options::new()
        };
        options
            .remember_late(self.remember_late)
            .segment_bytes(self.segment_bytes)
            .durability(durability)
            .refuse_late_retries(self.refuses_late)
            .compress_from_bytes(self.compress_from_bytes)
            .record_cache_bytes(self.record_cache_bytes)
            .leap_confirmation(self.leap_confirmation)
            .audit(self.trail.map_or_else(Audit::off, TrailProfile::settings))
    }

    pub(crate) fn rules(&self) -> Rules {
        Rules {
            keys: self.keys,
            syncs_each: self.interval.is_none(),
            refuses_late: self.refuses_late,
            // Of keys whose hashes collide nothing is remembered.
            remembers_ms: match self.hash_mask {
                u64::MAX | ONE_SHARD | FEW_SHARDS => self.remember_late.as_millis() as u64,
                _ => 0,
            },
            fails: matches!(self.weather, Weather::Faults | Weather::Full),
            rots: self.weather == Weather::Rot,
        }
    }
}

impl TrailProfile {
    fn draw(seed: u64, length: Length) -> Option<Self> {
        let dice = Dice::new(derive(seed, TRAIL));
        if !dice.percent(60) {
            return None;
        }
        let weather = match dice.below(10) {
            0..=4 => Weather::Fair,
            5 | 6 => Weather::Faults,
            7 => Weather::Full,
            _ => Weather::Rot,
        };
        let is_long = matches!(length, Length::Long(_));
        Some(Self {
            weather: if is_long { Weather::Fair } else { weather },
            ring: dice.pick(&[2, 6, 24, 512], 512),
            turns: dice.pick(&[3, 15, 40, 80], 40),
            write_every_ms: dice.pick(&[1, 100, 5_000], 100),
            sync_every_ms: dice.pick(&[1, 1_000, 20_000], 1_000),
            max_age_ms: dice.pick(&[AGES, AGES, 30 * SECOND], AGES),
            max_bytes: if is_long { 2 << 20 } else { ROOM },
            privacy: dice.pick(&[Privacy::Reduced, Privacy::Plain], Privacy::Reduced),
            is_calm: dice.percent(50),
        })
    }

    /// Whether nothing of the trail is removed since it is too old, or there is too much of it.
    pub(crate) fn keeps_all(&self) -> bool {
        self.max_age_ms == AGES && self.max_bytes == ROOM
    }

    fn settings(self) -> Audit {
        Audit::new()
            .privacy(self.privacy)
            .max_bytes(self.max_bytes)
            .max_age(Duration::from_millis(self.max_age_ms))
            .write_every(Duration::from_millis(self.write_every_ms))
            .sync_every(Duration::from_millis(self.sync_every_ms))
            .max_pending(self.ring)
    }
}
