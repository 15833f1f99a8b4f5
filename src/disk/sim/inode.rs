//! A file's bytes.
//!
//! Invariants: `seen` is what reads get; `durable` is what a power cut leaves at least; `unsynced`
//! are the changes, in order, that lead from the one to the other. After a failed sync the last no
//! longer holds: the changes are forgotten, and `seen` shows bytes that no sync will ever write.

use std::io;

use rustix::io::Errno;

/// A change that no sync has covered yet. The number orders the changes of a whole disk.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) number: u64,
    pub(super) effect: Effect,
}

#[derive(Debug, Clone)]
pub(super) enum Effect {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { len: usize },
}

#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    /// How many open files refer to it: it lives on without a name as long as there are any.
    pub(super) handles: usize,
}

impl Inode {
    /// A file that is durable as it stands.
    pub(super) fn settled(bytes: Vec<u8>) -> Self {
        Self { seen: bytes.clone(), durable: bytes, ..Self::default() }
    }

    pub(super) fn seen(&self) -> &[u8] {
        &self.seen
    }

    pub(super) fn durable(&self) -> &[u8] {
        &self.durable
    }

    pub(super) fn unsynced(&self) -> &[Change] {
        &self.unsynced
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.seen.get(start..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        for (to, from) in buf.iter_mut().zip(rest) {
            *to = *from;
        }
        count
    }

    pub(super) fn write(&mut self, number: u64, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        overwrite(&mut self.seen, offset, bytes);
        let effect = Effect::Write { offset, bytes: bytes.to_vec() };
        self.unsynced.push(Change { number, effect });
    }

    pub(super) fn truncate(&mut self, number: u64, len: usize) {
        if len < self.seen.len() {
            self.seen.truncate(len);
            self.unsynced.push(Change { number, effect: Effect::Truncate { len } });
        }
    }

    pub(super) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            match change.effect {
                Effect::Write { offset, bytes } => overwrite(&mut self.durable, offset, &bytes),
                Effect::Truncate { len } => self.durable.truncate(len),
            }
        }
    }

    /// A sync that failed: the kernel reports the error once and marks the pages clean. They can
    /// still be read, but a later sync has nothing to write.
    pub(super) fn fail_sync(&mut self) {
        self.unsynced.clear();
    }

    pub(super) fn flip_bit(&mut self, offset: u64, bit: u8) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let Some(byte) = self.seen.get_mut(at).filter(|_| bit < 8) else {
            return Err(Errno::INVAL.into());
        };
        *byte ^= 1 << bit;
        if let Some(byte) = self.durable.get_mut(at) {
            *byte ^= 1 << bit;
        }
        // Or a later sync would heal it.
        for change in &mut self.unsynced {
            let Effect::Write { offset, bytes } = &mut change.effect else { continue };
            if let Some(byte) = at.checked_sub(*offset).and_then(|at| bytes.get_mut(at)) {
                *byte ^= 1 << bit;
            }
        }
        Ok(())
    }

    pub(super) fn cut_at_rest(&mut self, len: u64) {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.seen.truncate(len);
        self.durable.truncate(len);
        for change in &mut self.unsynced {
            match &mut change.effect {
                Effect::Write { offset, bytes } => bytes.truncate(len.saturating_sub(*offset)),
                Effect::Truncate { len: kept } => *kept = len.min(*kept),
            }
        }
        self.unsynced.retain(|change| match &change.effect {
            Effect::Write { bytes, .. } => !bytes.is_empty(),
            Effect::Truncate { .. } => true,
        });
    }
}

/// Writes `bytes` over `content`, with zeros in a gap past its end.
pub(super) fn overwrite(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sync_brings_durable_up_to_seen() {
        let mut inode = Inode::settled(b"abcdef".to_vec());
        inode.write(0, 8, b"xy");
        inode.truncate(1, 9);
        inode.write(2, 0, b"A");
        inode.write(3, 4, b"");
        assert_eq!(inode.seen(), b"Abcdef\0\0x");
        assert_eq!(inode.durable(), b"abcdef");
        assert_eq!(inode.unsynced().len(), 3);
        inode.sync();
        assert_eq!(inode.durable(), inode.seen());
        assert!(inode.unsynced().is_empty());
    }

    #[test]
    fn after_a_failed_sync_the_next_one_writes_nothing() {
        let mut inode = Inode::settled(b"abc".to_vec());
        inode.write(0, 0, b"X");
        inode.fail_sync();
        inode.write(1, 2, b"Z");
        inode.sync();
        assert_eq!(inode.seen(), b"XbZ");
        assert_eq!(inode.durable(), b"abZ");
    }

    #[test]
    fn rot_survives_a_later_sync() {
        let mut inode = Inode::settled(vec![0; 4]);
        inode.write(0, 1, &[0, 0]);
        inode.flip_bit(1, 7).expect("a bit");
        inode.flip_bit(3, 0).expect("a bit");
        inode.sync();
        assert_eq!(inode.durable(), [0, 0x80, 0, 1]);
        assert_eq!(inode.durable(), inode.seen());
        assert!(inode.flip_bit(4, 0).is_err());
        assert!(inode.flip_bit(0, 8).is_err());
    }

    #[test]
    fn a_cut_at_rest_survives_a_later_sync() {
        let mut inode = Inode::settled(vec![1; 4]);
        inode.write(0, 2, &[2; 6]);
        inode.cut_at_rest(3);
        inode.sync();
        assert_eq!(inode.durable(), [1, 1, 2]);
        assert_eq!(inode.seen(), [1, 1, 2]);
    }
}
