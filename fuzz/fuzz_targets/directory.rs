//! A store's directory, hurt or forged, then opened and worked with.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oncekey::fuzzing::directory(data));
