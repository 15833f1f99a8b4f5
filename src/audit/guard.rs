//! The guard: collisions judged while they are answered, for a service that wants to refuse some.
//!
//! An opt-in. Without it nothing is judged where requests are answered, and nobody is refused. With
//! it every event passes a classifier under one lock, in the order of the trail; the service's own
//! function runs later, with no lock held.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::draft::Draft;
use super::{Classifier, Event, EventId, Judgement, Rules};
use crate::sync::Mutex;

/// Says whether a collision is refused.
type Refuses = dyn Fn(&Event, &Judgement) -> bool + Send + Sync;

/// What a service asked for.
#[derive(Clone)]
pub(crate) struct GuardSettings {
    pub(crate) rules: Rules,
    pub(crate) refuses: Arc<Refuses>,
}

impl fmt::Debug for GuardSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardSettings").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl PartialEq for GuardSettings {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules && Arc::ptr_eq(&self.refuses, &other.refuses)
    }
}

impl Eq for GuardSettings {}

#[derive(Debug)]
pub(crate) struct Guard {
    settings: GuardSettings,
    classifier: Mutex<Classifier>,
    boot: u64,
}

/// A collision and what it was.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) event: Event,
    pub(crate) judgement: Judgement,
}

impl Guard {
    pub(crate) fn new(settings: &GuardSettings, boot: u64) -> Self {
        let classifier = Mutex::new(Classifier::new(settings.rules));
        Self { settings: settings.clone(), classifier, boot }
    }

    /// Judges what was decided; `None` if it is no collision.
    pub(crate) fn judge(&self, draft: &Draft) -> Option<Box<Judged>> {
        // Its number is given later, and so is that of what it met.
        let mut event = draft.event(EventId::new(self.boot, 0));
        let judged = self.classifier.lock().observe(&mut event)?;
        Some(Box::new(Judged { event, judgement: Judgement { against: None, ..judged } }))
    }

    /// Whether the service refuses it. One that panics has not said that it may be answered.
    pub(crate) fn refuses(&self, judged: &Judged) -> bool {
        let refuses = || (self.settings.refuses)(&judged.event, &judged.judgement);
        catch_unwind(AssertUnwindSafe(refuses)).unwrap_or(true)
    }
}
