//! A file's bytes.
//!
//! Invariants: `seen` is what reads get; `durable` is what a power cut leaves at least; `unsynced`
//! are the changes, in order, that lead from the one to the other. After a failed sync the last no
//! longer holds: the changes are forgotten, and `seen` shows bytes that no sync will ever write.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::content::Content;

/// A change that no sync has covered yet. The number orders the changes of a whole disk.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) number: u64,
    pub(super) effect: Effect,
}

#[derive(Debug, Clone)]
pub(super) enum Effect {
    Write {
        offset: usize,
        bytes: Arc<[u8]>,
    },
    /// Zeros from the file's start.
    Zeros {
        len: usize,
    },
    Truncate {
        len: usize,
    },
}

#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    seen: Content,
    durable: Content,
    unsynced: Vec<Change>,
    /// How many open files refer to it: it lives on without a name as long as there are any.
    pub(super) handles: usize,
}

impl Inode {
    /// A file that is durable as it stands.
    pub(super) fn settled(content: Content) -> Self {
        Self { seen: content.clone(), durable: content, ..Self::default() }
    }

    pub(super) fn seen(&self) -> &Content {
        &self.seen
    }

    pub(super) fn durable(&self) -> &Content {
        &self.durable
    }

    pub(super) fn unsynced(&self) -> &[Change] {
        &self.unsynced
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        self.seen.read(usize::try_from(offset).unwrap_or(usize::MAX), buf)
    }

    pub(super) fn write(&mut self, number: u64, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.seen.write(offset, bytes);
        let effect = Effect::Write { offset, bytes: bytes.into() };
        self.unsynced.push(Change { number, effect });
    }

    pub(super) fn zero(&mut self, number: u64, len: usize) {
        if len > 0 {
            self.seen.zero(len);
            self.unsynced.push(Change { number, effect: Effect::Zeros { len } });
        }
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
                Effect::Write { offset, bytes } => self.durable.write(offset, &bytes),
                Effect::Zeros { len } => self.durable.zero(len),
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
        if bit >= 8 || !self.seen.flip(at, bit) {
            return Err(Errno::INVAL.into());
        }
        self.durable.flip(at, bit);
        // Or a later sync would heal it.
        for change in &mut self.unsynced {
            if let Effect::Zeros { len } = change.effect
                && at < len
            {
                change.effect = Effect::Write { offset: 0, bytes: vec![0; len].into() };
            }
            let Effect::Write { offset, bytes } = &mut change.effect else { continue };
            let within = at.checked_sub(*offset).filter(|at| *at < bytes.len());
            if let Some(byte) = within.and_then(|at| Arc::make_mut(bytes).get_mut(at)) {
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
                Effect::Write { offset, bytes } => {
                    let kept = bytes.get(..len.saturating_sub(*offset)).unwrap_or(bytes);
                    *bytes = kept.into();
                }
                Effect::Zeros { len: kept } | Effect::Truncate { len: kept } => {
                    *kept = len.min(*kept);
                }
            }
        }
        self.unsynced.retain(|change| match &change.effect {
            Effect::Write { bytes, .. } => !bytes.is_empty(),
            Effect::Zeros { len } => *len > 0,
            Effect::Truncate { .. } => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inode(bytes: &[u8]) -> Inode {
        Inode::settled(Content::new(bytes))
    }

    #[test]
    fn sync_brings_durable_up_to_seen() {
        let mut inode = inode(b"abcdef");
        inode.write(0, 8, b"xy");
        inode.truncate(1, 9);
        inode.write(2, 0, b"A");
        inode.write(3, 4, b"");
        assert_eq!(inode.seen().to_vec(), b"Abcdef\0\0x");
        assert_eq!(inode.durable().to_vec(), b"abcdef");
        assert_eq!(inode.unsynced().len(), 3);
        inode.sync();
        assert_eq!(inode.durable().to_vec(), inode.seen().to_vec());
        assert!(inode.unsynced().is_empty());
    }

    #[test]
    fn after_a_failed_sync_the_next_one_writes_nothing() {
        let mut inode = inode(b"abc");
        inode.write(0, 0, b"X");
        inode.fail_sync();
        inode.write(1, 2, b"Z");
        inode.sync();
        assert_eq!(inode.seen().to_vec(), b"XbZ");
        assert_eq!(inode.durable().to_vec(), b"abZ");
    }

    #[test]
    fn rot_survives_a_later_sync() {
        let mut inode = inode(&[0; 4]);
        inode.write(0, 1, &[0, 0]);
        inode.flip_bit(1, 7).expect("a bit");
        inode.flip_bit(3, 0).expect("a bit");
        inode.sync();
        assert_eq!(inode.durable().to_vec(), [0, 0x80, 0, 1]);
        assert_eq!(inode.durable().to_vec(), inode.seen().to_vec());
        assert!(inode.flip_bit(4, 0).is_err());
        assert!(inode.flip_bit(0, 8).is_err());
    }

    #[test]
    fn a_cut_at_rest_survives_a_later_sync() {
        let mut inode = inode(&[1; 4]);
        inode.write(0, 2, &[2; 6]);
        inode.cut_at_rest(3);
        inode.sync();
        assert_eq!(inode.durable().to_vec(), [1, 1, 2]);
        assert_eq!(inode.seen().to_vec(), [1, 1, 2]);
    }

    #[test]
    fn zeros_are_written_as_bytes_are() {
        let mut inode = inode(&[1; 4]);
        inode.zero(0, 6);
        inode.zero(1, 0);
        inode.flip_bit(5, 0).expect("a bit");
        inode.write(2, 0, b"x");
        assert_eq!(inode.unsynced().len(), 2);
        assert_eq!(inode.durable().to_vec(), [1; 4]);
        inode.cut_at_rest(5);
        inode.sync();
        assert_eq!(inode.durable().to_vec(), b"x\0\0\0\0");
        assert_eq!(inode.durable().to_vec(), inode.seen().to_vec());
    }
}
