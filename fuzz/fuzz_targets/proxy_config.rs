//! The configuration of the proxy, which is no part of the library: its files are taken in here.
#![no_main]
#![allow(dead_code, reason = "the program uses more of these files")]

#[path = "../../src/bin/oncekey/failure.rs"]
mod failure;

mod proxy {
    #[path = "../../../src/bin/oncekey/proxy/choices.rs"]
    mod choices;
    #[path = "../../../src/bin/oncekey/proxy/fuzzing.rs"]
    pub(crate) mod fuzzing;
    #[path = "../../../src/bin/oncekey/proxy/manner.rs"]
    mod manner;
    #[path = "../../../src/bin/oncekey/proxy/rule_choices.rs"]
    mod rule_choices;
    #[path = "../../../src/bin/oncekey/proxy/settings.rs"]
    mod settings;
    #[path = "../../../src/bin/oncekey/proxy/trouble.rs"]
    mod trouble;
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxy::fuzzing::config(data));
