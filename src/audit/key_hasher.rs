//! What stands for a key in a trail, for whoever has the key and the secret.

use std::fmt;

use super::label::Labels;
use crate::index;
use crate::types::{Key, Scope};

/// Makes the hash that events have in place of a key ([`Event::key_hash`](super::Event)).
///
/// It is made with the secret of the store ([`Inspector::key_hasher`](crate::Inspector::key_hasher)),
/// or with the one that stores share ([`Audit::secret`](super::Audit::secret)).
///
/// ```
/// use oncekey::audit::KeyHasher;
/// use oncekey::{Key, Scope};
///
/// # fn main() -> oncekey::Result<()> {
/// let hasher = KeyHasher::of_secret([7; 16]);
/// let (scope, key) = (Scope::new("acct_42")?, Key::new("order-1")?);
/// assert_eq!(hasher.hash(&scope, &key), KeyHasher::of_secret([7; 16]).hash(&scope, &key));
/// assert_ne!(hasher.key_id(), KeyHasher::of_secret([8; 16]).key_id());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct KeyHasher {
    labels: Labels,
    /// That of the store, if the secret is its own.
    own: Option<index::KeyHasher>,
}

impl KeyHasher {
    /// Hashes of stores that were given this secret.
    #[must_use]
    pub fn of_secret(secret: [u8; 16]) -> Self {
        Self { labels: Labels::new(&secret), own: None }
    }

    /// Hashes of a store that was given none.
    pub(crate) fn of_store(hash_key: &[u8; 16]) -> Self {
        Self { labels: Labels::new(hash_key), own: Some(index::KeyHasher::new(hash_key)) }
    }

    /// Which secret it is: that of a trail with this [`Trail::key_id`](super::Trail::key_id).
    #[must_use]
    pub fn key_id(&self) -> u64 {
        self.labels.key_id()
    }

    /// The hash of a key.
    #[must_use]
    pub fn hash(&self, scope: &Scope, key: &Key) -> u64 {
        let (scope, key) = (scope.as_bytes(), key.as_bytes());
        match &self.own {
            Some(own) => own.hash(scope, key).0,
            None => self.labels.of_key(scope, key),
        }
    }
}

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the secret: whoever has it can test guesses.
        f.debug_struct("KeyHasher").field("key_id", &self.key_id()).finish_non_exhaustive()
    }
}
