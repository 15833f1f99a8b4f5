//! What is chosen on synthetic histograms, and what never is.

use proptest::prelude::*;

use super::*;

const MB: u64 = 1 << 20;
const SIZE: u64 = 16 * MB;
const HOUR: u64 = 3_600_000;
const NOW: StoreTime = StoreTime(1000 * HOUR);

fn one(alive_percent: u64, halves_in_ms: u64, dead_for_ms: u64) -> Candidate {
    Candidate {
        alive: SIZE * alive_percent / 100,
        halves_at: NOW.plus_ms(halves_in_ms),
        dead_since: StoreTime(NOW.0 - dead_for_ms),
    }
}

fn calm(segments: u64) -> Conditions {
    let turnover_ms = 24 * HOUR;
    Conditions { now: NOW, segment_bytes: SIZE, segments, turnover_ms, hurried: false }
}

fn hurried(segments: u64) -> Conditions {
    Conditions { hurried: true, ..calm(segments) }
}

#[test]
fn nothing_moves_within_the_budget() {
    let few = vec![one(10, 100 * HOUR, HOUR); 3];
    assert_eq!(choose(&few, &calm(50)), None);
    assert!(choose(&few, &hurried(50)).is_some());
    let many = vec![one(10, 100 * HOUR, HOUR); 4];
    let choice = choose(&many, &calm(50)).expect("3.6 segments are dead");
    assert_eq!(choice, Choice { inputs: vec![0, 1, 2, 3], pressed: false });
    assert_eq!(choose(&many, &calm(500)), None, "that is little of 500");
}

#[test]
fn an_output_is_filled_and_not_more_than_that() {
    let many = vec![one(10, 100 * HOUR, HOUR); 15];
    let choice = choose(&many, &calm(50)).expect("much is dead");
    assert_eq!(choice.inputs.len(), 9, "nine tenths: a tenth more would begin a second output");
}

#[test]
fn what_is_about_to_expire_is_waited_for() {
    let dying = vec![one(20, HOUR / 4, HOUR); 40];
    assert_eq!(choose(&dying, &calm(50)), None);
    assert!(choose(&dying, &hurried(50)).is_some());
}

#[test]
fn segments_of_unlike_expiry_do_not_move_together() {
    let mut all = vec![one(20, 2 * HOUR, HOUR); 4];
    all.extend(vec![one(20, 150 * HOUR, HOUR); 4]);
    let choice = choose(&all, &calm(50)).expect("much is dead");
    assert_eq!(choice.inputs, vec![4, 5, 6, 7], "those that would last longest");
}

#[test]
fn half_filled_outputs_are_filled_up() {
    let mut all = vec![one(45, 150 * HOUR, 0)];
    all.extend(vec![one(10, 155 * HOUR, HOUR); 4]);
    let choice = choose(&all, &calm(50)).expect("much is dead");
    assert_eq!(choice.inputs, vec![0, 1, 2, 3, 4]);
}

#[test]
fn what_would_neither_be_full_nor_be_moved_again_waits_for_more() {
    let begun = |more: usize, dead_for_ms| {
        let mut all = vec![one(37, 150 * HOUR, 0)];
        all.extend(vec![one(7, 155 * HOUR, dead_for_ms); more]);
        choose(&all, &calm(150)).map(|choice| choice.inputs.len())
    };
    assert_eq!(begun(4, HOUR), None, "65 percent of an output");
    assert_eq!(begun(4, 25 * HOUR), Some(5), "nobody waits for ever");
    assert_eq!(begun(7, HOUR), Some(8), "86 percent");
    // That comes to twice the budget.
    assert_eq!(begun(6, HOUR), Some(7), "79 percent, and 6.2 dead segments");
    let unbegun = |count| choose(&vec![one(11, 150 * HOUR, HOUR); count], &calm(150));
    assert_eq!(unbegun(4).map(|choice| choice.inputs.len()), None, "46 percent");
    assert_eq!(unbegun(8).map(|choice| choice.inputs.len()), Some(8), "93 percent");
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let any = (0..=100_u64, 0..1000 * HOUR, 0..100 * HOUR);
    proptest::collection::vec(any.prop_map(|(alive, halves, dead)| one(alive, halves, dead)), 0..80)
}

proptest! {
    /// Whatever is chosen gives back at least a segment for at most two that are written.
    #[test]
    fn a_choice_always_gives_back_room(
        all in candidates(),
        segments in 0..500_u64,
        hurry in any::<bool>(),
    ) {
        let store = if hurry { hurried(segments) } else { calm(segments) };
        if let Some(Choice { inputs, .. }) = choose(&all, &store) {
            let alive: u64 = inputs.iter().map(|at| all[*at].alive).sum();
            let outputs = alive.div_ceil(SIZE * FILL_PERCENT / 100);
            prop_assert!(outputs < inputs.len() as u64 && outputs <= MAX_OUTPUTS);
            prop_assert!(inputs.is_sorted() && inputs.len() <= MAX_INPUTS);
            let limit = if hurry { HURRIED_ALIVE_PERCENT } else { ALIVE_PERCENT };
            prop_assert!(inputs.iter().all(|at| all[*at].alive <= SIZE * limit / 100));
        }
    }

    /// Without need, no output is made that is moved again for little, or never filled.
    #[test]
    fn outputs_are_full_or_well_begun(all in candidates(), segments in 0..500_u64) {
        let store = calm(segments);
        let budget = SIZE * BUDGET_SEGMENTS.max(segments * BUDGET_PERCENT / 100);
        let dead: u64 = all.iter().map(|one| SIZE - one.alive).sum();
        let is_old = |one: &Candidate| one.dead_since.plus_ms(PATIENCE_MS) <= NOW;
        if dead < MOST_BUDGETS * budget
            && !all.iter().any(is_old)
            && let Some(Choice { inputs, .. }) = choose(&all, &store)
        {
            let alive: u64 = inputs.iter().map(|at| all[*at].alive).sum();
            let percent = alive * 100 / (SIZE * FILL_PERCENT / 100);
            prop_assert!(percent <= BEGUN_PERCENT || percent >= FULL_PERCENT, "{}", percent);
        }
    }

    /// Two that have been mostly dead for a day do not stay, however little is dead in all, unless
    /// they are about to expire.
    #[test]
    fn nothing_is_pinned_for_ever(others in candidates(), lives in HOUR..10_000 * HOUR) {
        let mut all = others;
        all.push(one(3, lives, 25 * HOUR));
        all.push(one(3, lives + lives / 2, 25 * HOUR));
        prop_assert!(choose(&all, &calm(100_000)).is_some());
    }

    /// Where choices are followed, the dead come to at most the budget and what is waited for.
    #[test]
    fn choices_come_to_an_end_within_the_budget(all in candidates()) {
        let (mut all, store) = (all, calm(80));
        let mut rounds = 0;
        while let Some(Choice { inputs, .. }) = choose(&all, &store) {
            let alive: u64 = inputs.iter().map(|at| all[*at].alive).sum();
            let latest = inputs.iter().map(|at| all[*at].halves_at).max().expect("some");
            let mut number = 0;
            all.retain(|_| { number += 1; !inputs.contains(&(number - 1)) });
            let capacity = SIZE * FILL_PERCENT / 100;
            for output in 0..alive.div_ceil(capacity) {
                let alive = capacity.min(alive - output * capacity);
                all.push(Candidate { alive, halves_at: latest, dead_since: NOW });
            }
            rounds += 1;
            prop_assert!(rounds <= 80, "each gives a segment back");
        }
    }
}
