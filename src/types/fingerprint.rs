//! The fingerprint: what makes two requests "the same".

use std::fmt;

const OPERATION_BYTES: usize = 8;

/// What makes two requests the same: 8 bytes of the operation's digest and 24 of the payload's, so
/// that a mismatch can say which of them differs.
///
/// The digests are BLAKE3. They are not secret: whoever can read the store's directory can test
/// guesses at a payload.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub(crate) [u8; 32]);

/// What differs between two requests with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Difference {
    /// Another operation, the same payload.
    Operation,
    /// The same operation, another payload.
    Payload,
    /// Both.
    OperationAndPayload,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operation => "operation",
            Self::Payload => "payload",
            Self::OperationAndPayload => "operation and payload",
        })
    }
}

impl Fingerprint {
    /// The fingerprint of an empty operation and an empty payload: the BLAKE3 digest of no bytes,
    /// in both parts.
    pub(crate) const EMPTY: Self = Self([
        0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6, 0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1,
        0xa6, 0xa0, 0x40, 0x4d, 0xea, 0x36, 0xdc, 0xc9, 0x49, 0x9b, 0xcb, 0x25, 0xc9, 0xad, 0xc1,
        0x12, 0xb7,
    ]);

    /// The fingerprint of an operation (`POST /v1/charges`) and the payload's bytes.
    #[must_use]
    pub fn of(operation: &str, payload: &[u8]) -> Self {
        let mut fingerprint = Self::EMPTY;
        fingerprint.set_operation(operation);
        fingerprint.set_payload(payload);
        fingerprint
    }

    pub(crate) fn set_operation(&mut self, operation: &str) {
        let (head, _) = self.0.split_at_mut(OPERATION_BYTES);
        fill(head, blake3::hash(operation.as_bytes()));
    }

    pub(crate) fn set_payload(&mut self, payload: &[u8]) {
        let (_, tail) = self.0.split_at_mut(OPERATION_BYTES);
        fill(tail, blake3::hash(payload));
    }

    /// A fingerprint computed elsewhere; its first 8 bytes stand for the operation.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What differs from `other`; `None` if they are the same.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<Difference> {
        let (operation, payload) = self.0.split_at(OPERATION_BYTES);
        let (other_operation, other_payload) = other.0.split_at(OPERATION_BYTES);
        match (operation == other_operation, payload == other_payload) {
            (true, true) => None,
            (false, true) => Some(Difference::Operation),
            (true, false) => Some(Difference::Payload),
            (false, false) => Some(Difference::OperationAndPayload),
        }
    }
}

fn fill(target: &mut [u8], digest: blake3::Hash) {
    for (byte, value) in target.iter_mut().zip(digest.as_bytes()) {
        *byte = *value;
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_fingerprint_is_that_of_nothing() {
        assert_eq!(Fingerprint::EMPTY, Fingerprint::of("", b""));
        assert_ne!(Fingerprint::EMPTY, Fingerprint::of("", b"\0"));
    }

    #[test]
    fn it_does_not_matter_what_is_set_first() {
        let mut other = Fingerprint::EMPTY;
        other.set_payload(b"payload");
        other.set_operation("operation");
        assert_eq!(Fingerprint::of("operation", b"payload"), other);
    }
}
