//! A step of a schedule: what the world does next. Each has dice of its own, so that a schedule
//! from which steps were taken out does the same in those that are left.

use super::dice::Dice;
use super::profile::{Profile, Weather};
use crate::simulation::Survival;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// New clients come.
    Clients(u64),
    /// A client goes away in the middle of what it does.
    Cancel,
    Commit,
    Upkeep,
    /// Prunes a segment, or else compacts some.
    Rewrite,
    /// Time passes.
    Advance(Advance),
    /// The wall clock is set, this far and either way.
    StepWall(i64),
    /// The process ends.
    End(End),
    /// A disk call fails, this many calls from now.
    Fault(u64),
    /// So much room is left on the disk, or any amount.
    Room(Option<u64>),
    /// A bit flips in some file, or a write is about to land in the wrong place.
    Rot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advance {
    Ms(u64),
    /// To this close to the next moment at which something expires or a lease ends.
    ToDeadline(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It is closed: claims may be out.
    Close,
    /// It dies, so many disk calls from now, and leaves what survives that.
    Crash(u64, Survival),
}

pub(super) const HOUR_MS: u64 = 3_600_000;

pub(crate) fn next(dice: &Dice, profile: &Profile) -> Action {
    if dice.percent(profile.ends) {
        return Action::End(end(dice));
    }
    if dice.percent(profile.odd_clock) {
        return odd_clock(dice);
    }
    if dice.percent(10) {
        match profile.weather {
            Weather::Fair => {}
            Weather::Faults => return Action::Fault(dice.below(30)),
            Weather::Full => {
                let room = dice.percent(60).then(|| dice.below(200_000));
                return Action::Room(room);
            }
            Weather::Rot => return Action::Rot,
        }
    }
    match dice.below(20) {
        0..=8 => Action::Clients(profile.crowd * dice.between(1, 4)),
        9 => Action::Cancel,
        10 | 11 => Action::Commit,
        12..=14 => Action::Upkeep,
        15 | 16 => Action::Rewrite,
        17 => Action::Advance(Advance::ToDeadline(dice.pick(&[-1, 0, 1], 0))),
        _ => Action::Advance(Advance::Ms(dice.pick(profile.naps_ms, 1))),
    }
}

fn end(dice: &Dice) -> End {
    let survivals = [
        Survival::Nothing,
        Survival::Everything,
        Survival::Random,
        Survival::Torn,
        Survival::Reordered,
    ];
    match dice.below(8) {
        0 => End::Close,
        _ => End::Crash(dice.below(25), dice.pick(&survivals, Survival::Nothing)),
    }
}

fn odd_clock(dice: &Dice) -> Action {
    match dice.below(4) {
        0 => Action::Advance(Advance::Ms(dice.between(1, 30 * HOUR_MS))),
        1 => Action::StepWall(-((dice.below(30 * HOUR_MS)) as i64)),
        2 => Action::StepWall((dice.below(30 * HOUR_MS)) as i64),
        _ => Action::Advance(Advance::Ms(dice.between(HOUR_MS - 2, HOUR_MS + 2))),
    }
}
