//! The configuration of the proxy, which is no part of the library: its files are taken in here.
#![no_main]
#![allow(dead_code, reason = "the program uses more of these files")]

#[path = "../../src/bin/oncekey/failure.rs"]
mod failure;

#[path = "../../src/bin/oncekey/proxy"]
mod proxy {
    mod choices;
    pub(crate) mod fuzzing;
    mod manner;
    mod rule_choices;
    mod settings;
    mod trouble;
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxy::fuzzing::config(data));
