//! Typed payloads: the one file that knows how values become bytes.
//!
//! The format is bincode 2's standard configuration. bincode is no longer developed
//! (RUSTSEC-2025-0141); `wincode`, with varint encoding, reads the same bytes but for 128-bit
//! integers, and can replace it here without touching a stored record.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::types::StoredResponse;

/// The most that the bytes of another type can make decoding allocate. What a response can hold
/// stays below it: a body has less than 16 MiB, and each byte of it counts for 16 at most.
const DECODE_LIMIT: usize = 512 << 20;

impl StoredResponse {
    /// A response of a value, in bincode.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the value cannot be encoded.
    pub fn encode<T: Serialize>(value: &T) -> Result<Self> {
        bincode::serde::encode_to_vec(value, bincode::config::standard())
            .map(Self::new)
            .map_err(|error| Error::invalid(format!("the value cannot be encoded: {error}")))
    }

    /// The value that [`encode`](Self::encode) was given.
    ///
    /// The bytes of another type are refused, or read as some value. A type that contains itself,
    /// or a list of what takes no bytes (`Vec<()>`), can have such bytes recurse or count without
    /// bounds.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the bytes are not such a value, or go on
    /// after it.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        let config = bincode::config::standard().with_limit::<DECODE_LIMIT>();
        let (value, read) = bincode::serde::decode_from_slice(self.body(), config)
            .map_err(|error| Error::invalid(format!("the response is another type: {error}")))?;
        if read == self.body().len() {
            return Ok(value);
        }
        Err(Error::invalid(format!(
            "the response is another type: {} bytes are left over",
            self.body().len() - read
        )))
    }
}

impl crate::Claim {
    /// [`complete`](Self::complete) with a value in place of bytes.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the value cannot be encoded; the claim
    /// is dropped then, and follows its policy. Encode with [`StoredResponse::encode`] first to
    /// keep it.
    pub fn complete_as<T: Serialize>(self, value: &T) -> Result<crate::CompleteCall> {
        Ok(self.complete(StoredResponse::encode(value)?))
    }
}

impl crate::Record {
    /// The value that [`complete_as`](crate::Claim::complete_as) was given.
    ///
    /// # Errors
    /// As [`StoredResponse::decode`].
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        self.response().decode()
    }
}
