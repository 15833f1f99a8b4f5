//! Which segments compaction moves, as a function of what is known of each.
//!
//! Waiting makes a move cheaper, as more expires, and costs only room. So nothing moves while what
//! is dead stays within a budget, and what is about to expire anyway is waited for: then nearly
//! every survivor moves once in its life. Over the budget, those go first that give back the most,
//! for the longest time, for the fewest bytes moved; they move together with others of like expiry,
//! as many as fill their outputs.
//!
//! Nothing is pinned: what has been mostly dead for a day moves also within the budget, as soon as
//! two segments can become one.

use crate::ids::StoreTime;

/// At most this share of a segment may be alive for it to be worth moving, in percent.
const ALIVE_PERCENT: u64 = 60;
/// The same where somebody asks for it, or room is short.
const HURRIED_ALIVE_PERCENT: u64 = 75;
/// What may be dead before anything moves: a share of all segments, in percent, and so many
/// segments at least.
const BUDGET_PERCENT: u64 = 2;
const BUDGET_SEGMENTS: u64 = 3;
/// What halves within this share of the time in which the store turns over is waited for.
const PATIENCE_SHARE: u64 = 50;
/// What has been mostly dead for so long moves also within the budget.
const PATIENCE_MS: u64 = 24 * 3_600_000;
/// How full outputs are planned, in percent: what is alive is an estimate.
const FILL_PERCENT: u64 = 95;
/// Outputs at a time, which bounds the memory that their records' places take.
const MAX_OUTPUTS: u64 = 2;
/// Inputs at a time.
const MAX_INPUTS: usize = 64;
/// What a byte that is moved counts, against a byte that is given back, in percent.
const MOVE_COST_PERCENT: u64 = 50;
/// How full the last of several outputs must be.
const LEAST_FILL_PERCENT: u64 = 75;
/// A single output is full from here on.
const FULL_PERCENT: u64 = 85;
/// Up to here it is begun, and a later move fills it up. What is in between would be too full to
/// move again, and never be full: that waits until it is one of the two, or what is dead comes to
/// so many times the budget.
const BEGUN_PERCENT: u64 = 45;
const MOST_BUDGETS: u64 = 2;
/// From here on, so many times the budget, it must be quick.
const PRESSED_BUDGETS: u64 = 3;
/// How many are tried as the first of a group.
const MAX_SEEDS: usize = 64;

/// What is known of a sealed segment that has not wholly expired.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    /// Bytes that would have to be moved.
    pub(crate) alive: u64,
    /// When half of them have expired.
    pub(crate) halves_at: StoreTime,
    /// Since when it has been mostly dead, or when it will be.
    pub(crate) dead_since: StoreTime,
}

/// The store around them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions {
    pub(crate) now: StoreTime,
    pub(crate) segment_bytes: u64,
    /// All segments there are.
    pub(crate) segments: u64,
    /// How long it takes to write as many segments as there are.
    pub(crate) turnover_ms: u64,
    /// Whether somebody asks for it, or room is short: then nothing is waited for.
    pub(crate) hurried: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The candidates to move, by their numbers, in their order.
    pub(crate) inputs: Vec<usize>,
    /// Whether so much is dead that it must be quick.
    pub(crate) pressed: bool,
}

