//! What `open` found.

use std::fmt;

/// What opening a store found and did. `damage` is empty unless
/// [`Options::accept_damage`](crate::Options::accept_damage) allowed the store to open in spite of
/// it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Whether the store had been closed, rather than killed.
    pub clean: bool,
    /// Whether the directory is a copy or a restored backup of the one it was when last open.
    pub copied: bool,
    /// How often the store has been opened.
    pub epoch: u64,
    /// Completed records found, expired ones left out.
    pub records: u64,
    /// Claims that were in flight: now abandoned or unresolved.
    pub claims: u64,
    /// Bytes cut from the end of the log: a write that a crash cut short, and that nobody had been
    /// told of.
    pub torn: Vec<DamageReport>,
    /// Footers and manifest copies that were bad and could be made again from what they describe.
    pub repaired: Vec<DamageReport>,
    /// What was lost.
    pub damage: Vec<DamageReport>,
    /// What cannot be read of the memory of expired keys
    /// ([`Options::remember_late`](crate::Options::remember_late)): some late retries may go
    /// unnoticed. It never keeps a store shut.
    pub late_damage: Vec<DamageReport>,
}

/// Bytes of a file that are not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamageReport {
    /// The file's name in the store's directory.
    pub file: String,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How far it goes, in bytes.
    pub bytes: u64,
    /// What is wrong, and what it cost.
    pub what: String,
}

impl fmt::Display for DamageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, bytes, what } = self;
        write!(f, "{file} at offset {offset} ({bytes} bytes): {what}")
    }
}
