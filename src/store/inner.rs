//! The one thing that all clones, claims and waiters of a store share: the engine, its threads, and
//! the lock.
//!
//! When the last of them is gone the store closes itself, and the directory's lock is let go.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::disk::{DirLock, Disk, LockAttempt, RealDisk};
use crate::engine::{self, Directory, Engine, Environment};
use crate::error::{Error, ErrorKind, Result};
use crate::options::Options;
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::telemetry::events;

/// Whether a missing store is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creation {
    Never,
    IfMissing,
    Always,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) engine: Arc<Engine>,
    body: Mutex<Option<Body>>,
    released: (Mutex<()>, Condvar),
    /// Whether the store has threads of its own. In a simulated world without them nobody lets time
    /// pass, so waiting does.
    has_threads: bool,
}

/// What an open store has besides its engine.
#[derive(Debug)]
struct Body {
    threads: Threads,
    lock: Box<dyn DirLock>,
}

/// A store's own threads. Upkeep and compaction end before the log is closed, the committer after.
#[derive(Debug, Default)]
struct Threads {
    upkeep: Vec<JoinHandle<()>>,
    committer: Option<JoinHandle<()>>,
    auditor: Option<JoinHandle<()>>,
}

/// How often somebody who waits for claims to end looks at the clock, which need not be that of the
/// machine.
const LOOK_MS: u64 = 100;

impl Inner {
    pub(crate) fn open(path: &Path, options: &Options, creation: Creation) -> Result<Arc<Self>> {
        options.validate()?;
        let disk = match creation {
            Creation::Never => RealDisk::open(path),
            Creation::IfMissing | Creation::Always => RealDisk::create(path),
        };
        let disk = disk.map_err(|error| open_error(path, error))?;
        let network = disk.network_filesystem().map_err(|error| open_error(path, error))?;
        if let Some(kind) = network.filter(|_| !options.allow_network_filesystem) {
            return Err(Error::new(
                ErrorKind::WrongStore,
                format!(
                    "{} is on {kind}: its locks and syncs cannot be relied on \
                     (Options::allow_network_filesystem opens it all the same)",
                    path.display()
                ),
            ));
        }
        Self::open_in(&Environment::real(Arc::new(disk)), options, creation)
    }

    pub(crate) fn open_in(
        env: &Environment,
        options: &Options,
        creation: Creation,
    ) -> Result<Arc<Self>> {
        options.validate()?;
        // Look before the lock is taken: the lock's file must not appear in a directory of
        // something else.
        let found = engine::look(&*env.disk)?;
        refuse(found, creation, &*env.disk)?;
        let lock = lock(env, options)?;
        let found = engine::look(&*env.disk)?;
        refuse(found, creation, &*env.disk)?;
        if found == Directory::Empty {
            engine::create(env, options)?;
        }
        let engine = engine::recover(env, options)?;
        events::opened(engine.store_id(), &engine.recovered);
        // The first round prepares the next segment, so that the store does not start by waiting
        // for one. A thread of upkeep begins with it, too; where room may be short it is not left
        // to that.
        if !(env.threads && engine.has_spares()) {
            engine.step_upkeep();
        }
        if let Some(error) = engine.failure() {
            return Err(error);
        }
        let threads = if env.threads { spawn(&engine)? } else { Threads::default() };
        Ok(Arc::new(Self {
            engine,
            body: Mutex::new(Some(Body { threads, lock })),
            released: Default::default(),
            has_threads: env.threads,
        }))
    }

    /// Counts a claim that nobody holds any more.
    pub(crate) fn let_go(&self) {
        if self.engine.held.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _guard = self.released.0.lock();
            self.released.1.notify_all();
        }
    }

    /// Waits until nobody holds a claim; returns how many are held when it stops waiting.
    pub(crate) fn wait_for_claims(&self, timeout: Duration) -> usize {
        let limit_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let start_ms = self.engine.time.monotonic_ms();
        let mut guard = self.released.0.lock();
        loop {
            let held = match self.engine.held.load(Ordering::Acquire) {
                0 => self.engine.count_owned(),
                held => held,
            };
            let waited_ms = self.engine.time.monotonic_ms().saturating_sub(start_ms);
            if held == 0 || waited_ms >= limit_ms {
                return held;
            }
            let left = Duration::from_millis((limit_ms - waited_ms).min(LOOK_MS));
            if self.has_threads {
                self.released.1.wait_for(&mut guard, left);
            } else {
                MutexGuard::unlocked(&mut guard, || self.engine.time.pause(left));
            }
        }
    }

    /// Ends the threads, closes the log, and lets go of the lock. Does nothing the second time.
    pub(crate) fn shut(&self) -> Result<()> {
        match self.body.lock().take() {
            Some(body) => body.shut(&self.engine),
            None => Ok(()),
        }
    }
}

impl Body {
    fn shut(self, engine: &Engine) -> Result<()> {
        engine.begin_close();
        engine.stop_upkeep();
        // A thread that panicked has poisoned the store, and said so by that.
        self.threads.upkeep.into_iter().for_each(|thread| drop(thread.join()));
        let closed = catch_unwind(AssertUnwindSafe(|| engine.close_log()));
        engine.stop_committer();
        self.threads.committer.into_iter().for_each(|thread| drop(thread.join()));
        engine.audit.stop();
        self.threads.auditor.into_iter().for_each(|thread| drop(thread.join()));
        // Nobody is kept from closing by its trail.
        let _ = catch_unwind(AssertUnwindSafe(|| engine.audit.end(&engine.time)));
        engine.timers.fire_all();
        engine.meter.publish(engine);
        drop(self.lock);
        closed.unwrap_or_else(|_| Err(panicked("that closed the log")))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(body) = self.body.get_mut().take() else { return };
        let current = thread::current().id();
        let mut threads = body.threads.upkeep.iter().chain(&body.threads.committer);
        if threads.any(|thread| thread.thread().id() == current) {
            // A waker that one of them woke held the last clone: a thread cannot wait for itself.
            return shut_elsewhere(self.engine.clone(), body);
        }
        // Nobody is left to tell; the next open recovers what could not be closed.
        let _ = body.shut(&self.engine);
    }
}

