//! What a fuzzer found worth keeping, replayed: every file of `fuzz/corpus` holds its property.

#![allow(clippy::disallowed_methods, reason = "inputs are files")]

use std::fs;
use std::path::{Path, PathBuf};

use super::TARGETS;

pub(super) fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

/// The published package has no corpus.
fn is_published() -> bool {
    !Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").exists()
}

#[test]
fn every_input_that_was_kept_holds() {
    for (name, target) in TARGETS {
        let inputs = fs::read_dir(corpus().join(name));
        let mut count = 0;
        for input in inputs.into_iter().flatten() {
            let path = input.expect("an entry").path();
            let bytes = fs::read(&path).expect("a file");
            // If it panics, this says of what.
            println!("{}", path.display());
            target(&bytes);
            count += 1;
        }
        assert!(count > 0 || is_published(), "{name} has no inputs");
    }
}

#[test]
fn no_bytes_and_few_bytes_hold() {
    for (_, target) in TARGETS {
        for bytes in [&[][..], &[0], &[255; 9], b"\"a\"", &[1, 1, 1, 1, 1, 1]] {
            target(bytes);
        }
    }
}
