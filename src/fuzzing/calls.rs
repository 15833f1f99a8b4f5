//! Calls of the API with crashes between and within them, faults, and a clock that leaps: a run of
//! the simulator whose dice are the fuzzer's bytes. Its model and its checker judge.

use crate::simulation::Simulation;

/// Two bytes choose what kind of run it is (one of 65,536 profiles), the rest what happens in it;
/// it ends when they do.
pub(super) fn api(data: &[u8]) {
    let Some((seed, tape)) = data.split_first_chunk::<2>() else { return };
    let seed = u64::from(u16::from_le_bytes(*seed));
    if let Err(failure) = Simulation::new(seed).led_by(tape).run() {
        // With every call of the disk.
        panic!("{failure:#}");
    }
}
