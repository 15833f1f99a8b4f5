//! How good a client's keys are: what they look like, how much chance is in them at most, and how
//! likely two of them are to be equal.
//!
//! What is nominal is from the formats' definitions (RFC 9562 for UUIDs, the ULID specification);
//! what contradicts it is measured. It can be shown that keys are bad, not that they are good.

use std::collections::BTreeMap;

use serde::Serialize;

use super::keys::Keys;

/// Fewer keys say nothing.
const ENOUGH: u64 = 30;
/// Keys with less chance in them than this can be guessed, or meet within days.
const BAD_BITS: f64 = 40.0;
const WEAK_BITS: f64 = 64.0;
/// Two of a year's keys are equal with no more than this chance.
const WEAK_CHANCE: f64 = 1e-6;
const YEAR_MS: f64 = 365.25 * 86_400_000.0;

/// How good keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Grade {
    /// Too few keys were seen.
    Unknown,
    /// Nothing speaks against them.
    Good,
    /// They may meet, or be guessed.
    Weak,
    /// They will.
    Bad,
}

/// What is said of a client's keys.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct KeyQuality {
    /// How many were looked at.
    pub keys: u64,
    /// How good they are.
    pub grade: Grade,
    /// Why: `sequential`, `timestamp`, `shared_prefix`, `repeated`, `biased_bits`, `short`,
    /// `mixed_formats`.
    pub findings: Vec<&'static str>,
    /// How many of each format.
    pub formats: BTreeMap<String, u64>,
    /// The shortest key's length.
    pub shortest: Option<u16>,
    /// The longest key's length.
    pub longest: Option<u16>,
    /// About how many different beginnings (eight bytes; of decimal keys all of it).
    pub beginnings: u64,
    /// Bits of chance in a key, at most.
    pub entropy_bits: Option<f64>,
    /// The chance that two of the keys that were seen were equal.
    pub collision_chance: Option<f64>,
    /// The same of the keys of a year at this rate.
    pub collision_chance_year: Option<f64>,
}

/// What is being found out.
struct Look<'k> {
    keys: &'k Keys,
    format: &'k str,
    len: u16,
    window_ms: u64,
    findings: Vec<&'static str>,
}

impl KeyQuality {
    /// Of keys that came within this time.
    pub(super) fn new(keys: &Keys, window_ms: u64) -> Self {
        let most = |counts: &BTreeMap<u16, u64>| {
            let common = counts.iter().max_by_key(|(len, count)| (**count, **len));
            common.map_or(0, |(len, _)| *len)
        };
        let common = keys.formats.iter().max_by_key(|(_, count)| **count);
        let (format, count) = common.map_or(("", 0), |(name, count)| (name.as_str(), *count));
        let len = most(&keys.lengths);
        let mut look = Look { keys, format, len, window_ms, findings: Vec::new() };
        let bits = (keys.count >= ENOUGH).then(|| look.bits().max(0.0));
        // Decimal and hexadecimal keys may be both by chance; other mixtures are two programs.
        if keys.count >= ENOUGH && count * 10 < keys.count * 9 {
            look.findings.push("mixed_formats");
        }
        let year = keys.count as f64 * YEAR_MS / window_ms.max(1) as f64;
        let year = if window_ms < 3_600_000 { keys.count as f64 } else { year };
        let chance_year = bits.map(|bits| collision_chance(year.max(keys.count as f64), bits));
        let findings = look.findings;
        Self {
            keys: keys.count,
            grade: grade(bits, chance_year),
            findings,
            formats: keys.formats.clone(),
            shortest: keys.shortest,
            longest: keys.longest,
            beginnings: keys.beginnings.estimate(),
            entropy_bits: bits,
            collision_chance: bits.map(|bits| collision_chance(keys.count as f64, bits)),
            collision_chance_year: chance_year,
        }
    }
}

