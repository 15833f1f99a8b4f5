//! The audit beside a store with threads of its own: a trail that stalls keeps nobody waiting, and
//! no event is lost that is not counted.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::world::{World, execute, outcome};
use crate::audit::{Audit, Trail, TrailItem};
use crate::disk::{DirIdentity, Disk, DiskFile, LockAttempt};
use crate::simulation::SimDisk;
use crate::{Options, StoredResponse};

/// What writes wait at.
#[derive(Debug, Default)]
struct Gate {
    is_shut: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, is_shut: bool) {
        *self.is_shut.lock() = is_shut;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut is_shut = self.is_shut.lock();
        self.changed.wait_while(&mut is_shut, |is_shut| *is_shut);
    }
}

/// A disk whose writes wait while a gate is shut.
struct StallingDisk {
    disk: Arc<SimDisk>,
    gate: Arc<Gate>,
}

struct StallingFile {
    file: Arc<dyn DiskFile>,
    gate: Arc<Gate>,
}

impl fmt::Debug for StallingDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StallingDisk")
    }
}

impl fmt::Debug for StallingFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StallingFile")
    }
}

impl Disk for StallingDisk {
    fn describe(&self) -> String {
        self.disk.describe()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(name)
    }

    fn open_read_only(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open_read_only(name)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let (file, gate) = (self.disk.create(name)?, self.gate.clone());
        Ok(Arc::new(StallingFile { file, gate }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn try_lock(&self) -> io::Result<LockAttempt> {
        self.disk.try_lock()
    }

    fn identity(&self) -> io::Result<DirIdentity> {
        self.disk.identity()
    }
}

impl DiskFile for StallingFile {
    #[allow(clippy::disallowed_methods, reason = "handed on")]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.gate.pass();
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.gate.pass();
        self.file.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn zero_fill(&self, len: u64) -> io::Result<()> {
        self.file.zero_fill(len)
    }
}

/// How many events a trail tells, and how many it says are missing.
fn told_and_missing(trail: Trail) -> (u64, u64) {
    let (mut told, mut missing) = (0, 0);
    for item in trail {
        match item.expect("read") {
            TrailItem::Event(_) => told += 1,
            TrailItem::Gap(gap) => missing += gap.lost.expect("a number"),
            TrailItem::Damage(damage) => panic!("{damage}"),
        }
    }
    (told, missing)
}

#[test]
fn promise_9_a_stalled_trail_delays_nobody_and_every_drop_is_counted() {
    let (disk, gate) = (SimDisk::new(), Arc::new(Gate::default()));
    let mut world = World::with(Options::new().audit(Audit::new().max_pending(64)));
    let stalling = StallingDisk { disk: disk.clone(), gate: gate.clone() };
    world.disk.put_directory("audit", Arc::new(stalling));
    let store = world.open_with_threads(true);
    gate.set(true);
    for i in 0..200 {
        // With the trail at a stand, all of this is answered.
        execute(&store, &format!("key-{i}"), "done");
        drop(outcome(&store, &format!("key-{i}")));
    }
    let stats = store.stats();
    assert!(stats.audit_dropped >= 600 - 2 * 64 - 64, "{}", stats.audit_dropped);
    assert_eq!(stats.audit_failures, 0);
    gate.set(false);
    store.close(Duration::from_secs(1)).wait().expect("closed");
    let stats = store.stats();
    drop(store);
    let (told, missing) = told_and_missing(Trail::on(disk));
    assert_eq!((told + missing, missing), (600, stats.audit_dropped));
    assert_eq!(told, stats.audit_events);
}

#[test]
fn a_reader_follows_a_store_with_many_threads() {
    let disk = SimDisk::new();
    let mut world = World::with(Options::new().audit(Audit::new()));
    world.disk.put_directory("audit", disk.clone());
    let store = world.open_with_threads(true);
    let mut trail = Trail::on(disk.clone());
    let (mut told, done) = (0, AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                for i in 0..300 {
                    let claim = super::world::claim(store, &format!("{thread}-{i}"));
                    claim.complete(StoredResponse::new("done")).wait().expect("completed");
                }
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        while done.load(Ordering::SeqCst) < 4 {
            let items = trail.by_ref().map(|item| item.expect("read"));
            told += items.inspect(|item| assert!(matches!(item, TrailItem::Event(_)))).count();
            std::thread::yield_now();
        }
    });
    store.close(Duration::from_secs(1)).wait().expect("closed");
    drop(store);
    told += trail.by_ref().count();
    assert_eq!(told, 2400);
    assert!(trail.is_ended());
}
