//! What the audit keeps, of whom, and for how long.

use std::sync::Arc;
use std::time::Duration;

use super::guard::GuardSettings;
use super::{Event, Judgement, Rules};
use crate::error::{Error, Result};

/// The least that a trail may be bounded to: a few of its smallest segments.
const MIN_BYTES: u64 = 1 << 20;
const MAX_WINDOW: Duration = Duration::from_secs(60);
const MAX_PENDING: usize = 1 << 22;

/// Whether the trail keeps the texts behind its labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Privacy {
    /// Scopes, user agents and ids of requests are kept as keyed hashes alone. Names of clients and
    /// operations are kept, and of an address the network it is in.
    #[default]
    Reduced,
    /// All of these texts are kept; of an address still no more than the network.
    Plain,
}

impl Privacy {
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Reduced => 0,
            Self::Plain => 1,
        }
    }
}

/// How a store keeps its audit trail: a record of every decision, in files beside its own.
///
/// The trail delays and fails no request: what cannot be taken in time is dropped and counted
/// ([`Stats::audit_dropped`](crate::Stats::audit_dropped)).
///
/// ```
/// use std::time::Duration;
/// use oncekey::Options;
/// use oncekey::audit::{Audit, Privacy};
///
/// let audit = Audit::new()
///     .max_bytes(1 << 30)
///     .max_age(Duration::from_secs(90 * 24 * 3600))
///     .privacy(Privacy::Plain);
/// let options = Options::new().audit(audit);
/// # let without = Options::new().audit(Audit::off());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    pub(crate) is_on: bool,
    pub(crate) privacy: Privacy,
    pub(crate) max_bytes: u64,
    pub(crate) max_age: Duration,
    pub(crate) write_every: Duration,
    pub(crate) sync_every: Duration,
    pub(crate) max_pending: usize,
    pub(crate) secret: Option<[u8; 16]>,
    pub(crate) guard: Option<GuardSettings>,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            is_on: true,
            privacy: Privacy::Reduced,
            max_bytes: 64 << 20,
            max_age: Duration::from_secs(30 * 24 * 3600),
            write_every: Duration::from_millis(100),
            sync_every: Duration::from_secs(1),
            max_pending: 1 << 14,
            secret: None,
            guard: None,
        }
    }
}

impl Audit {
    /// A trail of at most 64 MiB and 30 days, without personal data.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No trail.
    #[must_use]
    pub fn off() -> Self {
        Self { is_on: false, ..Self::default() }
    }

    /// Which texts are kept. Default: [`Privacy::Reduced`].
    #[must_use]
    pub fn privacy(mut self, privacy: Privacy) -> Self {
        self.privacy = privacy;
        self
    }

    /// The most bytes of the trail's files; the oldest goes first. At least 1 MiB. Default: 64 MiB.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How long events are kept, to a sixteenth of it. Default: 30 days.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// How long an event may be in memory alone: what the death of the process can take. At most a
    /// minute. Default: 100 ms.
    #[must_use]
    pub fn write_every(mut self, window: Duration) -> Self {
        self.write_every = window;
        self
    }

    /// How long a written event may not be on stable storage: what a power cut can take beyond
    /// that. At most a minute. Default: one second.
    #[must_use]
    pub fn sync_every(mut self, window: Duration) -> Self {
        self.sync_every = window;
        self
    }

    /// How many events may wait for the audit thread, at about 150 bytes of memory each; there may
    /// be room for twice as many. What comes beyond is dropped. Default: 16,384.
    #[must_use]
    pub fn max_pending(mut self, events: usize) -> Self {
        self.max_pending = events;
        self
    }

    /// The secret that keys and texts are hashed with, in place of one of the store's own: stores
    /// with the same secret have the same hashes, so that their trails can be compared.
    #[must_use]
    pub fn secret(mut self, secret: [u8; 16]) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Judges every collision while it is answered, and refuses those for which `refuses` is true:
    /// the call that claims fails with [`Refused`](crate::ErrorKind::Refused). A takeover or a late
    /// retry that is refused is taken back. A guard that panics refuses.
    ///
    /// By default nobody is refused, and judging is left to whoever reads the trail. A guard costs
    /// each event a turn at one lock, and 18 MiB of memory with [`Rules::new`]; it runs where the
    /// claim is answered, so it should be quick. The event has no number yet. What it knows of
    /// earlier tries begins with the opening of the store.
    ///
    /// ```
    /// use oncekey::Options;
    /// use oncekey::audit::{Audit, Rules, Verdict};
    ///
    /// let audit = Audit::new().guard(Rules::new(), |_, judgement| {
    ///     judgement.verdict == Verdict::SuspiciousReplay && judgement.score >= 75
    /// });
    /// let options = Options::new().audit(audit);
    /// ```
    #[must_use]
    pub fn guard(
        mut self,
        rules: Rules,
        refuses: impl Fn(&Event, &Judgement) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.guard = Some(GuardSettings { rules, refuses: Arc::new(refuses) });
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        if self.max_bytes < MIN_BYTES {
            return Err(Error::invalid(format!(
                "an audit trail of {} bytes: it needs {MIN_BYTES} (1 MiB) at least; Audit::off() \
                 keeps none",
                self.max_bytes
            )));
        }
        if self.max_age.is_zero() {
            return Err(Error::invalid("the age of the audit trail is zero"));
        }
        for window in [self.write_every, self.sync_every] {
            if window.is_zero() || window > MAX_WINDOW {
                return Err(Error::invalid(format!(
                    "a window of the audit trail of {} ms: it must be from 1 ms to a minute",
                    window.as_millis()
                )));
            }
        }
        if self.max_pending == 0 || self.max_pending > MAX_PENDING {
            return Err(Error::invalid(format!(
                "{} pending events of the audit: it must be from 1 to {MAX_PENDING}",
                self.max_pending
            )));
        }
        Ok(())
    }
}