fn grade(bits: Option<f64>, chance_year: Option<f64>) -> Grade {
    match (bits, chance_year) {
        (None, _) => Grade::Unknown,
        (Some(bits), _) if bits < BAD_BITS => Grade::Bad,
        (Some(bits), Some(chance)) if bits < WEAK_BITS || chance > WEAK_CHANCE => Grade::Weak,
        _ => Grade::Good,
    }
}

/// The birthday bound: that two of so many keys are equal, each of 2^bits equally likely ones.
pub(super) fn collision_chance(keys: f64, bits: f64) -> f64 {
    -(-keys * (keys - 1.0).max(0.0) / 2.0 / bits.exp2()).exp_m1()
}

impl Look<'_> {
    /// Bits of chance in a key, at most.
    fn bits(&mut self) -> f64 {
        if self.is_timed() {
            return self.timed_bits();
        }
        if self.is_sequential() {
            self.findings.push("sequential");
            return 0.0;
        }
        let len = f64::from(self.len);
        let (whole, head) = match self.format {
            "uuid_v4" => (122.0, 32.0),
            // The rest of the 48 bits of time is no chance (RFC 9562, section 5.7).
            "uuid_v7" => return 74.0,
            "ulid" => return 80.0,
            // Of time or of names: what is in its first half is all that is known.
            "uuid_other" => (62.0, 32.0),
            "decimal" => (len * 10_f64.log2(), len * 10_f64.log2()),
            "hexadecimal" => (len * 4.0, len.min(8.0) * 4.0),
            "base64" => (len * 6.0, len.min(8.0) * 6.0),
            _ => (len * 95_f64.log2(), len.min(8.0) * 95_f64.log2()),
        };
        let mut bits = whole;
        if let Some(alike) = self.keys.alike() {
            let measured = -alike.log2();
            // Keys that are known as a whole, or are long and begin alike.
            let is_whole = self.format == "decimal" || self.len <= 8;
            let slack = if is_whole { 1.0 } else { 4.0 };
            if measured + slack < head {
                self.findings.push(if is_whole { "repeated" } else { "shared_prefix" });
                bits = bits - head + measured;
            }
        }
        if let Some(value_bits) = self.keys.value_bits()
            && value_bits < 28.0
            && !self.findings.contains(&"shared_prefix")
        {
            self.findings.push("biased_bits");
            bits *= value_bits / 32.0;
        }
        if bits < BAD_BITS && self.findings.is_empty() {
            self.findings.push("short");
        }
        bits
    }

    fn is_timed(&self) -> bool {
        let keys = self.keys;
        matches!(self.format, "decimal" | "hexadecimal")
            && keys.valued >= ENOUGH
            && keys.timed * 10 >= keys.valued * 9
    }

    /// A key that holds the time differs from others by when it came, and by what follows.
    fn timed_bits(&mut self) -> f64 {
        let per_second: f64 = match (self.format, self.len) {
            ("decimal", 13) => 1e3,
            ("decimal", 16) => 1e6,
            ("decimal", 19) => 1e9,
            _ => 1.0,
        };
        self.findings.push("timestamp");
        let rest =
            if self.format == "hexadecimal" { f64::from(self.len.max(8) - 8) * 4.0 } else { 0.0 };
        let moments = self.window_ms as f64 / 1000.0 * per_second;
        rest + moments.max(1.0).log2()
    }

    fn is_sequential(&self) -> bool {
        let steps = self.keys.steps;
        if steps.all < ENOUGH || matches!(self.format, "uuid_v7" | "ulid") {
            return false;
        }
        // Of few possible values, neighbours are no wonder.
        let values = if self.format == "decimal" { 10_f64.powi(i32::from(self.len)) } else { 4e9 };
        let near_by_chance = 2000.0 / values > 0.05;
        let mostly = |count: u64| count * 2 > steps.all;
        mostly(steps.by_one)
            || (!near_by_chance && mostly(steps.near) && steps.up * 10 > steps.all * 6)
    }
}
