//! What `oncekey audit check` reads, which is no part of the library: its files are taken in here.
#![no_main]
#![allow(dead_code, reason = "the program uses more of these files")]

#[path = "../../src/bin/oncekey/failure.rs"]
mod failure;
#[path = "../../src/bin/oncekey/words.rs"]
mod words;

#[path = "../../src/bin/oncekey/audit"]
mod audit {
    pub(crate) mod words;

    pub(crate) mod check {
        mod allowed;
        mod baseline;
        pub(crate) mod fuzzing;
        mod rule;
        mod rules_file;
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| audit::check::fuzzing::rules(data));
