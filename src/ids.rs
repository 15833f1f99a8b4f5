//! Numbers that must not be mistaken for one another.
//!
//! Each is a newtype over the integer that goes to disk; none does arithmetic beyond what its
//! meaning allows.

use std::fmt;

/// No store counts so far, whatever it counts: a file that says so was forged, and must not bring a
/// counter to its end.
pub(crate) const FURTHEST: u64 = 1 << 63;

/// A fencing token: rises with each claim in a store, across restarts, and is never given twice.
///
/// It is also the store's sequence number: batches and tombstones draw from the same counter, so
/// tokens have gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub(crate) u64);

impl Token {
    /// The token of a number that a [`Backend`](crate::backend::Backend) gave out.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, for a system that is fenced by it.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment of store time: milliseconds since the Unix epoch, on a clock that never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreTime(pub(crate) u64);

impl StoreTime {
    /// The moment so many milliseconds after the Unix epoch, by the clock of a
    /// [`Backend`](crate::backend::Backend).
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This moment and `ms` more; at the end of time it stays there.
    pub(crate) const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment, zero if it is later.
    pub(crate) const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Tells one life of a segment file from another: drawn anew whenever a segment is created or
/// recycled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Nonce(pub(crate) u64);

/// Numbers segments in the order of their making; never used twice in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SegmentId(pub(crate) u64);

/// Which segment file: small, and used again when a segment is recycled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(pub(crate) u32);

impl Slot {
    /// The names of files have five digits for it.
    pub(crate) const COUNT: u32 = 100_000;

    /// The name of the file of this slot.
    pub(crate) fn file_name(self) -> String {
        format!("segment-{:05}", self.0)
    }

    /// The slot of a file name, if it is one.
    pub(crate) fn from_file_name(name: &str) -> Option<Self> {
        let digits = name.strip_prefix("segment-")?;
        let named = digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
        named.then(|| digits.parse().ok()).flatten().map(Self)
    }
}

/// The 64-bit keyed hash of a scope and a key. Two keys may share it: it never stands for a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyHash(pub(crate) u64);

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({self})")
    }
}

/// The random identity of a store, made when it is created.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub(crate) [u8; 16]);

impl StoreId {
    /// Reads the 32 hexadecimal digits that [`Display`](fmt::Display) writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        if text.len() != 32 || !text.is_ascii() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreId({self})")
    }
}
