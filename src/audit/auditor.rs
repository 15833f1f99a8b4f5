//! The engine's side of the audit: where drafts are handed over, and the thread's life.
//!
//! Off, it is one branch for each decision. On, a decision costs its draft and a place in the ring;
//! the thread is woken once an eighth of the ring is full, and looks by itself in every window.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::draft::{Draft, RareTexts, Seen, Texts};
use super::guard::{Guard, Judged};
use super::keeper::{Counts, Keeper, Writes};
use super::known::Known;
use super::label::Labels;
use super::options::{Audit, Privacy};
use super::ring::Ring;
use super::shape::shape_of;
use super::trail::Origin;
use super::{KeyShape, Label};
use crate::disk::Disk;
use crate::expiry::StoreClock;
use crate::ids::{KeyHash, StoreId};
use crate::slip::{self, Slip};
use crate::sync::{Condvar, Mutex};
use crate::types::{ClaimRequest, Key, Scope};

/// The audit of a store, or none.
#[derive(Debug, Default)]
pub(crate) struct Auditor {
    live: Option<Box<Live>>,
}

#[derive(Debug)]
struct Live {
    ring: Ring,
    labels: Labels,
    known: Known,
    guard: Option<Guard>,
    is_plain: bool,
    /// Whether keys are to have the hashes that other stores give them, too.
    is_shared: bool,
    /// Whether the store is short of room on the disk, which it must have to itself.
    makes_way: AtomicBool,
    wake: Wake,
    counts: Counts,
    write_every: Duration,
    /// Held by whoever empties the ring, over its I/O.
    keeper: Mutex<Keeper>,
    /// By how much the wall clock was ahead of the monotonic one, and what was held back of a leap,
    /// when it was looked at last.
    wall_ahead_ms: AtomicU64,
    held_back_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct Wake {
    state: Mutex<WakeState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct WakeState {
    called: bool,
    stop: bool,
}

/// Why the audit thread goes on.
enum Woken {
    /// The ring fills.
    Called,
    /// The window is over.
    Late,
    Stopped,
}

/// What the statistics tell of the audit.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AuditCounts {
    pub(crate) events: u64,
    pub(crate) dropped: u64,
    pub(crate) failures: u64,
    pub(crate) bytes: u64,
}

/// What a store's audit is made of.
pub(crate) struct Ground<'a> {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) store_id: StoreId,
    /// The secret of the store.
    pub(crate) hash_key: &'a [u8; 16],
    /// Rises with each opening.
    pub(crate) boot: u64,
}

impl Auditor {
    pub(crate) fn new(settings: &Audit, ground: Ground<'_>, time: &StoreClock) -> Self {
        if !settings.is_on {
            return Self::default();
        }
        let labels = Labels::new(settings.secret.as_ref().unwrap_or(ground.hash_key));
        let origin =
            Origin { store_id: ground.store_id, boot: ground.boot, key_id: labels.key_id() };
        let keeper = Keeper::new(ground.disk, settings.clone(), origin);
        Self {
            live: Some(Box::new(Live {
                ring: Ring::new(settings.max_pending),
                labels,
                known: Known::new(),
                guard: settings.guard.as_ref().map(|guard| Guard::new(guard, ground.boot)),
                is_plain: settings.privacy == Privacy::Plain,
                is_shared: settings.secret.is_some(),
                makes_way: AtomicBool::new(false),
                wake: Wake::default(),
                counts: Counts::default(),
                write_every: settings.write_every,
                keeper: Mutex::new(keeper),
                wall_ahead_ms: AtomicU64::new(time.wall_ahead_ms()),
                held_back_ms: AtomicU64::new(0),
            })),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.live.is_some()
    }

    /// Hands over what `draft` makes, if there is an audit. Returns what a guard's rules say of it.
    #[inline]
    pub(crate) fn record(&self, draft: impl FnOnce() -> Draft) -> Option<Box<Judged>> {
        let live = self.live.as_ref()?;
        let draft = draft();
        let judged = live.guard.as_ref().and_then(|guard| guard.judge(&draft));
        if live.ring.push(draft) {
            live.wake.call(false);
        }
        judged
    }

    /// Whether the guard refuses to have this answered.
    pub(crate) fn refuses(&self, judged: &Judged) -> bool {
        let guard = self.live.as_ref().and_then(|live| live.guard.as_ref());
        guard.is_some_and(|guard| guard.refuses(judged))
    }

    /// Who asks and for what, if there is an audit.
    pub(crate) fn see(&self, request: &ClaimRequest) -> Seen {
        self.live.as_ref().map_or_else(Seen::default, |live| live.labels.see(request))
    }

    pub(crate) fn scope(&self, scope: &Scope) -> Option<Label> {
        self.live.as_ref().map(|live| live.labels.of_scope(scope))
    }

    /// The hash that the trail has of a key.
    pub(crate) fn key_hash(&self, hash: KeyHash, scope: &Scope, key: &Key) -> u64 {
        match &self.live {
            Some(live) if live.is_shared => live.labels.of_key(scope.as_bytes(), key.as_bytes()),
            _ => hash.0,
        }
    }

    pub(crate) fn shape(&self, key: &Key) -> Option<KeyShape> {
        self.live.as_ref().map(|live| shape_of(key.as_bytes(), &live.labels))
    }

    /// The texts that the audit thread does not know yet, or never keeps.
    pub(crate) fn texts(&self, seen: &Seen, request: &ClaimRequest) -> Texts {
        let Some(live) = &self.live else { return Texts::default() };
        let is_new = |label| !live.known.has(label);
        let caller = request.caller.as_ref();
        let scope = Some(&request.scope).filter(|_| live.is_plain && is_new(seen.scope));
        let operation = request.operation.as_ref().filter(|_| is_new(seen.operation));
        let rare = (scope.is_some() || operation.is_some())
            .then(|| Box::new(RareTexts { scope: scope.cloned(), operation: operation.cloned() }));
        Texts {
            caller: caller.filter(|_| live.is_plain || is_new(seen.context.client)).cloned(),
            rare,
        }
    }

    /// By how much the wall clock has moved against the monotonic one since the last call.
    pub(crate) fn wall_step_ms(&self, time: &StoreClock) -> u64 {
        let Some(live) = &self.live else { return 0 };
        let ahead = time.wall_ahead_ms();
        ahead.abs_diff(live.wall_ahead_ms.swap(ahead, Ordering::Relaxed))
    }

    /// By how much more is held back of a leap than at the last call.
    pub(crate) fn rise_of_leap_ms(&self, held_back_ms: u64) -> u64 {
        let Some(live) = &self.live else { return 0 };
        held_back_ms.saturating_sub(live.held_back_ms.swap(held_back_ms, Ordering::Relaxed))
    }

    /// The audit thread: a round in each window, and whenever it is called, until it is stopped.
    pub(crate) fn run(&self, time: &StoreClock) {
        let Some(live) = &self.live else { return };
        let mut left = live.write_every;
        loop {
            left = match live.wake.wait(left) {
                Woken::Stopped => return,
                Woken::Called => live.round(time, Writes::WhenDue),
                Woken::Late => live.round(time, Writes::All),
            };
        }
    }

    /// Step: one round.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn step(&self, time: &StoreClock) {
        if let Some(live) = &self.live {
            live.round(time, Writes::All);
        }
    }