/// Candidates that are worth moving together, if any are worth moving now.
pub(crate) fn choose(candidates: &[Candidate], store: &Conditions) -> Option<Choice> {
    let limit = match store.hurried {
        true => HURRIED_ALIVE_PERCENT,
        false => ALIVE_PERCENT,
    };
    let limit = store.segment_bytes * limit / 100;
    let patience_ms = if store.hurried { 0 } else { store.turnover_ms / PATIENCE_SHARE };
    let waits = |candidate: &Candidate| candidate.halves_at.ms_since(store.now) < patience_ms;
    let mut sparse: Vec<usize> = (0..candidates.len())
        .filter(|at| candidates.get(*at).is_some_and(|one| one.alive <= limit && !waits(one)))
        .collect();
    let of = |at: &usize| candidates.get(*at).copied();
    let debt: u64 = sparse.iter().filter_map(of).map(|one| store.segment_bytes - one.alive).sum();
    let budget = store.segment_bytes * BUDGET_SEGMENTS.max(store.segments * BUDGET_PERCENT / 100);
    // What nobody waits for any more.
    let long_dead = |one: Candidate| one.dead_since.plus_ms(PATIENCE_MS) <= store.now;
    if debt < budget && !store.hurried {
        sparse.retain(|at| of(at).is_some_and(long_dead));
    }
    let may_wait = debt < MOST_BUDGETS * budget
        && !store.hurried
        && !sparse.iter().filter_map(of).any(long_dead);
    let fills = if may_wait { Fills::Well } else { Fills::Anyhow };
    sparse.sort_by_key(|at| of(at).map(|one| one.alive));
    let mut seeds = sparse.clone();
    seeds.sort_by_key(|at| std::cmp::Reverse(of(at).map(|one| worth(&one, store))));
    let group = seeds.iter().take(MAX_SEEDS).filter_map(of).find_map(|seed| {
        let like =
            sparse.iter().copied().filter(|at| of(at).is_some_and(|one| like(&one, &seed, store)));
        group(like.collect(), candidates, store, fills)
    });
    let mixed = || group_of_any(&sparse, candidates, store);
    let inputs = group.or_else(mixed)?;
    Some(Choice { inputs, pressed: store.hurried || debt > PRESSED_BUDGETS * budget })
}

/// Bytes given back, times the time until they would be by themselves, a byte moved.
fn worth(one: &Candidate, store: &Conditions) -> u128 {
    let dead = u128::from(store.segment_bytes.saturating_sub(one.alive));
    dead * u128::from(one.halves_at.ms_since(store.now)) / u128::from(one.alive + 1)
}

/// Whether two go on living for about as long.
fn like(one: &Candidate, other: &Candidate, store: &Conditions) -> bool {
    let (one, other) = (one.halves_at.ms_since(store.now), other.halves_at.ms_since(store.now));
    one.max(other) / 2 <= one.min(other)
}

/// Whatever their expiry, where room counts more than what is moved again.
fn group_of_any(sparse: &[usize], all: &[Candidate], store: &Conditions) -> Option<Vec<usize>> {
    store.hurried.then(|| group(sparse.to_vec(), all, store, Fills::Anyhow)).flatten()
}

/// How full the output of a move must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fills {
    /// So full that it is not moved again, or so little that a later move fills it up.
    Well,
    Anyhow,
}

/// So many of the first of `sorted` as give back the most for what they cost; `None` if that is
/// nothing, or if waiting makes a better output of them.
fn group(
    sorted: Vec<usize>,
    all: &[Candidate],
    store: &Conditions,
    must: Fills,
) -> Option<Vec<usize>> {
    let capacity = store.segment_bytes * FILL_PERCENT / 100;
    let (mut alive, mut best, mut count, mut filled) = (0, 0, 0, 0);
    for (before, at) in sorted.iter().take(MAX_INPUTS).enumerate() {
        alive += all.get(*at).map_or(0, |one| one.alive);
        let outputs = alive.div_ceil(capacity);
        if outputs > MAX_OUTPUTS {
            break;
        }
        let inputs = before as u64 + 1;
        let freed = inputs.saturating_sub(outputs) * store.segment_bytes;
        let profit = freed.saturating_sub(alive * MOVE_COST_PERCENT / 100);
        // What little would begin another output fills one better next time.
        let last = alive - outputs.saturating_sub(1) * capacity;
        let fills = outputs <= 1 || last * 100 >= capacity * LEAST_FILL_PERCENT;
        if profit > best && fills {
            (best, count, filled) = (profit, before + 1, alive);
        }
    }
    let awkward = capacity * BEGUN_PERCENT / 100 + 1..capacity * FULL_PERCENT / 100;
    if must == Fills::Well && awkward.contains(&filled) {
        return None;
    }
    let mut group = sorted;
    group.truncate(count);
    group.sort_unstable();
    (count > 0).then_some(group)
}

#[cfg(test)]
mod tests;
