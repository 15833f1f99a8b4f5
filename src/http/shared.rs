//! What all requests of one layer share.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::settings::Settings;
use crate::error::Result;
use crate::types::OwnerId;

/// The backend, what the layer was told, and the source of owner ids. Behind one pointer, so that a
/// request counts up and down one shared counter.
#[derive(Debug)]
pub(crate) struct Shared<B> {
    pub(crate) backend: Arc<B>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) owners: Owners,
}

impl<B> Shared<B> {
    pub(crate) fn new(backend: Arc<B>, settings: Arc<Settings>) -> Self {
        Self { backend, settings, owners: Owners::default() }
    }
}

/// Owner ids that nobody else has, without a system call for each: the first is random, and the
/// others are counted from there. Two layers would have to begin within as many ids of one another
/// as either has requests.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    first: OnceLock<OwnerId>,
    drawn: AtomicU64,
}

impl Owners {
    pub(crate) fn draw(&self) -> Result<OwnerId> {
        let first = match self.first.get() {
            Some(first) => first,
            None => {
                let random = OwnerId::random()?;
                self.first.get_or_init(|| random)
            }
        };
        let count = self.drawn.fetch_add(1, Ordering::Relaxed);
        let id = u128::from_le_bytes(*first.as_bytes()).wrapping_add(count.into());
        Ok(OwnerId::from_bytes(id.to_le_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nobody_else_has_an_owner_id() {
        let layers = [Owners::default(), Owners::default()];
        let drawn: HashSet<_> = (0..1000)
            .flat_map(|_| layers.each_ref().map(|owners| owners.draw().expect("randomness")))
            .collect();
        assert_eq!(drawn.len(), 2000);
    }
}