    /// Step: a round of a thread that was called since the ring fills.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn step_called(&self, time: &StoreClock) {
        if let Some(live) = &self.live {
            live.round(time, Writes::WhenDue);
        }
    }

    /// The number of this opening, if there is an audit.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn boot(&self) -> Option<u64> {
        self.live.as_ref().map(|live| live.keeper.lock().boot())
    }

    /// Says whether the disk is full. Then no more is taken in: what the store gives up for itself
    /// must not go to the trail (promise 8).
    pub(crate) fn make_way(&self, makes_way: bool) {
        if let Some(live) = &self.live {
            live.makes_way.store(makes_way, Ordering::Relaxed);
        }
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        if let Some(live) = &self.live {
            live.wake.call(true);
        }
    }

    /// Writes what is left and says that the store was closed.
    pub(crate) fn end(&self, time: &StoreClock) {
        if let Some(live) = &self.live {
            let mut keeper = live.keeper.lock();
            keeper.end((&live.ring, &live.known), &live.counts, time);
        }
    }

    pub(crate) fn counts(&self) -> AuditCounts {
        let Some(Live { counts, ring, .. }) = self.live.as_deref() else {
            return AuditCounts::default();
        };
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AuditCounts {
            events: get(&counts.events),
            dropped: ring.dropped() + get(&counts.lost),
            failures: get(&counts.failures),
            bytes: get(&counts.bytes),
        }
    }
}

impl Live {
    /// One round. Returns how long the next may wait: what was taken and not written counts from
    /// the last write.
    fn round(&self, time: &StoreClock, writes: Writes) -> Duration {
        if !slip::is_on(Slip::LateCome) {
            self.ring.come();
        }
        let mut keeper = self.keeper.lock();
        let makes_way = self.makes_way.load(Ordering::Relaxed);
        let writes = if makes_way { Writes::Rest } else { writes };
        let now_ms = time.monotonic_ms();
        keeper.round((&self.ring, &self.known), &self.counts, now_ms, writes);
        if slip::is_on(Slip::LateCome) {
            self.ring.come();
        }
        keeper.remove_old(time.now(), now_ms, &self.counts);
        self.write_every.saturating_sub(Duration::from_millis(keeper.unwritten_ms(now_ms)))
    }
}

impl Wake {
    fn call(&self, stop: bool) {
        let mut state = self.state.lock();
        state.called = true;
        state.stop |= stop;
        drop(state);
        self.changed.notify_one();
    }

    /// Waits until it is called, or for so long.
    fn wait(&self, limit: Duration) -> Woken {
        let mut state = self.state.lock();
        if !state.called {
            self.changed.wait_for(&mut state, limit);
        }
        match (state.stop, std::mem::take(&mut state.called)) {
            (true, _) => Woken::Stopped,
            (false, true) => Woken::Called,
            (false, false) => Woken::Late,
        }
    }
}
