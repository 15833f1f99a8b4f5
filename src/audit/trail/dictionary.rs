//! Labels as small numbers: each segment numbers the labels it meets, in the order in which it
//! meets them, and keeps a label, and its name where that is allowed, once.
//!
//! The reader need not have seen all of it: each block says how many labels came before it, so that
//! after a damaged block the later numbers are right, and the lost ones are known to be lost.

use std::collections::HashMap;

use hashbrown::HashTable;

use crate::audit::Label;
use crate::log::{Reader, put};

/// A segment has no more labels than this: the next one begins then.
pub(crate) const MAX_LABELS: usize = 1 << 16;
/// A longer name is cut.
const MAX_NAME_BYTES: usize = 256;
/// So many bytes of names are kept in memory; then only those of later segments.
const MAX_NAMES_BYTES: usize = 16 << 20;

/// The writer's side.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    numbers: HashTable<(Label, u32)>,
}

impl Dictionary {
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(crate) fn clear(&mut self) {
        self.numbers.clear();
    }

    /// Writes a label's number; the label itself and its name with it, if it is new.
    pub(crate) fn put(&mut self, out: &mut Vec<u8>, label: Label, names: &Names) {
        let known = self.numbers.find(label.get(), |(known, _)| *known == label);
        if let Some((_, number)) = known {
            put(out, u64::from(*number));
            return;
        }
        let number = u32::try_from(self.len()).unwrap_or(u32::MAX);
        self.numbers.insert_unique(label.get(), (label, number), |(label, _)| label.get());
        put(out, u64::from(number));
        out.extend_from_slice(&label.get().to_le_bytes());
        match names.get(label) {
            None => put(out, 0),
            Some(name) => {
                let name = cut(name);
                put(out, name.len() as u64 + 1);
                out.extend_from_slice(name.as_bytes());
            }
        }
    }
}

fn cut(name: &str) -> &str {
    let mut end = name.len().min(MAX_NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default()
}

/// The reader's side: what the numbers of the present segment stand for.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    labels: Vec<Option<Label>>,
}

/// Why a number stands for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoLabel {
    /// The block that had the label is lost.
    Lost,
    /// The bytes make no sense.
    Malformed,
}

impl Numbers {
    pub(crate) fn clear(&mut self) {
        self.labels.clear();
    }

    /// Takes note that so many labels came before what is read next.
    pub(crate) fn begin_at(&mut self, count: usize) -> bool {
        let fits = count >= self.labels.len() && count <= MAX_LABELS;
        if fits {
            self.labels.resize(count, None);
        }
        fits
    }

    pub(crate) fn read(
        &mut self,
        body: &mut Reader<'_>,
        names: &mut Names,
    ) -> Result<Label, NoLabel> {
        let number = body.varint_len().ok_or(NoLabel::Malformed)?;
        if let Some(known) = self.labels.get(number) {
            return known.ok_or(NoLabel::Lost);
        }
        if number != self.labels.len() || number >= MAX_LABELS {
            return Err(NoLabel::Malformed);
        }
        let label = Label::new(body.u64().ok_or(NoLabel::Malformed)?);
        let len = body.varint_len().ok_or(NoLabel::Malformed)?;
        if let Some(len) = len.checked_sub(1) {
            let name = body.bytes(len).and_then(|name| std::str::from_utf8(name).ok());
            names.keep(label, name.ok_or(NoLabel::Malformed)?);
        }
        self.labels.push(Some(label));
        Ok(label)
    }
}

/// Names by their labels: those that a reader has met, or a writer may keep.
#[derive(Debug, Default)]
pub(crate) struct Names {
    by_label: HashMap<Label, Box<str>>,
    bytes: usize,
}

impl Names {
    pub(crate) fn get(&self, label: Label) -> Option<&str> {
        self.by_label.get(&label).map(AsRef::as_ref)
    }

    /// Keeps a name. Returns whether all others were forgotten, to make room.
    pub(crate) fn keep(&mut self, label: Label, name: &str) -> bool {
        if self.by_label.contains_key(&label) {
            return false;
        }
        let is_full = self.bytes + name.len() > MAX_NAMES_BYTES;
        if is_full {
            self.by_label.clear();
            self.bytes = 0;
        }
        self.bytes += name.len() + size_of::<(Label, Box<str>)>();
        self.by_label.insert(label, name.into());
        is_full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_between_letters() {
        let long = "ä".repeat(200);
        assert_eq!(cut(&long).len(), 256);
        assert_eq!(cut(&format!("x{long}")).len(), 255);
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn names_stay_bounded() {
        let mut names = Names::default();
        for number in 0..100_000 {
            names.keep(Label::new(number), &"x".repeat(255));
            assert!(names.bytes <= MAX_NAMES_BYTES + 1024);
        }
        assert_eq!(names.get(Label::new(99_999)).map(str::len), Some(255));
        assert_eq!(names.get(Label::new(1)), None);
    }
}
