//! The events of a build without the feature `tracing`: none.

use std::path::Path;

use crate::engine::{Decision, RecoveryReport};
use crate::error::Error;
use crate::ids::{KeyHash, StoreId, Token};

pub(crate) fn while_opening<T>(_: &Path, open: impl FnOnce() -> T) -> T {
    open()
}

pub(crate) fn opened(_: StoreId, _: &RecoveryReport) {}

pub(crate) fn poisoned(_: StoreId, _: &Error) {}

pub(crate) fn disk_full_begins(_: StoreId, _: &Error) {}

pub(crate) fn disk_full_ends(_: StoreId) {}

pub(crate) fn unresolved(_: StoreId, _: KeyHash, _: Token, _: u32) {}

pub(crate) fn told(_: StoreId, _: KeyHash, _: &Decision) {}
