//! What was checked, and what is wrong.

use super::Owner;
use crate::engine::DamageReport;
use crate::ids::StoreId;

/// What [`Inspector::verify`](crate::Inspector::verify) found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Which store it is; `None` without a good manifest.
    pub store_id: Option<StoreId>,
    /// Who has it open.
    pub owner: Owner,
    /// Copies of the manifest that were compared.
    pub manifest_copies: u64,
    /// Segments that were read.
    pub segments: u64,
    /// Segment files that no segment uses, and that hold nothing to check.
    pub spare_files: u64,
    /// Files of the memory of expired keys that were read.
    pub late_files: u64,
    /// Batches whose checksums were checked.
    pub batches: u64,
    /// Frames whose checksums were checked.
    pub frames: u64,
    /// Completions among them.
    pub records: u64,
    /// Footers that were compared with their segment's data.
    pub footers: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Where the log was cut short by a crash, or is being written at this moment: no damage.
    pub torn: Vec<DamageReport>,
    /// What is not as it was written.
    pub damage: Vec<DamageReport>,
}

/// What one segment came to.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) batches: u64,
    pub(super) frames: u64,
    pub(super) records: u64,
    pub(super) footers: u64,
    pub(super) bytes: u64,
    /// Offset, bytes, what.
    pub(super) torn: Vec<(u64, u64, String)>,
    pub(super) damage: Vec<(u64, u64, String)>,
}

impl Default for VerifyReport {
    fn default() -> Self {
        Self {
            store_id: None,
            owner: Owner::Nobody,
            manifest_copies: 0,
            segments: 0,
            spare_files: 0,
            late_files: 0,
            batches: 0,
            frames: 0,
            records: 0,
            footers: 0,
            bytes: 0,
            torn: Vec::new(),
            damage: Vec::new(),
        }
    }
}

impl VerifyReport {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damage.is_empty()
    }

    pub(super) fn damaged(&mut self, file: &str, offset: u64, bytes: u64, what: &str) {
        self.damage.push(damage(file, (offset, bytes, what.into())));
    }

    /// What is the end of what was being written, or damage.
    pub(super) fn cut_or_damaged(&mut self, is_cut: bool, file: &str, what: (u64, u64, String)) {
        let list = if is_cut { &mut self.torn } else { &mut self.damage };
        list.push(damage(file, what));
    }

    /// Adds what a segment came to.
    pub(super) fn take(&mut self, found: Found, file: &str) {
        self.segments += 1;
        self.batches += found.batches;
        self.frames += found.frames;
        self.records += found.records;
        self.footers += found.footers;
        self.bytes += found.bytes;
        self.torn.extend(found.torn.into_iter().map(|torn| damage(file, torn)));
        self.damage.extend(found.damage.into_iter().map(|found| damage(file, found)));
    }
}

fn damage(file: &str, (offset, bytes, what): (u64, u64, String)) -> DamageReport {
    DamageReport { file: file.into(), offset, bytes, what }
}
