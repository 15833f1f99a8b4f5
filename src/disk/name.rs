//! The names a disk's files may have.
//!
//! A name is one component of a path, so that no call can leave the directory, and never the
//! lock's: a caller that removed or replaced it would let a second process in.

use std::io;

/// The file that carries the directory's lock. It is the disk's own and never listed.
pub(super) const LOCK: &str = "LOCK";

/// Refuses a name that is not a plain one of the caller's.
pub(super) fn check(name: &str) -> io::Result<()> {
    let plain = !matches!(name, "" | "." | ".." | LOCK) && !name.contains(['/', '\0']);
    if plain {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} cannot name a file here")))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn only_plain_names_pass() {
        for good in ["a", "seg-0001.log", "...", ".hidden", "LOCK.tmp"] {
            assert!(check(good).is_ok(), "{good:?}");
        }
        for bad in ["", ".", "..", "a/b", "/", "../a", "a\0b", "LOCK"] {
            let error = check(bad).expect_err(bad);
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        }
    }
}
