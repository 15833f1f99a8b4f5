//! The key that a gateway deduplicates by.

use std::fmt;
use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};

use super::key::{Key, Scope};

/// Digested once.
static CONTEXT_KEY: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("oncekey downstream key v1"));

/// Derived from scope, operation and key alone, so that every attempt, in every store, sends the
/// same one: what a downstream system deduplicates by.
///
/// It is `ok_` and 32 hexadecimal digits: 128 bits of BLAKE3 in key derivation mode, over the three
/// parts with their lengths before them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DownstreamKey(String);

impl DownstreamKey {
    pub(crate) fn derive(scope: &Scope, operation: &str, key: &Key) -> Self {
        let mut hasher = blake3::Hasher::new_from_context_key(&CONTEXT_KEY);
        for part in [scope.as_str(), operation, key.as_str()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let digest = hasher.finalize();
        let mut text = String::with_capacity(35);
        text.push_str("ok_");
        text.extend(digest.to_hex().chars().take(32));
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DownstreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl AsRef<str> for DownstreamKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
