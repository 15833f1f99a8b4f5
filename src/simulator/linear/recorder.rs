//! Writes a history down while it happens: by threads at once, or by a simulator.
//!
//! Each process has a list of its own, so that threads do not wait for one another; one counter
//! orders what they note.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::history::{Call, History, Operation, Response};

/// Which call: the process that made it, and its number among that process's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CallId {
    pub(crate) process: u32,
    pub(crate) number: u32,
}

impl CallId {
    /// Nobody's call.
    pub(crate) const NONE: Self = Self { process: u32::MAX, number: u32::MAX };
}

/// How the store's process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Killed, or by a power cut, or poisoned.
    Crash,
    /// Closed, with everything on disk.
    Close,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Response(Response),
    /// Nobody knows: it took effect at some time, or will, or never.
    Unknown,
    /// It had no effect, and says nothing about its key.
    Refused,
}

#[derive(Debug)]
struct Note {
    operation: Operation,
    is_open: bool,
    is_refused: bool,
}

/// Writes a history down. Times are store time in milliseconds: read before what is invoked, and
/// after what has returned.
#[derive(Debug)]
pub(crate) struct Recorder {
    order: AtomicU64,
    processes: Vec<Mutex<Vec<Note>>>,
    restarts: Mutex<Vec<Note>>,
}

impl Recorder {
    /// A recorder for processes 0 to `processes` - 1.
    pub(crate) fn new(processes: u32) -> Self {
        Self {
            order: AtomicU64::new(0),
            processes: (0..processes).map(|_| Mutex::default()).collect(),
            restarts: Mutex::default(),
        }
    }

    /// Notes a call, before it is made.
    pub(crate) fn invoke(&self, process: u32, key: u32, call: Call, now_ms: u64) -> CallId {
        let mut notes = self.processes[process as usize].lock();
        let id = CallId { process, number: u32::try_from(notes.len()).unwrap_or(u32::MAX) };
        notes.push(Note::new(id, key, call, self.next(), now_ms));
        id
    }

    /// Notes what a call returned.
    pub(crate) fn returned(&self, id: CallId, response: Response, now_ms: u64) {
        self.end(id, |operation| operation.response = Some(response), now_ms);
    }

    /// Notes what became of a call.
    pub(crate) fn told(&self, id: CallId, told: Told, now_ms: u64) {
        match told {
            Told::Response(response) => self.returned(id, response, now_ms),
            Told::Unknown => {}
            Told::Refused => self.refused(id),
        }
    }

    /// Strikes a call out: it had no effect, and what it was told says nothing about its key.
    pub(crate) fn refused(&self, id: CallId) {
        if let Some(note) = self.processes[id.process as usize].lock().get_mut(id.number as usize) {
            note.is_refused = true;
        }
    }

    /// Notes that nobody waits for a call's answer any more: it has had its effect by now, or never
    /// will.
    pub(crate) fn untold(&self, id: CallId, now_ms: u64) {
        self.end(id, |_| {}, now_ms);
    }

    /// Notes that a claim call is about to be dropped before it had its outcome. When it was
    /// dropped, what this returns has [`returned`](Self::returned) `Done`.
    pub(crate) fn cancel(&self, claim: CallId, now_ms: u64) -> CallId {
        let key = self.end(claim, |_| {}, now_ms);
        self.invoke(claim.process, key, Call::TakeBack { claim }, now_ms)
    }

    /// Notes that the store's process is ending. What is open is never told, and has no effect any
    /// more if it has none yet.
    pub(crate) fn ended(&self, end: End, now_ms: u64) {
        let order = self.next();
        for notes in &self.processes {
            for note in notes.lock().iter_mut().filter(|note| note.is_open) {
                note.close(order, now_ms);
            }
        }
        let call = Call::Restart { loses: end == End::Crash };
        self.restarts.lock().push(Note::new(CallId::NONE, 0, call, self.next(), now_ms));
    }

    /// Notes that the store was opened again.
    pub(crate) fn reopened(&self, now_ms: u64) {
        if let Some(note) = self.restarts.lock().last_mut() {
            note.operation.response = Some(Response::Done);
            note.close(self.next(), now_ms);
        }
    }

    /// All that was noted.
    pub(crate) fn history(&self) -> History {
        let mut operations = Vec::new();
        for notes in &self.processes {
            let notes = notes.lock();
            let heard = notes.iter().filter(|note| !note.is_refused);
            operations.extend(heard.map(|note| note.operation));
        }
        let restarts = self.restarts.lock();
        let over = restarts.iter().filter(|note| !note.is_open);
        let restarts: Vec<_> = over.map(|note| note.operation).collect();
        History::new(operations, &restarts)
    }

    fn next(&self) -> u64 {
        self.order.fetch_add(1, Ordering::SeqCst)
    }

    /// Ends a call, unless its process has ended before; returns its key.
    fn end(&self, id: CallId, change: impl FnOnce(&mut Operation), now_ms: u64) -> u32 {
        let mut notes = self.processes[id.process as usize].lock();
        let Some(note) = notes.get_mut(id.number as usize) else { return 0 };
        if note.is_open {
            change(&mut note.operation);
            note.close(self.next(), now_ms);
        }
        note.operation.key
    }
}

impl Note {
    fn new(id: CallId, key: u32, call: Call, invoked: u64, from_ms: u64) -> Self {
        let operation = Operation {
            id,
            key,
            call,
            response: None,
            invoked,
            returned: u64::MAX,
            from_ms,
            to_ms: u64::MAX,
        };
        Self { operation, is_open: true, is_refused: false }
    }

    fn close(&mut self, returned: u64, to_ms: u64) {
        (self.operation.returned, self.operation.to_ms) = (returned, to_ms);
        self.is_open = false;
    }
}
