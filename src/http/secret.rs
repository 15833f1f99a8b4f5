//! The secret that fingerprints are keyed with.

use std::fmt;

use crate::error::{Error, Result};

const CONTEXT: &str = "oncekey http fingerprint secret v1";
const MIN_MATERIAL_BYTES: usize = 16;

/// What fingerprints of requests are keyed with, so that whoever reads the store's directory cannot
/// test guesses at a body. Keep it outside of that directory.
///
/// ```
/// use oncekey::http::Secret;
///
/// # fn main() -> oncekey::Result<()> {
/// let secret = Secret::derive(b"at least sixteen bytes from a secret manager")?;
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// A secret of 32 random bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A secret made of whatever a secret manager gives out. It is as hard to guess as that.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for fewer than 16 bytes.
    pub fn derive(material: &[u8]) -> Result<Self> {
        if material.len() < MIN_MATERIAL_BYTES {
            return Err(Error::invalid(format!(
                "the secret has {} bytes; it needs {MIN_MATERIAL_BYTES} or more",
                material.len(),
            )));
        }
        Ok(Self(blake3::derive_key(CONTEXT, material)))
    }

    pub(crate) fn hasher(&self) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::derive(b"0123456789abcdef").expect("long enough");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!(Secret::derive(b"0123456789abcde").is_err());
    }
}
