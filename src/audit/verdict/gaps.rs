//! Which backoffs a gap is consistent with.
//!
//! A gap is from one arrival to the next, so it holds the wait, the time until the client gave up,
//! and two ways through the network; a policy is never proved by it, only not contradicted. One gap
//! is often consistent with several policies, and all of them are named.

use super::reason::{Reason, Reasons};
use super::rules::Rules;

/// A gap that is not remembered.
pub(super) const UNKNOWN_MS: u32 = u32::MAX;

/// A fixed wait differs by this from one time to the next: a twentieth, and what the network adds.
const FIXED_PART: u64 = 20;
const FIXED_MS: u64 = 60;

/// Whether a gap is the one before times a factor: from 1.3 (Google's) to 3 (Sidekiq's), with a
/// fifth of jitter.
pub(super) fn is_growth(gap_ms: u64, before_ms: u32) -> bool {
    let before_ms = u64::from(before_ms);
    let grown_ms = gap_ms.saturating_mul(10);
    before_ms != u64::from(UNKNOWN_MS) && grown_ms >= before_ms * 12 && grown_ms <= before_ms * 36
}

/// Names what a gap is consistent with, given the one before it.
pub(super) fn add_reasons(gap: Option<u64>, before: u32, rules: &Rules, reasons: &mut Reasons) {
    let Some(gap_ms) = gap else {
        *reasons = reasons.with(Reason::GapUnknown);
        return;
    };
    if gap_ms <= rules.immediate_ms {
        *reasons = reasons.with(Reason::GapImmediate);
        return;
    }
    if gap_ms > rules.backoff_ms {
        *reasons = reasons.with(Reason::GapLong);
        return;
    }
    if before == UNKNOWN_MS || u64::from(before) <= rules.immediate_ms {
        *reasons = reasons.with(Reason::GapShort);
        return;
    }
    let before_ms = u64::from(before);
    let slack_ms = before_ms / FIXED_PART + FIXED_MS;
    let fixed = gap_ms.abs_diff(before_ms) <= slack_ms;
    let decorrelated = gap_ms <= before_ms.saturating_mul(3) + slack_ms;
    reasons.add_if(fixed, Reason::GapFixed);
    reasons.add_if(is_growth(gap_ms, before), Reason::GapExponential);
    reasons.add_if(decorrelated, Reason::GapDecorrelated);
    // Full jitter draws from zero to a limit that doubles: it contradicts no gap up to the cap.
    reasons.add_if(!fixed, Reason::GapFullJitter);
}
