//! Who claims, in words that outlive a lost answer.

use std::fmt;

use crate::error::{Error, Result};
use crate::random::{Random, RealRandom};

/// Who makes one claim: 16 bytes that the client draws before it asks.
///
/// It is what a retry is recognised by. A caller whose claim was never answered (a connection
/// dropped, a timeout) asks again with the same owner id and the same key, and is told of the claim
/// that it may have won already, under the same fencing token. So make one for each request that is
/// to be executed, and keep it for as long as that request is retried *by the same executor*; never
/// share one between two that could both run the key.
///
/// ```
/// use oncekey::backend::OwnerId;
///
/// # fn main() -> oncekey::Result<()> {
/// let owner = OwnerId::random()?;
/// assert_eq!(OwnerId::from_bytes(*owner.as_bytes()), owner);
/// assert_ne!(OwnerId::random()?, owner);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId([u8; 16]);

impl OwnerId {
    /// An owner id that nobody else has.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) on a machine without randomness.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; 16];
        RealRandom.fill(&mut bytes).map_err(|error| Error::io("drawing an owner id", error))?;
        Ok(Self(bytes))
    }

    /// An owner id from a random source of the caller's, such as the bytes of a UUID.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnerId({self})")
    }
}
