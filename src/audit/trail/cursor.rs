//! Reads one segment block by block, also while it is written.
//!
//! What is not a good block is damage if a good one follows it, or if the segment is over; at the
//! end of the newest segment it may be on its way, and is looked at again.

use std::io;
use std::sync::Arc;

use super::block::{BLOCK_HEADER, BlockHead, MAX_PAYLOAD};
use super::header::{TRAIL_HEADER, TrailFault, TrailHeader, file_name};
use crate::disk::{self, Disk, DiskFile};

/// A fuzzer reads small files thousands of times a second.
const WINDOW_BYTES: usize = if cfg!(fuzzing) { 80 << 10 } else { 512 << 10 };
// Every block fits, wherever it begins in a window that is read for it.
const _: () = assert!(BLOCK_HEADER + MAX_PAYLOAD <= WINDOW_BYTES);

#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) header: TrailHeader,
    file: Arc<dyn DiskFile>,
    offset: u64,
    window: Vec<u8>,
    window_at: u64,
}

/// What there is at the cursor.
#[derive(Debug)]
pub(crate) enum Step {
    /// A block: its flags and where its payload is in the window.
    Block { flags: u8, payload: std::ops::Range<usize> },
    /// Bytes that are no block.
    Damage { offset: u64, bytes: u64 },
    /// Nothing more, for now.
    End,
}

/// Why a segment cannot be read at all.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// It is not there any more.
    Gone,
    /// Its header is not there yet, or never will be.
    Short(u64),
    Damaged {
        bytes: u64,
        what: &'static str,
    },
}

impl Cursor {
    pub(crate) fn open(disk: &dyn Disk, number: u64) -> io::Result<Result<Self, Unreadable>> {
        let file = match disk.open_read_only(&file_name(number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Err(Unreadable::Gone));
            }
            other => other?,
        };
        let mut head = [0; TRAIL_HEADER];
        let read = disk::read(&*file, &mut head, 0)?;
        let bytes = file.len()?;
        let header = match TrailHeader::decode(head.get(..read).unwrap_or_default()) {
            Ok(header) if header.number == number => header,
            Ok(_) => {
                let what = "it is another segment under this name";
                return Ok(Err(Unreadable::Damaged { bytes, what }));
            }
            Err(TrailFault::Short) => return Ok(Err(Unreadable::Short(bytes))),
            Err(TrailFault::NotATrail) => {
                let what = "it does not begin as a trail segment";
                return Ok(Err(Unreadable::Damaged { bytes, what }));
            }
            Err(TrailFault::TooNew(_)) => {
                let what = "it is of a later format";
                return Ok(Err(Unreadable::Damaged { bytes, what }));
            }
            Err(TrailFault::Damaged) => {
                let what = "its header is damaged";
                return Ok(Err(Unreadable::Damaged { bytes, what }));
            }
        };
        let offset = TRAIL_HEADER as u64;
        Ok(Ok(Self { header, file, offset, window: Vec::new(), window_at: offset }))
    }

    /// The bytes of the window.
    pub(crate) fn payload(&self, range: std::ops::Range<usize>) -> &[u8] {
        self.window.get(range).unwrap_or_default()
    }

    /// Where in its file the block of this payload begins.
    pub(crate) fn offset_of(&self, payload: &std::ops::Range<usize>) -> u64 {
        (self.window_at + payload.start as u64).saturating_sub(BLOCK_HEADER as u64)
    }

    /// Bytes from the cursor to the end of the file.
    pub(crate) fn left(&self) -> io::Result<u64> {
        Ok(self.file.len()?.saturating_sub(self.offset))
    }

    /// Moves to what is next. If the segment `is_over`, nobody writes to it any more.
    pub(crate) fn step(&mut self, is_over: bool) -> io::Result<Step> {
        if let Some(block) = self.block_at(self.offset)? {
            return Ok(self.take(block));
        }
        // It may have been written since the window was read.
        self.forget_window();
        if let Some(block) = self.block_at(self.offset)? {
            return Ok(self.take(block));
        }
        let end = self.file.len()?;
        if end <= self.offset {
            return Ok(Step::End);
        }
        let next = self.find_block(self.offset + 1, end)?;
        let to = match next {
            Some(next) => {
                // A block is seen before one that lies before it only while both are written.
                self.forget_window();
                if let Some(block) = self.block_at(self.offset)? {
                    return Ok(self.take(block));
                }
                next
            }
            None if is_over => end,
            None => return Ok(Step::End),
        };
        let offset = std::mem::replace(&mut self.offset, to);
        Ok(Step::Damage { offset, bytes: to - offset })
    }

    fn take(&mut self, head: BlockHead) -> Step {
        let start = (self.offset - self.window_at) as usize;
        let payload = start + BLOCK_HEADER..start + head.len();
        self.offset += head.len() as u64;
        Step::Block { flags: head.flags, payload }
    }

    fn find_block(&mut self, from: u64, end: u64) -> io::Result<Option<u64>> {
        for offset in from..end {
            if self.block_at(offset)?.is_some() {
                return Ok(Some(offset));
            }
        }
        Ok(None)
    }

    /// The block at `offset`, in the window, if there is a good one.
    fn block_at(&mut self, offset: u64) -> io::Result<Option<BlockHead>> {
        let Ok(at) = u32::try_from(offset) else { return Ok(None) };
        let place = self.header.place(at);
        let bytes = self.bytes_at(offset, BLOCK_HEADER)?;
        let Some(head) = BlockHead::decode(bytes, place) else { return Ok(None) };
        let bytes = self.bytes_at(offset, head.len())?;
        Ok(head.payload(bytes, place).map(|_| head))
    }

    /// At least so many bytes from `offset`, or what there is.
    fn bytes_at(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let covers = offset >= self.window_at
            && offset + len as u64 <= self.window_at + self.window.len() as u64;
        if !covers && !self.is_at_end(offset) {
            self.window.resize(WINDOW_BYTES, 0);
            let read = disk::read(&*self.file, &mut self.window, offset);
            self.window.truncate(*read.as_ref().unwrap_or(&0));
            self.window_at = offset;
            read?;
        }
        let start = usize::try_from(offset - self.window_at).unwrap_or(usize::MAX);
        Ok(self.window.get(start..).unwrap_or_default())
    }

    /// Whether the window has all that follows `offset`: it was cut short by the file's end.
    fn is_at_end(&self, offset: u64) -> bool {
        let end = self.window_at + self.window.len() as u64;
        !self.window.is_empty()
            && self.window.len() < WINDOW_BYTES
            && (self.window_at..end).contains(&offset)
    }

    fn forget_window(&mut self) {
        self.window.clear();
    }
}
