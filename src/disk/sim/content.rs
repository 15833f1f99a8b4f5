//! The bytes of a file, in pages that copies share until one of them is written to.
//!
//! A crash copies every file of a disk, and a simulation crashes thousands of times a second: a
//! copy takes a counter a page, and a page of zeros takes nothing at all.
//!
//! Invariant: what lies past the end in the last page is zero, so that a file grows by zeros.

use std::ops::Range;
use std::sync::Arc;

const PAGE: usize = 4096;

type Page = [u8; PAGE];

#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    len: usize,
    /// `None` is a page of zeros.
    pages: Vec<Option<Arc<Page>>>,
}

impl Content {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut content = Self::default();
        content.write(0, bytes);
        content
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Reads what there is of `buf` from `offset`; returns how many bytes.
    pub(super) fn read(&self, offset: usize, buf: &mut [u8]) -> usize {
        let count = self.len.saturating_sub(offset).min(buf.len());
        let (mut rest, _) = buf.split_at_mut(count);
        for (number, within) in pieces(offset, count) {
            let (piece, after) = rest.split_at_mut(within.len());
            match self.pages.get(number).and_then(Option::as_ref) {
                Some(page) => piece.copy_from_slice(page.get(within).unwrap_or_default()),
                None => piece.fill(0),
            }
            rest = after;
        }
        count
    }

    /// Writes `bytes` at `offset`, with zeros in a gap past the end.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.grow(offset.saturating_add(bytes.len()));
        let mut rest = bytes;
        for (number, within) in pieces(offset, bytes.len()) {
            let (piece, after) = rest.split_at(within.len());
            if let Some(place) = self.page_mut(number).get_mut(within) {
                place.copy_from_slice(piece);
            }
            rest = after;
        }
    }

    /// Makes the first `len` bytes zeros.
    pub(super) fn zero(&mut self, len: usize) {
        self.grow(len);
        for (number, within) in pieces(0, len) {
            let Some(page) = self.pages.get_mut(number) else { continue };
            if within.len() == PAGE {
                *page = None;
            } else if let Some(page) = page {
                Arc::make_mut(page).get_mut(within).unwrap_or_default().fill(0);
            }
        }
    }

    /// Makes it at least `len` bytes, by zeros.
    pub(super) fn grow(&mut self, len: usize) {
        if self.len < len {
            self.len = len;
            self.pages.resize(len.div_ceil(PAGE), None);
        }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        if self.len <= len {
            return;
        }
        self.len = len;
        self.pages.truncate(len.div_ceil(PAGE));
        if !len.is_multiple_of(PAGE)
            && let Some(Some(last)) = self.pages.last_mut()
        {
            Arc::make_mut(last).get_mut(len % PAGE..).unwrap_or_default().fill(0);
        }
    }

    /// Flips a bit; `false` if there is no such byte.
    pub(super) fn flip(&mut self, at: usize, bit: u8) -> bool {
        if at >= self.len {
            return false;
        }
        let byte = self.page_mut(at / PAGE).get_mut(at % PAGE);
        byte.map(|byte| *byte ^= 1 << bit).is_some()
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read(0, &mut bytes);
        bytes
    }

    /// A page that is there, to write to.
    fn page_mut(&mut self, number: usize) -> &mut [u8] {
        match self.pages.get_mut(number) {
            Some(page) => &mut Arc::make_mut(page.get_or_insert_with(|| Arc::new([0; PAGE])))[..],
            None => &mut [],
        }
    }
}

/// The pages that a range of bytes lies in, and where in each.
fn pieces(offset: usize, len: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let end = offset.saturating_add(len);
    let mut at = offset;
    std::iter::from_fn(move || {
        let (number, start) = (at / PAGE, at % PAGE);
        let count = (PAGE - start).min(end.saturating_sub(at));
        at += count;
        (count > 0).then_some((number, start..start + count))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same changes to a plain vector.
    fn overwrite(plain: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
        plain.resize(plain.len().max(offset + bytes.len()), 0);
        plain[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    #[test]
    fn it_is_a_vector_of_bytes() {
        let (mut content, mut plain) = (Content::default(), Vec::new());
        let mut seed = 1_usize;
        let mut draw = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for round in 0..2000 {
            let (at, len) = (draw(3 * PAGE), draw(2 * PAGE));
            match draw(5) {
                0 => {
                    content.truncate(at + len);
                    plain.truncate(at + len);
                }
                1 => {
                    content.zero(len);
                    overwrite(&mut plain, 0, &vec![0; len]);
                }
                2 => {
                    content.grow(at);
                    plain.resize(plain.len().max(at), 0);
                }
                _ => {
                    let bytes = vec![round as u8; len];
                    content.write(at, &bytes);
                    overwrite(&mut plain, at, &bytes);
                }
            }
            if content.flip(at, 3) {
                plain[at] ^= 8;
            }
            assert_eq!(content.to_vec(), plain, "round {round}");
            assert_eq!(content.len(), plain.len());
            let mut buf = [0xEE; 700];
            let count = content.read(at, &mut buf);
            let there = plain.get(at..).unwrap_or_default();
            assert_eq!(count, there.len().min(700));
            assert_eq!(buf[..count], there[..count]);
        }
    }

    #[test]
    fn copies_go_their_own_ways() {
        let mut content = Content::new(&[1; 3 * PAGE]);
        let copy = content.clone();
        content.write(PAGE - 1, &[2, 2]);
        content.zero(5);
        content.truncate(2 * PAGE + 1);
        assert_eq!(copy.to_vec(), [1; 3 * PAGE]);
        assert_eq!(content.to_vec()[..6], [0, 0, 0, 0, 0, 1]);
    }
}
