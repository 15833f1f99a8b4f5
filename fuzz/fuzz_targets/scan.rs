//! A segment of batches, and what is made of its end.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oncekey::fuzzing::scan(data));
