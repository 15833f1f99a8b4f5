//! Events through `tracing`, all of the target `oncekey`: what an operator, or whoever asks why a
//! retry was refused, wants to find in a log.

use std::path::Path;

use tracing::{error, info, info_span, warn};

use super::guarded;
use crate::engine::{DamageReport, Decision, RecoveryReport};
use crate::error::Error;
use crate::ids::{KeyHash, StoreId, Token};

const TARGET: &str = "oncekey";

/// Opens a store inside of a span.
pub(crate) fn while_opening<T>(path: &Path, open: impl FnOnce() -> T) -> T {
    let mut span = None;
    guarded(|| span = Some(info_span!(target: TARGET, "open", path = %path.display()).entered()));
    let opened = open();
    guarded(|| drop(span));
    opened
}

/// What opening found; each damage is an event of its own.
pub(crate) fn opened(store: StoreId, report: &RecoveryReport) {
    let damage = |what: &'static str, list: &[DamageReport]| {
        for DamageReport { file, offset, bytes, what: why } in list {
            warn!(target: TARGET, %store, file, offset, bytes, why, "{what}");
        }
    };
    guarded(|| {
        damage("torn write cut", &report.torn);
        damage("damage repaired", &report.repaired);
        damage("damage accepted", &report.damage);
        damage("damaged memory of expired keys", &report.late_damage);
        let RecoveryReport { clean, copied, epoch, records, claims, .. } = report;
        info!(target: TARGET, %store, clean, copied, epoch, records, claims, "opened");
    });
}

/// The first failure of the disk, which ended all changes.
pub(crate) fn poisoned(store: StoreId, cause: &Error) {
    guarded(|| error!(target: TARGET, %store, %cause, "poisoned"));
}

pub(crate) fn disk_full_begins(store: StoreId, cause: &Error) {
    guarded(|| warn!(target: TARGET, %store, %cause, "disk full"));
}

pub(crate) fn disk_full_ends(store: StoreId) {
    guarded(|| info!(target: TARGET, %store, "disk has room again"));
}

/// An attempt was left with its effect unknown.
pub(crate) fn unresolved(store: StoreId, hash: KeyHash, token: Token, attempt: u32) {
    guarded(|| {
        warn!(
            target: TARGET, %store, key_hash = %hash, %token, attempt,
            "attempt left unresolved"
        );
    });
}

/// A claim's answer, where it is worth a line.
pub(crate) fn told(store: StoreId, hash: KeyHash, decision: &Decision) {
    guarded(|| worth_a_line(store, hash, decision));
}

fn worth_a_line(store: StoreId, hash: KeyHash, decision: &Decision) {
    match decision {
        Decision::Claimed(granted) if !granted.recognised => {
            let (token, attempt) = (granted.token, granted.attempt);
            if attempt > 1 {
                warn!(target: TARGET, %store, key_hash = %hash, %token, attempt, "takeover");
            }
            if let Some(late) = granted.late {
                let expired_at_ms = late.expired_at.as_millis();
                warn!(
                    target: TARGET, %store, key_hash = %hash, %token, expired_at_ms,
                    "late retry"
                );
            }
        }
        Decision::Expired(late) => {
            let expired_at_ms = late.expired_at.as_millis();
            warn!(target: TARGET, %store, key_hash = %hash, expired_at_ms, "late retry refused");
        }
        Decision::Mismatch { difference, in_flight } => {
            warn!(
                target: TARGET, %store, key_hash = %hash, differs_in = %difference, in_flight,
                "mismatch"
            );
        }
        Decision::Unresolved { token, attempt, since } => {
            let since_ms = since.as_millis();
            let attempt = *attempt;
            warn!(
                target: TARGET, %store, key_hash = %hash, %token, attempt, since_ms,
                "unresolved"
            );
        }
        Decision::Claimed(_) | Decision::Replay(_) | Decision::InFlight { .. } => {}
    }
}
