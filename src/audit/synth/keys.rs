//! The shapes of keys: good generators and bad ones.

use super::dice::Dice;
use crate::audit::{KeyFormat, KeyShape};

/// How a client makes its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generator {
    Uuid4,
    Uuid7,
    Ulid,
    /// Counts up.
    Counter,
    /// The time in milliseconds.
    Timestamp,
    /// The first eight hexadecimal digits of something random.
    Truncated,
    /// A word, and random digits.
    Prefixed,
}

/// The shape of a key that somebody makes at a moment.
pub(super) fn shape(sender: u64, now_ms: u64, number: u64, dice: &mut Dice) -> KeyShape {
    let generator = Dice::new(sender ^ 0x6b65_7973).pick(&[
        (55.0, Generator::Uuid4),
        (12.0, Generator::Uuid7),
        (8.0, Generator::Ulid),
        (6.0, Generator::Counter),
        (6.0, Generator::Timestamp),
        (5.0, Generator::Truncated),
        (8.0, Generator::Prefixed),
    ]);
    let random = dice.bits();
    let (format, len, head) = match generator.unwrap_or(Generator::Uuid4) {
        Generator::Uuid4 => (KeyFormat::UuidV4, 36, random),
        Generator::Uuid7 => (KeyFormat::UuidV7, 36, now_ms << 16),
        Generator::Ulid => (KeyFormat::Ulid, 26, now_ms << 22),
        Generator::Counter => (KeyFormat::Decimal, 7, 1_000_000 + number),
        Generator::Timestamp => (KeyFormat::Decimal, 13, now_ms),
        Generator::Truncated => (KeyFormat::Hexadecimal, 8, random & 0xFFFF_FFFF_0000_0000),
        Generator::Prefixed => (KeyFormat::Base64, 22, sender),
    };
    let value = match format {
        KeyFormat::Decimal => head,
        KeyFormat::Base64 => 0,
        _ => head >> 32,
    };
    // A decimal key's first eight digits change with its number's upper digits.
    let beginning = if len == 13 { head / 100_000 } else { head };
    KeyShape { format, len, prefix: Dice::new(beginning).bits() as u32, value }
}