/// Shuts a store down on a thread of its own.
fn shut_elsewhere(engine: Arc<Engine>, body: Body) {
    let shared = Arc::new(Mutex::new(Some(body)));
    let (theirs, their_engine) = (shared.clone(), engine.clone());
    let started = thread::Builder::new().name("oncekey-close".into()).spawn(move || {
        if let Some(body) = theirs.lock().take() {
            let _ = body.shut(&their_engine);
        }
    });
    if started.is_err()
        && let Some(body) = shared.lock().take()
    {
        // Its threads stop by themselves. Nobody can wait for that, so the directory stays locked
        // until the process ends.
        engine.begin_close();
        engine.stop_upkeep();
        engine.stop_committer();
        engine.audit.stop();
        std::mem::forget(body.lock);
    }
}

fn spawn(engine: &Arc<Engine>) -> Result<Threads> {
    let start = |name: &str, run: fn(&Engine)| {
        let engine = engine.clone();
        thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                if catch_unwind(AssertUnwindSafe(|| run(&engine))).is_err() {
                    // Whoever waits for what it was to do must not wait any more.
                    engine.fail(panicked("of the store"));
                }
            })
            .map_err(|error| Error::io(format_args!("starting the thread {name}"), error))
    };
    let mut threads = Threads::default();
    let mut start_all = || {
        threads.upkeep.push(start("oncekey-upkeep", Engine::run_upkeep)?);
        threads.upkeep.push(start("oncekey-compact", Engine::run_compaction)?);
        threads.committer = Some(start("oncekey-commit", Engine::run_committer)?);
        Ok(())
    };
    let started = start_all();
    if let Err(error) = started {
        // Those that run must not go on in a directory whose lock is let go.
        engine.stop_upkeep();
        engine.stop_committer();
        threads.upkeep.into_iter().for_each(|thread| drop(thread.join()));
        return Err(error);
    }
    threads.auditor = spawn_auditor(engine);
    Ok(threads)
}

/// Starts the audit thread. Without it, or once it has panicked, events are dropped and counted: no
/// request depends on it.
fn spawn_auditor(engine: &Arc<Engine>) -> Option<JoinHandle<()>> {
    let theirs = engine.audit.is_on().then(|| engine.clone())?;
    let run = move || {
        let _ = catch_unwind(AssertUnwindSafe(|| theirs.audit.run(&theirs.time)));
    };
    thread::Builder::new().name("oncekey-audit".into()).spawn(run).ok()
}

fn panicked(which: &str) -> Error {
    Error::new(ErrorKind::Io, format!("a thread {which} panicked"))
}

fn lock(env: &Environment, options: &Options) -> Result<Box<dyn DirLock>> {
    let start_ms = env.clock.monotonic_ms();
    let limit_ms = u64::try_from(options.lock_wait.as_millis()).unwrap_or(u64::MAX);
    loop {
        let attempt =
            env.disk.try_lock().map_err(|error| Error::io("locking the directory", error))?;
        let holder = match attempt {
            LockAttempt::Held(lock) => return Ok(lock),
            LockAttempt::Busy(holder) => holder,
        };
        let waited_ms = env.clock.monotonic_ms().saturating_sub(start_ms);
        if waited_ms >= limit_ms {
            let who = match holder {
                Some(pid) if pid == std::process::id() => "this process".to_owned(),
                Some(pid) => format!("process {pid}"),
                None => "another process".to_owned(),
            };
            return Err(Error::new(
                ErrorKind::Locked,
                format!(
                    "{} is open in {who} (waited {waited_ms} ms; Options::lock_wait waits longer)",
                    env.disk.describe()
                ),
            ));
        }
        env.clock.pause(Duration::from_millis((limit_ms - waited_ms).min(20)));
    }
}

fn refuse(found: Directory, creation: Creation, disk: &dyn Disk) -> Result<()> {
    let place = disk.describe();
    let message = match (found, creation) {
        (Directory::Store, Creation::Always) => format!("{place} holds a store already"),
        (Directory::Empty, Creation::Never) => format!(
            "{place} is empty: there is no store to open (is the volume mounted? Store::create \
             makes a new one)"
        ),
        (Directory::SomethingElse, _) => format!(
            "{place} is not a store: it has files but no MANIFEST (if segment files are \
             among them, restore the MANIFEST from a copy)"
        ),
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::WrongStore, message))
}

fn open_error(path: &Path, error: std::io::Error) -> Error {
    let place = path.display();
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::new(
            ErrorKind::WrongStore,
            format!(
                "{place} does not exist (is the volume mounted? Store::create makes a new store)"
            ),
        ),
        std::io::ErrorKind::NotADirectory => {
            Error::new(ErrorKind::WrongStore, format!("{place} is not a directory"))
        }
        _ => Error::io(format_args!("opening {place}"), error),
    }
}
