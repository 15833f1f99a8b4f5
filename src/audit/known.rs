//! Which labels' names the audit thread knows, so that nobody hands them over again.
//!
//! A table of a fixed size that callers look into without a lock. Of two labels of one place the
//! later is known; the other's name is handed over again, which costs a little and harms nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Label;

const PLACES: usize = 1 << 12;

#[derive(Debug)]
pub(crate) struct Known {
    places: Box<[AtomicU64]>,
}

impl Known {
    pub(crate) fn new() -> Self {
        Self { places: (0..PLACES).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Whether no name need be handed over for this.
    pub(crate) fn has(&self, label: Option<Label>) -> bool {
        label.is_none_or(|label| {
            self.place(label).is_some_and(|place| place.load(Ordering::Relaxed) == label.get())
        })
    }

    pub(crate) fn note(&self, label: Label) {
        if let Some(place) = self.place(label) {
            place.store(label.get(), Ordering::Relaxed);
        }
    }

    pub(crate) fn forget_all(&self) {
        self.places.iter().for_each(|place| place.store(0, Ordering::Relaxed));
    }

    fn place(&self, label: Label) -> Option<&AtomicU64> {
        self.places.get(label.get() as usize % PLACES)
    }
}
