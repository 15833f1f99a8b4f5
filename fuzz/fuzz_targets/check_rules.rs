//! What `oncekey audit check` reads, which is no part of the library: its files are taken in here.
#![no_main]
#![allow(dead_code, reason = "the program uses more of these files")]

#[path = "../../src/bin/oncekey/failure.rs"]
mod failure;
#[path = "../../src/bin/oncekey/words.rs"]
mod words;

mod audit {
    #[path = "../../../src/bin/oncekey/audit/words.rs"]
    pub(crate) mod words;

    pub(crate) mod check {
        #[path = "../../../../src/bin/oncekey/audit/check/allowed.rs"]
        mod allowed;
        #[path = "../../../../src/bin/oncekey/audit/check/baseline.rs"]
        mod baseline;
        #[path = "../../../../src/bin/oncekey/audit/check/fuzzing.rs"]
        pub(crate) mod fuzzing;
        #[path = "../../../../src/bin/oncekey/audit/check/rule.rs"]
        mod rule;
        #[path = "../../../../src/bin/oncekey/audit/check/rules_file.rs"]
        mod rules_file;
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| audit::check::fuzzing::rules(data));
