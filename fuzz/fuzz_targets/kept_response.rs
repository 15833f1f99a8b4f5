//! A response as the HTTP layer keeps it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oncekey::fuzzing::kept_response(data));
