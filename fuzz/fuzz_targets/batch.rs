//! A batch of frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oncekey::fuzzing::batch(data));
