//! Scope and key: whose request it is, and which.

use std::fmt;

use super::text::Text;
use crate::error::{Error, Result};

/// The longest scope and the longest key, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 255;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Text);

        impl $type {
            #[doc = concat!("Makes a ", $what, " of 1 to 255 bytes of UTF-8.")]
            ///
            /// # Errors
            /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if it is empty or
            /// longer.
            pub fn new(text: impl AsRef<str>) -> Result<Self> {
                let text = text.as_ref();
                check_length(text.len(), $what)?;
                Ok(Self(Text::new(text)))
            }

            #[doc = concat!("Makes a ", $what, " from bytes that came from outside.")]
            ///
            /// # Errors
            /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if they are not UTF-8,
            /// none, or more than 255.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
                check_length(bytes.len(), $what)?;
                let text = std::str::from_utf8(bytes).map_err(|error| {
                    Error::invalid(format!(
                        concat!("the ", $what, " is not UTF-8: byte {} of {} is wrong"),
                        error.valid_up_to(),
                        bytes.len(),
                    ))
                })?;
                Ok(Self(Text::new(text)))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            pub(crate) fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($type), self.as_str())
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.as_str().fmt(f)
            }
        }
    };
}

name! {
    /// Whom a key belongs to: a tenant, an account, a principal. Part of every key, so that no
    /// caller can see another scope's record.
    Scope, "scope"
}
name! {
    /// The client's idempotency key, as it sent it.
    Key, "key"
}

fn check_length(bytes: usize, what: &str) -> Result<()> {
    match bytes {
        0 => Err(Error::invalid(format!("the {what} is empty; it needs 1 to 255 bytes"))),
        1..=MAX_NAME_BYTES => Ok(()),
        _ => Err(Error::invalid(format!(
            "the {what} has {bytes} bytes; at most {MAX_NAME_BYTES} are allowed"
        ))),
    }
}
