//! An audit event: one decision of the store, as the trail keeps it.
//!
//! An event is plain data of a fixed size. Texts (scopes, operations, clients, agents) are
//! [`Label`]s: keyed hashes, whose names the trail keeps once beside its events where they may be
//! kept at all. It carries no key, no payload and no response.
//!
//! Left to others: what makes events (the engine), how they are stored (the trail), and what they
//! mean (verdicts, reports).

use std::fmt;
use std::num::NonZeroU64;

use crate::ids::{StoreTime, Token};
use crate::types::Difference;

/// 64 bits that stand for a text: equal texts of one store have equal labels, if they are of one
/// kind (two scopes, two clients). They are a keyed hash, but of a network, which they name.
///
/// The trail knows the name behind a label if it was allowed to keep it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(NonZeroU64);

impl Label {
    /// The label of a hash that was computed elsewhere; a hash of zero counts as one.
    #[must_use]
    pub const fn new(hash: u64) -> Self {
        match NonZeroU64::new(hash) {
            Some(hash) => Self(hash),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// The hash.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// 16 bits of it, and never zero: its mark. What only the mark is known of is a label of the
    /// mark, which has the same.
    pub(crate) const fn mark(self) -> u16 {
        let hash = self.get();
        let mark = if hash >> 16 == 0 { hash } else { hash.wrapping_mul(SPREAD) >> 48 };
        if mark == 0 { 1 } else { mark as u16 }
    }
}

/// 2^64 divided by the golden ratio: multiplied by it, all bits of a number reach the upper ones.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.get())
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Label({self})")
    }
}

/// Which event: the life of the store that it belongs to, and its number in it.
///
/// Sequences are dense: a number that is missing is an event that was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct EventId {
    /// Numbers the openings of a store: it rises with each, and a copied store goes on with others.
    pub boot: u64,
    /// From 0, without gaps.
    pub sequence: u64,
}

impl EventId {
    /// The id with these parts.
    #[must_use]
    pub const fn new(boot: u64, sequence: u64) -> Self {
        Self { boot, sequence }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.boot, self.sequence)
    }
}

/// What the store decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A key that nobody held was claimed.
    Claimed,
    /// A claim whose lease was over, or whose owner had died, went to another.
    TakenOver,
    /// A key was claimed whose record had expired; the age is counted from its expiry.
    LateRetry,
    /// The same, where late retries are refused.
    Expired,
    /// A claim was completed; the duration is that of the claim.
    Completed,
    /// A completed record was replayed.
    Replayed,
    /// A claim met another's claim in flight.
    InFlight,
    /// Somebody waited for another's claim and was answered; the duration is the wait.
    Waited,
    /// A claim had another fingerprint than the record, or the claim in flight.
    Mismatch,
    /// A claim met an attempt whose effect is unknown.
    MetUnresolved,
    /// An attempt was left with its effect unknown.
    LeftUnresolved,
    /// An unresolved attempt was settled.
    Resolved,
    /// A claim was given back: the key is free.
    Released,
    /// A holder let go without an end, and its lease runs on.
    Dropped,
    /// A holder whose claim was over was refused.
    StaleHolder,
    /// A record was forgotten before its time.
    Forgotten,
    /// A claim was refused for a limit.
    Limited,
    /// The clock stepped or leapt; the duration is by how much.
    ClockStep,
    /// The disk failed and the store takes no more changes.
    Poisoned,
    /// The service's guard refused to have a collision answered.
    Refused,
}

impl EventKind {
    /// Every kind, in the order of the codes that the trail stores.
    pub const ALL: [Self; 20] = [
        Self::Claimed,
        Self::TakenOver,
        Self::LateRetry,
        Self::Expired,
        Self::Completed,
        Self::Replayed,
        Self::InFlight,
        Self::Waited,
        Self::Mismatch,
        Self::MetUnresolved,
        Self::LeftUnresolved,
        Self::Resolved,
        Self::Released,
        Self::Dropped,
        Self::StaleHolder,
        Self::Forgotten,
        Self::Limited,
        Self::ClockStep,
        Self::Poisoned,
        Self::Refused,
    ];

    /// Its stable name, as reports and exports write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::TakenOver => "taken_over",
            Self::LateRetry => "late_retry",
            Self::Expired => "expired",
            Self::Completed => "completed",
            Self::Replayed => "replayed",
            Self::InFlight => "in_flight",
            Self::Waited => "waited",
            Self::Mismatch => "mismatch",
            Self::MetUnresolved => "met_unresolved",
            Self::LeftUnresolved => "left_unresolved",
            Self::Resolved => "resolved",
            Self::Released => "released",
            Self::Dropped => "dropped",
            Self::StaleHolder => "stale_holder",
            Self::Forgotten => "forgotten",
            Self::Limited => "limited",
            Self::ClockStep => "clock_step",
            Self::Poisoned => "poisoned",
            Self::Refused => "refused",
        }
    }

    /// Whether a request met an earlier one of the same key: what the classifier judges.
    #[must_use]
    pub const fn is_collision(self) -> bool {
        matches!(
            self,
            Self::TakenOver
                | Self::LateRetry
                | Self::Expired
                | Self::Replayed
                | Self::InFlight
                | Self::Waited
                | Self::Mismatch
                | Self::MetUnresolved
                | Self::StaleHolder
        )
    }
}

