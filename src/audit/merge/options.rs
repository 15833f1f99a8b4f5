//! What a merge may take, and what it assumes of clocks.

/// How much is kept in memory, for how long something that is missing is waited for, and how far
/// the stores' clocks may be apart.
///
/// ```
/// use oncekey::audit::merge::MergeOptions;
///
/// let options = MergeOptions::new().max_wait_ms(60_000).max_skew_ms(2_000);
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeOptions {
    pub(crate) max_events: usize,
    pub(crate) max_keys: usize,
    pub(crate) max_findings: usize,
    pub(crate) max_gaps: usize,
    pub(crate) max_producers: usize,
    pub(crate) max_wait_ms: u64,
    pub(crate) max_skew_ms: u64,
}

impl Default for MergeOptions {
    fn default() -> Self {
        Self {
            max_events: 1 << 17,
            max_keys: 458_752,
            max_findings: 10_000,
            max_gaps: 10_000,
            max_producers: 1 << 14,
            max_wait_ms: 60_000,
            max_skew_ms: 5_000,
        }
    }
}

impl MergeOptions {
    /// The defaults: under 200 MiB when all of it is used.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many events may wait for others, at about 350 bytes each. One more, and the earliest is
    /// handed on although something before it may still come. Default: 131,072.
    #[must_use]
    pub fn max_events(mut self, events: usize) -> Self {
        self.max_events = events.max(1);
        self
    }

    /// How many keys are remembered to be compared, at about 250 bytes each; the one that was first
    /// claimed longest ago goes first. Default: 458,752, which is what a table of half a million
    /// places holds.
    #[must_use]
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys.max(1);
        self
    }

    /// How many keys with findings are kept; more are counted. Default: 10,000.
    #[must_use]
    pub fn max_findings(mut self, findings: usize) -> Self {
        self.max_findings = findings;
        self
    }

    /// How many gaps of one producer may be open; the first of them is given up for one more: what
    /// comes of it later cannot be told from a duplicate. Default: 10,000.
    #[must_use]
    pub fn max_gaps(mut self, gaps: usize) -> Self {
        self.max_gaps = gaps.max(1);
        self
    }

    /// How many producers (openings of stores) are known; events of more are refused, and counted.
    /// Default: 16,384.
    #[must_use]
    pub fn max_producers(mut self, producers: usize) -> Self {
        self.max_producers = producers.max(1);
        self
    }

    /// How long a producer, or an event that is missing, holds up the stream, in milliseconds of
    /// the time that [`Merge::advance`](super::Merge::advance) is given. Default: a minute.
    #[must_use]
    pub fn max_wait_ms(mut self, wait_ms: u64) -> Self {
        self.max_wait_ms = wait_ms;
        self
    }

    /// How far the clocks of two stores, or of a store and of whoever reads its trail, may be
    /// apart. What happened closer together than that has no order. Default: five seconds.
    #[must_use]
    pub fn max_skew_ms(mut self, skew_ms: u64) -> Self {
        self.max_skew_ms = skew_ms;
        self
    }
}
