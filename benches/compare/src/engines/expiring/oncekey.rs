//! The store itself: each record's TTL ends at the time asked for, and the store prunes on its own.

use std::thread;
use std::time::Duration;

use oncekey::{Options, Outcome, Store, StoredResponse};

use super::{Expiring, Pruned, Variant, now_ms};
use crate::engines::oncekey::claim_request;
use crate::workload::Request;

pub const VARIANT: Variant = Variant {
    name: "oncekey",
    is_peer: false,
    open: |dir, _| {
        Box::new(Oncekey { store: Options::new().open_or_create(dir.join("store")).expect("open") })
    },
};

/// Callers of a load: enough to share syncs.
const LOADERS: usize = 64;
/// How often the store is asked how far it is: not free for it.
const LOOK: Duration = Duration::from_millis(5);
/// The prune is over when nothing more has gone for so long.
const QUIET: Duration = Duration::from_millis(1500);

struct Oncekey {
    store: Store,
}

impl Expiring for Oncekey {
    fn load(&self, requests: &mut dyn Iterator<Item = (Request, u64)>) {
        loop {
            let batch: Vec<_> = requests.take(LOADERS * 100).collect();
            if batch.is_empty() {
                break;
            }
            thread::scope(|scope| {
                for share in batch.chunks(100) {
                    scope.spawn(move || {
                        for (request, expires_ms) in share {
                            assert!(self.cycle(request, *expires_ms), "a new key was refused");
                        }
                    });
                }
            });
        }
    }

    fn cycle(&self, request: &Request, expires_ms: u64) -> bool {
        let left = Duration::from_millis(expires_ms.saturating_sub(now_ms()));
        let claim = self.store.claim(claim_request(request).ttl(left)).wait().expect("claim");
        let Outcome::Claimed(claim) = claim else { return false };
        claim.complete(StoredResponse::new(request.response)).wait().expect("complete");
        true
    }

    fn prune(&self, _expired_ms: u64) -> Pruned {
        // The store may have begun by itself.
        let gone = || Pruned::just_now(self.store.stats().pruned);
        self.store.prune().wait().expect("pruned");
        let mut last = gone();
        while last.finished.elapsed() < QUIET {
            thread::sleep(LOOK);
            let now = gone();
            if now.records != last.records {
                last = now;
            }
        }
        last
    }

    fn keeps_time(&self) -> bool {
        true
    }
}
