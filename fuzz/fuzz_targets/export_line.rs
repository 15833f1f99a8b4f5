//! A line of an exported trail.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oncekey::fuzzing::export_line(data));
