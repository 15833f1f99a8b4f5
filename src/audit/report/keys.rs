//! What a client's keys look like, and how much chance is in them.
//!
//! Everything here adds up exactly, but for the steps from one key to the next: of two parts of a
//! trail, the step from the last key of one to the first of the other is not seen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::distinct::Distinct;
use crate::audit::{Event, KeyFormat, KeyShape};

/// Cells that beginnings of keys fall into by their hash.
const CELLS: usize = 256;
/// Lengths that are told apart.
const LENGTHS: usize = 16;
/// A step up to this long is to a neighbour.
const NEAR: u64 = 1000;
/// A key that holds the present time is off by no more.
const DAY_MS: u64 = 86_400_000;

/// What is seen of a client's keys; one is looked at where it is first claimed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Keys {
    pub(super) count: u64,
    pub(super) formats: BTreeMap<String, u64>,
    /// How many of each length, of the lengths that came first.
    pub(super) lengths: BTreeMap<u16, u64>,
    pub(super) other_lengths: u64,
    pub(super) shortest: Option<u16>,
    pub(super) longest: Option<u16>,
    /// How many beginnings fell into each cell.
    cells: Vec<u64>,
    /// How often each bit of a value was set, of values that are digits of base 16.
    bits: Vec<u64>,
    bit_values: u64,
    pub(super) beginnings: Distinct<10>,
    pub(super) steps: Steps,
    /// Values that hold the time at which they came.
    pub(super) timed: u64,
    pub(super) valued: u64,
    #[serde(skip)]
    last_value: Option<u64>,
}

/// From one key's value to the next one's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    pub(super) all: u64,
    pub(super) by_one: u64,
    pub(super) near: u64,
    pub(super) up: u64,
}

/// The stable name of a format.
#[must_use]
pub fn format_name(format: KeyFormat) -> &'static str {
    match format {
        KeyFormat::UuidV4 => "uuid_v4",
        KeyFormat::UuidV7 => "uuid_v7",
        KeyFormat::UuidOther => "uuid_other",
        KeyFormat::Ulid => "ulid",
        KeyFormat::Decimal => "decimal",
        KeyFormat::Hexadecimal => "hexadecimal",
        KeyFormat::Base64 => "base64",
        KeyFormat::Other => "other",
    }
}

impl Keys {
    /// Looks at a key that was claimed for the first time.
    pub fn observe(&mut self, event: &Event, shape: &KeyShape) {
        self.count += 1;
        let format = format_name(shape.format);
        match self.formats.get_mut(format) {
            Some(count) => *count += 1,
            None => drop(self.formats.insert(format.to_owned(), 1)),
        }
        self.see_length(shape.len, 1);
        self.shortest = Some(self.shortest.map_or(shape.len, |len| len.min(shape.len)));
        self.longest = Some(self.longest.map_or(shape.len, |len| len.max(shape.len)));
        // Of a decimal key all of it is known; of others the first eight bytes.
        let head = match shape.format {
            KeyFormat::Decimal => spread_out(shape.value),
            _ => u64::from(shape.prefix),
        };
        if self.cells.is_empty() {
            self.cells = vec![0; CELLS];
        }
        if let Some(cell) = self.cells.get_mut(head as usize % CELLS) {
            *cell += 1;
        }
        self.beginnings.insert(head);
        self.see_value(event.at.as_millis(), shape);
    }

    fn see_length(&mut self, len: u16, count: u64) {
        if self.lengths.len() < LENGTHS || self.lengths.contains_key(&len) {
            *self.lengths.entry(len).or_default() += count;
        } else {
            self.other_lengths += count;
        }
    }

