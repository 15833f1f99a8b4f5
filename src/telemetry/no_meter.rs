//! The meter of a build without the feature `metrics`: nothing.

use super::{Call, Came};
use crate::engine::Engine;
use crate::error::Error;
use crate::expiry::StoreClock;
use crate::ids::StoreId;

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stopwatch(());

impl Stopwatch {
    pub(crate) fn start(_: &StoreClock) -> Self {
        Self(())
    }
}

#[derive(Debug, Default)]
pub(crate) struct SyncTimes(());

impl SyncTimes {
    pub(crate) fn time<T>(&mut self, _: &StoreClock, sync: impl FnOnce() -> T) -> T {
        sync()
    }

    pub(crate) fn take(&mut self) -> Self {
        Self(())
    }
}

#[derive(Debug)]
pub(crate) struct Meter;

impl Meter {
    pub(crate) fn new(_: StoreId) -> Self {
        Self
    }

    pub(crate) fn told(&self, _: Call, _: Came, _: Stopwatch, _: &StoreClock) {}

    pub(crate) fn failed(&self, _: Call, _: &Error, _: Stopwatch, _: &StoreClock) {}

    pub(crate) fn completed(&self, _: Option<&Error>, _: Stopwatch, _: &StoreClock) {}

    pub(crate) fn batch(&self, _: u32, _: usize) {}

    pub(crate) fn synced(&self, _: SyncTimes) {}

    pub(crate) fn publish_if_due(&self, _: &Engine) {}

    pub(crate) fn publish(&self, _: &Engine) {}
}

const _: () = assert!(size_of::<(Stopwatch, SyncTimes, Meter)>() == 0);
