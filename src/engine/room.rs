//! Room in the log: what it can take without a new file, and how much of that is spoken for.
//!
//! A full disk is met here, before anything is decided (promise 8): whoever wants to put something
//! into the log holds room for it first, and is refused if neither is any left nor a further file
//! to be had. What ends a claim without a body needs no asking, since every flight has its reserve.
//!
//! Invariant: what is reserved, held, queued and being written fits into the active segment, the
//! one prepared and the files that are free. The spare ones of those are counted only until upkeep
//! has looked for another.
//!
//! Left to others: where files come from ([`super::files`]).

use std::sync::Arc;

use super::Engine;
use super::catalog::SPARES;
use super::shortage::Shortage;
use crate::error::{Error, ErrorKind, Result};
use crate::log::{BATCH_HEADER, SEGMENT_HEADER};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Callers wait for the making of files up to this size.
const SMALL_BYTES: u32 = 1 << 20;

#[derive(Debug)]
pub(crate) struct Room {
    segment_size: u64,
    /// Bytes left in the active segment.
    active: AtomicU64,
    /// Whether the next segment is ready.
    has_next: AtomicBool,
    /// Files that no segment is in, the spare ones among them.
    free_files: Arc<AtomicUsize>,
    /// Bytes that are about to be queued.
    held: AtomicU64,
    /// Whether the log had to use files that are kept for the next open: nothing new is taken in
    /// before there is room.
    spares_used: AtomicBool,
    pub(crate) shortage: Shortage,
}

/// Room that is held until what it is for is queued.
#[derive(Debug)]
pub(crate) struct Hold<'a> {
    room: &'a Room,
    bytes: u64,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.room.held.fetch_sub(self.bytes, Ordering::Release);
    }
}

impl Room {
    pub(crate) fn new(segment_size: u32, free_files: Arc<AtomicUsize>) -> Self {
        Self {
            segment_size: u64::from(segment_size),
            active: AtomicU64::new(0),
            has_next: AtomicBool::new(false),
            free_files,
            held: AtomicU64::new(0),
            spares_used: AtomicBool::new(false),
            shortage: Shortage::default(),
        }
    }

    /// Notes what is left in the active segment.
    pub(crate) fn set_active(&self, bytes: u64) {
        self.active.store(bytes, Ordering::Release);
    }

    /// Notes whether the next segment is ready.
    pub(crate) fn set_next(&self, is_ready: bool) {
        self.has_next.store(is_ready, Ordering::Release);
    }

    pub(crate) fn set_spares_used(&self, are_used: bool) {
        self.spares_used.store(are_used, Ordering::Relaxed);
    }

    pub(crate) fn are_spares_used(&self) -> bool {
        self.spares_used.load(Ordering::Relaxed)
    }

    /// Bytes that the log can take, if each segment states `reserved` bytes of flights at its head,
    /// and leaves so many files for others.
    fn total(&self, reserved: u64, leaves: usize) -> u64 {
        let files = self.free_files.load(Ordering::Relaxed).saturating_sub(leaves);
        let ahead = files as u64 + u64::from(self.has_next.load(Ordering::Acquire));
        // A frame that does not fit at a segment's end leaves it unused.
        let unused = self.segment_size / 8 + (SEGMENT_HEADER + 4 * BATCH_HEADER) as u64;
        // Never nothing: who looks for room would add files without end.
        let usable = self.segment_size.saturating_sub(unused + reserved).max(SEGMENT_HEADER as u64);
        self.active.load(Ordering::Acquire) + ahead * usable
    }
}

impl Engine {
    /// Gets the log a further file if it may need one for `bytes` more and upkeep is late. It may
    /// wait for the disk, so nothing is locked; what comes of it shows when the room is held.
    pub(crate) fn make_room(&self, bytes: u64) {
        let lacks_room = || !self.room.shortage.is_on() && !self.has_room(bytes, SPARES);
        while lacks_room() {
            let catalog = match self.has_threads {
                // Upkeep was called when the log took the last file, and looks long before a large
                // one is full: the spare files stand in meanwhile. A small one is made in no time.
                true if self.segment_size > SMALL_BYTES && self.has_room(bytes, 0) => return,
                true => Some(self.catalog.lock()),
                // Nobody else runs, so whoever has it is this thread.
                false => self.catalog.try_lock(),
            };
            let Some(mut catalog) = catalog.filter(|_| lacks_room()) else { return };
            match catalog.add_file() {
                Ok(()) => {}
                Err(error) if error.is_shortage() => self.room.shortage.begin(error),
                // Upkeep will meet it, too, and tell of it.
                Err(_) => return,
            }
        }
    }

    /// Makes room and holds it.
    pub(crate) fn find_room(&self, bytes: u64) -> Result<Hold<'_>> {
        self.make_room(bytes);
        self.hold_room(bytes)
    }

    /// Holds room for `bytes`; or refuses, where no file can be had for them or none was so far.
    pub(crate) fn hold_room(&self, bytes: u64) -> Result<Hold<'_>> {
        self.room.held.fetch_add(bytes, Ordering::Relaxed);
        let hold = Hold { room: &self.room, bytes };
        if self.room.shortage.is_on() {
            if self.room.are_spares_used() || !self.has_room(0, SPARES) {
                return Err(self.room.shortage.refusal());
            }
        } else if !self.has_room(0, 0) {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                "more is queued than the segments at hand have room for; slow down, or use larger \
                 ones",
            ));
        }
        Ok(hold)
    }

    /// Whether everything that is spoken for has room, and `bytes` more.
    fn has_room(&self, bytes: u64, leaves: usize) -> bool {
        // What moves on from one of these to the next is counted twice rather than not at all.
        let held = self.room.held.load(Ordering::Acquire);
        let queued = self.queue.unwritten_bytes();
        let reserved = self.limits.reserved_bytes();
        bytes + held + queued + reserved <= self.room.total(reserved, leaves)
    }
}

#[cfg(test)]
mod tests {
    use super::super::patience::Patience;
    use super::super::queue::CommitQueue;
    use super::*;
    use crate::clock::SimClock;
    use crate::ids::{StoreTime, Token};
    use crate::log::Frame;

    #[test]
    fn promise_8_a_batch_that_is_being_written_still_takes_its_room() {
        let patience = Patience::new(Arc::new(SimClock::new(0)));
        let queue = CommitQueue::new(StoreTime(0), Token(1), Token(100), (false, false), patience);
        queue.lock().push(&Frame::Release { token: Token(1) }, None).expect("queued");
        let queued = queue.unwritten_bytes();
        assert!(queued > 0);
        assert!(queue.try_lead());
        let batch = queue.take_filling();
        assert_eq!(queue.unwritten_bytes(), batch.bytes.len() as u64);
        queue.lock().push(&Frame::Release { token: Token(2) }, None).expect("queued");
        assert_eq!(queue.unwritten_bytes(), queued + batch.bytes.len() as u64);
        queue.note_written();
        assert_eq!(queue.unwritten_bytes(), queued);
    }
}