    fn see_value(&mut self, now_ms: u64, shape: &KeyShape) {
        let has_value = match shape.format {
            KeyFormat::Base64 | KeyFormat::Other => false,
            KeyFormat::Decimal => shape.len <= 19,
            _ => true,
        };
        if !has_value {
            return;
        }
        self.valued += 1;
        self.timed += u64::from(holds_the_time(now_ms, shape));
        if matches!(shape.format, KeyFormat::UuidV4 | KeyFormat::Hexadecimal) && shape.len >= 8 {
            self.bit_values += 1;
            if self.bits.is_empty() {
                self.bits = vec![0; 32];
            }
            for (place, count) in self.bits.iter_mut().enumerate() {
                *count += shape.value >> place & 1;
            }
        }
        if let Some(last) = self.last_value.replace(shape.value) {
            self.steps.all += 1;
            self.steps.by_one += u64::from(shape.value == last.wrapping_add(1));
            self.steps.near += u64::from(shape.value.abs_diff(last) <= NEAR);
            self.steps.up += u64::from(shape.value > last);
        }
    }

    /// Adds another's keys.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        for (format, count) in &other.formats {
            *self.formats.entry(format.clone()).or_default() += count;
        }
        other.lengths.iter().for_each(|(len, count)| self.see_length(*len, *count));
        self.other_lengths += other.other_lengths;
        self.shortest = self.shortest.into_iter().chain(other.shortest).min();
        self.longest = self.longest.max(other.longest);
        add(&mut self.cells, &other.cells);
        add(&mut self.bits, &other.bits);
        self.bit_values += other.bit_values;
        self.beginnings.merge(&other.beginnings);
        self.steps.all += other.steps.all;
        self.steps.by_one += other.steps.by_one;
        self.steps.near += other.steps.near;
        self.steps.up += other.steps.up;
        self.timed += other.timed;
        self.valued += other.valued;
        self.last_value = None;
    }

    /// The chance that two keys begin alike (the sum of the squares of the beginnings' shares), if
    /// it is above what the cells and this many keys can tell from none.
    pub(super) fn alike(&self) -> Option<f64> {
        let count = self.count as f64;
        if self.count < 30 {
            return None;
        }
        let pairs: f64 = self.cells.iter().map(|cell| *cell as f64 * (*cell as f64 - 1.0)).sum();
        let cells = CELLS as f64;
        let by_chance = 1.0 / cells;
        let alike = (pairs / (count * (count - 1.0)) - by_chance) / (1.0 - by_chance);
        // Four standard deviations of what beginnings that are all different give.
        let noise = 4.0 * (2.0 / cells).sqrt() / count;
        (alike > noise).then_some(alike)
    }

    /// How many bits the 32 bits of a value are worth at most, by how often each is set.
    pub(super) fn value_bits(&self) -> Option<f64> {
        if self.bit_values < 30 {
            return None;
        }
        let values = self.bit_values as f64;
        let entropy = |set: &u64| {
            let share = *set as f64 / values;
            let part = |p: f64| if p > 0.0 { -p * p.log2() } else { 0.0 };
            part(share) + part(1.0 - share)
        };
        Some(self.bits.iter().map(entropy).sum())
    }
}

fn add(to: &mut Vec<u64>, counts: &[u64]) {
    if to.len() < counts.len() {
        to.resize(counts.len().min(CELLS), 0);
    }
    to.iter_mut().zip(counts).for_each(|(to, count)| *to += count);
}

fn spread_out(value: u64) -> u64 {
    let mixed = value.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ mixed >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 32
}

/// Whether a value is the time at which it came, give or take a day.
fn holds_the_time(now_ms: u64, shape: &KeyShape) -> bool {
    let is_now = |value_ms: u64| value_ms.abs_diff(now_ms) <= DAY_MS;
    let value = shape.value;
    match shape.format {
        KeyFormat::Decimal => match shape.len {
            10 => is_now(value.saturating_mul(1000)),
            13 => is_now(value),
            16 => is_now(value / 1000),
            19 => is_now(value / 1_000_000),
            _ => false,
        },
        // The first 32 of 48 bits of milliseconds (RFC 9562); 40 of the 50 that ten digits hold.
        KeyFormat::UuidV7 => is_now(value << 16),
        KeyFormat::Ulid => is_now(value << 10),
        KeyFormat::Hexadecimal => is_now(value.saturating_mul(1000)),
        _ => false,
    }
}
