//! A short text that is kept in place.
//!
//! Every request carries a scope and a key, and most are short (a UUID has 36 bytes): keeping those
//! without an allocation saves each claim four of them, and the shared counters that clones would
//! touch.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// As much as fits beside the tag and the length in 48 bytes.
const INLINE_BYTES: usize = 46;

#[derive(Clone)]
pub(crate) enum Text {
    Inline { len: u8, bytes: [u8; INLINE_BYTES] },
    Shared(Arc<str>),
}

impl Text {
    pub(crate) fn new(text: &str) -> Self {
        let mut bytes = [0; INLINE_BYTES];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(start), Ok(len)) => {
                start.copy_from_slice(text.as_bytes());
                Self::Inline { len, bytes }
            }
            _ => Self::Shared(text.into()),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Self::Shared(text) => text.as_bytes(),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            // It was made from a `str` and is never changed.
            Self::Inline { .. } => std::str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Self::Shared(text) => text,
        }
    }
}

// The bytes order, compare and hash as the text does.
impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Text;

    proptest! {
        #[test]
        fn a_text_is_the_text_it_was_made_from(one in ".{0,60}", other in ".{0,60}") {
            let (a, b) = (Text::new(&one), Text::new(&other));
            prop_assert_eq!(a.as_str(), &one);
            prop_assert_eq!(a == b, one == other);
            prop_assert_eq!(a.cmp(&b), one.cmp(&other));
        }
    }

    #[test]
    fn lengths_around_the_limit_are_kept() {
        for len in 0..100 {
            let text = "x".repeat(len);
            assert_eq!(Text::new(&text).as_str(), text);
        }
        assert_eq!(size_of::<Text>(), 48);
    }
}
