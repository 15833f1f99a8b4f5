//! A body in JSON and its canonical form.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oncekey::fuzzing::canonical_json(data));
