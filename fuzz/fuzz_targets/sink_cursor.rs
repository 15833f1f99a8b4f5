//! The cursor of a sink.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oncekey::fuzzing::sink_cursor(data));
