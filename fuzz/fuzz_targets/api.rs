//! Calls of the API with crashes and faults, judged by the simulator's model.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oncekey::fuzzing::api(data));
