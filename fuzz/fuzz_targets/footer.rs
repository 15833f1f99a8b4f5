//! A segment's footer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oncekey::fuzzing::footer(data));
