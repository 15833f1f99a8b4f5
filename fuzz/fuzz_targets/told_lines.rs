//! Lines that are told of stores, by files or a stream, and their merge.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oncekey::fuzzing::told_lines(data));