impl EventKind {
    /// Whether somebody asked for the key: what gaps are counted between.
    pub(crate) fn is_request(self) -> bool {
        self == Self::Claimed
            || self == Self::Limited
            || (self.is_collision() && !matches!(self, Self::StaleHolder | Self::Waited))
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who made a request, as far as it is known. What is `None` was not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Context {
    /// The client's name.
    pub client: Option<Label>,
    /// The network that the client's address is in: of 24 bits, or 48 of IPv6.
    pub network: Option<Label>,
    /// The client's user agent.
    pub agent: Option<Label>,
    /// The request's id.
    pub request: Option<Label>,
}

/// What is seen of a key without keeping it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct KeyShape {
    /// How it is written.
    pub format: KeyFormat,
    /// Its length in bytes.
    pub len: u16,
    /// A hash of its first eight bytes.
    pub prefix: u32,
    /// A number that rises with keys that are counted or timed: the value of its digits modulo
    /// 2^64 if it is decimal, its first eight digits if it is hexadecimal, a UUID or an ULID; zero
    /// for the rest.
    pub value: u64,
}

/// How a key is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KeyFormat {
    /// A random UUID (version 4).
    UuidV4,
    /// A UUID of time and randomness (version 7).
    UuidV7,
    /// Any other UUID.
    UuidOther,
    /// An ULID: 26 digits of Crockford's base 32.
    Ulid,
    /// Decimal digits alone.
    Decimal,
    /// Hexadecimal digits alone.
    Hexadecimal,
    /// Letters, digits, `-`, `_`, `+`, `/` and `=` alone.
    Base64,
    /// Anything else.
    Other,
}

impl KeyFormat {
    /// Every format, in the order of the codes that the trail stores.
    pub const ALL: [Self; 8] = [
        Self::UuidV4,
        Self::UuidV7,
        Self::UuidOther,
        Self::Ulid,
        Self::Decimal,
        Self::Hexadecimal,
        Self::Base64,
        Self::Other,
    ];

    /// Its stable name, as reports and exports write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UuidV4 => "uuid_v4",
            Self::UuidV7 => "uuid_v7",
            Self::UuidOther => "uuid_other",
            Self::Ulid => "ulid",
            Self::Decimal => "decimal",
            Self::Hexadecimal => "hexadecimal",
            Self::Base64 => "base64",
            Self::Other => "other",
        }
    }
}

/// One decision of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Which event.
    pub id: EventId,
    /// When, in store time.
    pub at: StoreTime,
    /// What was decided.
    pub kind: EventKind,
    /// The keyed hash of scope and key; zero where no key is meant.
    pub key_hash: u64,
    /// Whose key it is.
    pub scope: Option<Label>,
    /// What is being done.
    pub operation: Option<Label>,
    /// The fencing token of the claim that was made, ended, met or replayed. It is unique in a
    /// store: the event that made the claim has the same.
    pub token: Option<Token>,
    /// The attempt of that claim.
    pub attempt: u32,
    /// How old what was met is, in milliseconds: counted from its completion, from its claim if it
    /// is in flight, from its expiry if it is over.
    pub age_ms: Option<u64>,
    /// How long the claim was held, the wait took, or the clock's step was, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Milliseconds since the key was asked for before this, of claims and collisions. No trail has
    /// it: whoever reads knows it, as far back as they remember
    /// ([`Classifier::observe`](super::Classifier::observe)).
    pub gap_ms: Option<u64>,
    /// Which part of the fingerprint differs.
    pub differs: Option<Difference>,
    /// Who asked.
    pub context: Context,
    /// Who made the claim, or the record, that was met; its request's id is not kept.
    pub holder: Option<Context>,
    /// What the key looks like; of the first claim of a key alone.
    pub shape: Option<KeyShape>,
}

impl Event {
    /// An event with nothing but what each has.
    #[must_use]
    pub const fn new(id: EventId, at: StoreTime, kind: EventKind, key_hash: u64) -> Self {
        Self {
            id,
            at,
            kind,
            key_hash,
            scope: None,
            operation: None,
            token: None,
            attempt: 0,
            age_ms: None,
            duration_ms: None,
            gap_ms: None,
            differs: None,
            context: Context { client: None, network: None, agent: None, request: None },
            holder: None,
            shape: None,
        }
    }
}
