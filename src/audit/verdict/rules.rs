//! The thresholds of the classifier.

/// Thresholds and weights; the defaults are those that `docs/verdicts.md` derives and measures.
///
/// ```
/// use oncekey::audit::{Classifier, Rules};
///
/// // Mobile clients here come back after hours, from wherever they are then.
/// let rules = Rules::new().stale_ms(6 * 3_600_000);
/// let classifier = Classifier::new(rules);
/// # let _ = classifier;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rules {
    pub(super) remembered_keys: usize,
    pub(super) race_window_ms: u64,
    pub(super) immediate_ms: u64,
    pub(super) backoff_ms: u64,
    pub(super) fresh_ms: u64,
    pub(super) stale_ms: u64,
    pub(super) slow_ms: u64,
    pub(super) unknown_party_ms: u64,
    pub(super) client_points: u32,
    pub(super) agent_points: u32,
    pub(super) network_points: u32,
    pub(super) aged_points: u32,
    pub(super) stale_points: u32,
    pub(super) answered_points: u32,
    pub(super) suspicious_points: u32,
    pub(super) loop_burst: u32,
    pub(super) loop_period_ms: u64,
    pub(super) loop_tries: u32,
    pub(super) answered_weight: u32,
}

impl Rules {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            remembered_keys: 1 << 17,
            race_window_ms: 800,
            immediate_ms: 150,
            backoff_ms: 180_000,
            fresh_ms: 60_000,
            stale_ms: 600_000,
            slow_ms: 5_000,
            unknown_party_ms: 600_000,
            client_points: 50,
            agent_points: 40,
            network_points: 25,
            aged_points: 10,
            stale_points: 25,
            answered_points: 15,
            suspicious_points: 50,
            loop_burst: 18,
            loop_period_ms: 1000,
            loop_tries: 30,
            answered_weight: 3,
        }
    }

    /// How many keys are remembered, at most 136 bytes each: rounded up to a power of two,
    /// from 64 to 16,777,216; 131,072 unless chosen. The oldest of a group of eight makes room.
    #[must_use]
    pub const fn remembered_keys(mut self, keys: usize) -> Self {
        self.remembered_keys = keys;
        self
    }

    /// How young a claim in flight is when a copy that meets it was sent without waiting for it:
    /// under the shortest timeout of clients; 800 unless chosen.
    #[must_use]
    pub const fn race_window_ms(mut self, ms: u64) -> Self {
        self.race_window_ms = ms;
        self
    }

    /// Up to which gap a request was sent again at once; 150 unless chosen.
    #[must_use]
    pub const fn immediate_ms(mut self, ms: u64) -> Self {
        self.immediate_ms = ms;
        self
    }

    /// Up to which gap a timeout and a backoff together explain it; 180,000 (a timeout of a minute
    /// and the longest cap of the policies looked at) unless chosen.
    #[must_use]
    pub const fn backoff_ms(mut self, ms: u64) -> Self {
        self.backoff_ms = ms;
        self
    }

    /// Up to which time after the last honest try a change of party is a client on the move, or two
    /// of its own parts; 60,000 unless chosen.
    #[must_use]
    pub const fn fresh_ms(mut self, ms: u64) -> Self {
        self.fresh_ms = ms;
        self
    }

    /// From which time after the last honest try another network alone is suspicious; 600,000
    /// unless chosen.
    #[must_use]
    pub const fn stale_ms(mut self, ms: u64) -> Self {
        self.stale_ms = ms;
        self
    }

    /// From which duration of a claim its sender is expected to have given up; 5,000 unless chosen.
    #[must_use]
    pub const fn slow_ms(mut self, ms: u64) -> Self {
        self.slow_ms = ms;
        self
    }

    /// Up to which gap a retry is believed of callers about whom nothing is known; 600,000 unless
    /// chosen. Beyond it the verdict is "unclear".
    #[must_use]
    pub const fn unknown_party_ms(mut self, ms: u64) -> Self {
        self.unknown_party_ms = ms;
        self
    }

    /// The points of another client, another agent and another network; 50, 40 and 25 unless
    /// chosen.
    #[must_use]
    pub const fn party_points(mut self, client: u32, agent: u32, network: u32) -> Self {
        self.client_points = client;
        self.agent_points = agent;
        self.network_points = network;
        self
    }

    /// The points of a last honest try that is no longer fresh, and of one that is stale; 10 and 25
    /// unless chosen.
    #[must_use]
    pub const fn time_points(mut self, aged: u32, stale: u32) -> Self {
        self.aged_points = aged;
        self.stale_points = stale;
        self
    }

    /// The points of another party that was answered already and asks again when its answer is no
    /// longer fresh; 15 unless chosen.
    #[must_use]
    pub const fn answered_points(mut self, points: u32) -> Self {
        self.answered_points = points;
        self
    }

    /// From how many points another party's request is suspicious; 50 unless chosen.
    #[must_use]
    pub const fn suspicious_points(mut self, points: u32) -> Self {
        self.suspicious_points = points;
        self
    }

    /// How many tries may come faster than one in `period_ms`; 18 and 1,000 unless chosen. It is a
    /// leaky bucket: each try adds one, each period takes one away.
    #[must_use]
    pub const fn loop_burst(mut self, tries: u32, period_ms: u64) -> Self {
        self.loop_burst = tries;
        self.loop_period_ms = period_ms;
        self
    }

    /// How much a try adds to the bucket whose answer was replayed: who was answered does not ask
    /// again, unless the answer was lost; 3 unless chosen.
    #[must_use]
    pub const fn answered_weight(mut self, weight: u32) -> Self {
        self.answered_weight = weight;
        self
    }

    /// How many tries a key may have at all; 30 unless chosen.
    #[must_use]
    pub const fn loop_tries(mut self, tries: u32) -> Self {
        self.loop_tries = tries;
        self
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::new()
    }
}
