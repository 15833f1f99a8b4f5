//! The commit queue: frames that wait for the disk, and those who wait for them.
//!
//! Frames gather in the batch that is *filling*. One thread at a time *leads*: it takes the filling
//! batch, writes and syncs it, and tells its waiters; what queued meanwhile is the next batch. A
//! batch's number is the ticket of every frame in it, and `done` is the highest number that is on
//! disk, so a ticket costs nothing to make, copy or check.
//!
//! Threads wait on a futex word, one for odd and one for even batches, so that a finished batch
//! wakes all of its threads with one call and nobody else's. Tasks leave their waker with the
//! batch.
//!
//! Invariants: `done` grows only under the lock; a ticket above `done` of a failed queue fails;
//! whoever sets `leading` leads or hands over, on every path.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::Waker;

use parking_lot::{Mutex, MutexGuard};

use super::wake_word::WakeWord;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{KeyHash, StoreTime, Token};
use crate::log::{BATCH_HEADER, Frame};

/// The number of the batch that makes a change durable. Zero is durable already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u64);

impl Ticket {
    pub(crate) const DONE: Self = Self(0);
}

/// What must happen in memory once a frame is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A completion goes into the index and its flight ends.
    Publish { hash: KeyHash, token: Token, expires_at: StoreTime },
    /// A forget only needs a place in the footer: the index was changed when it was decided.
    Forget { hash: KeyHash, expires_at: StoreTime },
}

/// Frames on their way to disk.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) number: u64,
    /// Drawn when the batch is taken, so that it is higher than that of every batch before.
    pub(crate) sequence: Token,
    pub(crate) frames: u32,
    /// Room for a batch header, then the frames.
    pub(crate) bytes: Vec<u8>,
    /// Effects and where in `bytes` their frames begin.
    pub(crate) effects: Vec<(u32, Effect)>,
}

impl Default for Batch {
    fn default() -> Self {
        Self { number: 0, sequence: Token(0), frames: 0, bytes: Vec::new(), effects: Vec::new() }
    }
}

impl Batch {
    fn reset(&mut self, number: u64) {
        self.number = number;
        self.frames = 0;
        self.bytes.clear();
        self.bytes.resize(BATCH_HEADER, 0);
        self.effects.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() <= BATCH_HEADER
    }
}

#[derive(Debug)]
pub(crate) struct CommitQueue {
    state: Mutex<QueueState>,
    done: AtomicU64,
    failed: AtomicBool,
    words: [WakeWord; 2],
    committer: WakeWord,
    base: StoreTime,
    /// The first token of the block that has not been promised on disk yet.
    ceiling: AtomicU64,
    /// Whether there is a committer thread to call.
    has_committer: bool,
    /// Frames in the last batch: the crowd that is to be expected.
    crowd: AtomicU32,
    /// Frames in the filling batch, to be read without the lock.
    gathered: AtomicU32,
}

/// From this many frames in a batch on, waiting is worth a few turns of the processor before
/// sleeping: the batch is about to end, and being put to sleep and woken costs each thread more
/// than the turns do.
const CROWD: u32 = 12;
const TURNS: u32 = 8;

#[derive(Debug)]
pub(crate) struct QueueState {
    filling: Batch,
    filling_wakers: Vec<Waker>,
    in_flight_wakers: Vec<Waker>,
    /// Threads that may sleep on each word.
    sleepers: [u32; 2],
    leading: bool,
    /// Whether frames wait that nobody waits for.
    unattended: bool,
    /// The committer is asked to lead; `leading` was set for it.
    called: bool,
    stopping: bool,
    /// The log is being closed: nothing is added any more.
    sealed: bool,
    spare: Option<Batch>,
    next_token: u64,
}

/// Who leads the next batch, decided while the last one is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Nobody,
    /// The caller, which is the committer thread, goes on.
    Continue,
}

impl CommitQueue {
    pub(crate) fn new(
        base: StoreTime,
        next_token: Token,
        ceiling: Token,
        has_committer: bool,
    ) -> Self {
        let mut filling = Batch::default();
        filling.reset(1);
        Self {
            state: Mutex::new(QueueState {
                filling,
                filling_wakers: Vec::new(),
                in_flight_wakers: Vec::new(),
                sleepers: [0; 2],
                leading: false,
                unattended: false,
                called: false,
                stopping: false,
                sealed: false,
                spare: None,
                next_token: next_token.0,
            }),
            done: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            words: [WakeWord::new(), WakeWord::new()],
            committer: WakeWord::new(),
            base,
            ceiling: AtomicU64::new(ceiling.0),
            has_committer,
            crowd: AtomicU32::new(0),
            gathered: AtomicU32::new(0),
        }
    }

    /// Locks the queue to add frames. Taken inside of a shard's lock, never the other way around.
    pub(crate) fn lock(&self) -> Enqueue<'_> {
        Enqueue { queue: self, state: self.state.lock() }
    }

    /// The fate of a ticket: `None` while it is open. `Err(())` when its batch failed.
    pub(crate) fn fate(&self, ticket: Ticket) -> Option<std::result::Result<(), ()>> {
        if self.done.load(Ordering::Acquire) >= ticket.0 {
            return Some(Ok(()));
        }
        if self.failed.load(Ordering::Acquire) {
            // `done` may have moved between the two loads.
            let done = self.done.load(Ordering::Acquire) >= ticket.0;
            return Some(if done { Ok(()) } else { Err(()) });
        }
        None
    }

    /// Leaves a waker with a ticket's batch, and calls the committer if nobody leads. Returns false
    /// if the ticket's fate is known by now.
    pub(crate) fn register(&self, ticket: Ticket, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        if self.fate(ticket).is_some() {
            return false;
        }
        let mut call = false;
        if ticket.0 == state.filling.number {
            state.filling_wakers.push(waker.clone());
            call = self.call_if_idle(&mut state);
        } else {
            state.in_flight_wakers.push(waker.clone());
        }
        drop(state);
        self.wake_committer(call);
        true
    }

    /// Sees to it that queued frames reach the disk although nobody waits for them.
    pub(crate) fn nudge(&self) {
        let mut state = self.state.lock();
        if !state.filling.is_empty() {
            state.unattended = true;
            let call = self.call_if_idle(&mut state);
            drop(state);
            self.wake_committer(call);
        }
    }

    /// Puts the calling thread to sleep until its ticket's fate may be known, or tells it to lead.
    pub(crate) fn sleep_or_lead(&self, ticket: Ticket) -> Turn {
        if self.crowd.load(Ordering::Relaxed) >= CROWD {
            for _ in 0..TURNS {
                if self.fate(ticket).is_some() {
                    return Turn::Look;
                }
                std::thread::yield_now();
            }
        }
        let mut state = self.state.lock();
        if self.fate(ticket).is_some() {
            return Turn::Look;
        }
        // A store without threads has called a committer that will not come.
        if !state.leading || (!self.has_committer && std::mem::take(&mut state.called)) {
            state.leading = true;
            return Turn::Lead;
        }
        let parity = parity(ticket.0);
        if let (Some(sleepers), Some(word)) =
            (state.sleepers.get_mut(parity), self.words.get(parity))
        {
            *sleepers += 1;
            let seen = word.value();
            drop(state);
            word.sleep(seen);
        }
        Turn::Look
    }

    /// Becomes the leader if there is something to write and nobody leads.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn try_lead(&self) -> bool {
        let mut state = self.state.lock();
        let may =
            !state.leading && !state.filling.is_empty() && !self.failed.load(Ordering::Acquire);
        state.leading |= may;
        may
    }

    /// The leader lets a crowd gather: as many as came last time, or as come while it gives way a
    /// few times.
    pub(crate) fn linger(&self) {
        let crowd = self.crowd.load(Ordering::Relaxed);
        if crowd < CROWD {
            return;
        }
        for _ in 0..2 * TURNS {
            if self.gathered.load(Ordering::Relaxed) >= crowd {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// The leader takes the batch that was filling. A new one begins to fill.
    pub(crate) fn take_filling(&self) -> Batch {
        let mut state = self.state.lock();
        self.crowd.store(state.filling.frames, Ordering::Relaxed);
        self.gathered.store(0, Ordering::Relaxed);
        let number = state.filling.number + 1;
        let mut next = state.spare.take().unwrap_or_default();
        next.reset(number);
        state.filling.sequence = Token(state.next_token);
        state.next_token += 1;
        state.unattended = false;
        let wakers = std::mem::take(&mut state.filling_wakers);
        state.filling_wakers = std::mem::replace(&mut state.in_flight_wakers, wakers);
        std::mem::replace(&mut state.filling, next)
    }

    /// The leader tells a batch's waiters that it is on disk, and then settles who leads next:
    /// those who were woken first may still join the next batch, which makes it a larger one.
    pub(crate) fn tell_done(&self, mut batch: Batch, is_committer: bool) -> Next {
        let number = batch.number;
        if batch.bytes.capacity() > SPARE_BYTES {
            batch = Batch::default();
        }
        let mut state = self.state.lock();
        self.done.store(number, Ordering::Release);
        state.spare = Some(batch);
        let slept = self.rouse(&mut state, parity(number));
        if slept.is_some() || !state.in_flight_wakers.is_empty() {
            let mut wakers = std::mem::take(&mut state.in_flight_wakers);
            drop(state);
            if let Some(word) = slept {
                word.wake_all();
            }
            wakers.drain(..).for_each(Waker::wake);
            state = self.state.lock();
            // Nobody is in flight now, so nobody has left a waker: the allocation is kept.
            state.in_flight_wakers = wakers;
        }
        let (next, successor) = self.succeed(&mut state, is_committer, number + 1);
        drop(state);
        if let Some(word) = successor {
            word.wake_one();
        }
        next
    }

    /// Chooses the next leader, with the lock held. A few threads lead in turn, which saves waking
    /// one that only leads; in a crowd, and for tasks, the committer does, since it goes on without
    /// being woken again.
    fn succeed(
        &self,
        state: &mut QueueState,
        is_committer: bool,
        number: u64,
    ) -> (Next, Option<&WakeWord>) {
        state.leading = false;
        if state.filling.is_empty() {
            return (Next::Nobody, None);
        }
        if is_committer {
            state.leading = true;
            return (Next::Continue, None);
        }
        let parity = parity(number);
        let sleepers = state.sleepers.get(parity).is_some_and(|sleepers| *sleepers > 0);
        let crowded = self.crowd.load(Ordering::Relaxed) >= CROWD;
        if sleepers && !(crowded && self.has_committer) {
            let word = self.words.get(parity);
            if let Some(word) = word {
                word.bump();
            }
            return (Next::Nobody, word);
        }
        let waiting = sleepers || !state.filling_wakers.is_empty() || state.unattended;
        let called = waiting && self.call_if_idle(state);
        (Next::Nobody, called.then_some(&self.committer))
    }

    /// Fails every open ticket. The poison is set by then.
    pub(crate) fn tell_failed(&self) {
        let mut state = self.state.lock();
        self.failed.store(true, Ordering::Release);
        state.leading = false;
        let mut wakers = std::mem::take(&mut state.in_flight_wakers);
        wakers.append(&mut state.filling_wakers);
        drop(state);
        for word in &self.words {
            word.bump();
            word.wake_all();
        }
        wakers.drain(..).for_each(Waker::wake);
    }

    /// What the committer thread does between calls: sleeps until it is to lead (true) or to stop
    /// (false).
    pub(crate) fn wait_for_call(&self) -> bool {
        loop {
            let mut state = self.state.lock();
            if std::mem::take(&mut state.called) {
                return true;
            }
            if state.stopping {
                return false;
            }
            let seen = self.committer.value();
            drop(state);
            self.committer.sleep(seen);
        }
    }

    /// Lets the committer thread end once it has nothing to do.
    pub(crate) fn stop(&self) {
        self.state.lock().stopping = true;
        self.committer.bump();
        self.committer.wake_all();
    }

    /// Whether frames wait or are being written.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        !state.leading && state.filling.is_empty()
    }

    /// A ticket for everything queued so far.
    pub(crate) fn everything(&self) -> Ticket {
        let state = self.state.lock();
        Ticket(if state.filling.is_empty() {
            state.filling.number - 1
        } else {
            state.filling.number
        })
    }

    /// Takes no more frames; returns the ticket of the last.
    pub(crate) fn seal(&self) -> Ticket {
        self.state.lock().sealed = true;
        self.everything()
    }

    /// Bytes that wait to be taken.
    pub(crate) fn queued_bytes(&self) -> u64 {
        self.state.lock().filling.bytes.len() as u64
    }

    /// Draws a sequence for a batch.
    pub(crate) fn draw_sequence(&self) -> Token {
        let mut state = self.state.lock();
        let token = Token(state.next_token);
        state.next_token += 1;
        token
    }

    /// The next token to be given out.
    pub(crate) fn next_token(&self) -> Token {
        Token(self.state.lock().next_token)
    }

    /// The ceiling that is promised on disk.
    pub(crate) fn ceiling(&self) -> Token {
        Token(self.ceiling.load(Ordering::Acquire))
    }

    pub(crate) fn raise_ceiling(&self, ceiling: Token) {
        self.ceiling.fetch_max(ceiling.0, Ordering::AcqRel);
    }

    /// Makes the committer the leader if there is none. It is still to be woken, once the lock is
    /// let go.
    fn call_if_idle(&self, state: &mut QueueState) -> bool {
        let call = !state.leading && !self.failed.load(Ordering::Acquire);
        if call {
            state.leading = true;
            state.called = true;
            self.committer.bump();
        }
        call
    }

    fn wake_committer(&self, called: bool) {
        if called {
            self.committer.wake_one();
        }
    }

    /// Whether the committer was called and has not come: a store without threads leads in its
    /// place.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn answer_call(&self) -> bool {
        std::mem::take(&mut self.state.lock().called)
    }

    /// Changes the word of finished batches; returns it if threads sleep on it.
    fn rouse(&self, state: &mut QueueState, parity: usize) -> Option<&WakeWord> {
        let slept = state.sleepers.get_mut(parity).map_or(0, std::mem::take);
        let word = self.words.get(parity).filter(|_| slept > 0);
        if let Some(word) = word {
            word.bump();
        }
        word
    }
}

/// A buffer that grew beyond this is not kept.
const SPARE_BYTES: usize = 4 << 20;

const fn parity(number: u64) -> usize {
    (number & 1) as usize
}

/// What a waiting thread is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Look at the ticket again.
    Look,
    /// Lead: write the filling batch.
    Lead,
}

/// The locked queue, to add frames.
#[derive(Debug)]
pub(crate) struct Enqueue<'a> {
    queue: &'a CommitQueue,
    state: MutexGuard<'a, QueueState>,
}

impl Enqueue<'_> {
    /// Draws the next token.
    pub(crate) fn draw(&mut self) -> Result<Token> {
        let token = self.state.next_token;
        if token >= self.queue.ceiling.load(Ordering::Acquire) {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                "more changes are queued than fencing tokens are promised; slow down",
            ));
        }
        self.state.next_token += 1;
        Ok(Token(token))
    }

    /// Adds a frame.
    pub(crate) fn push(&mut self, frame: &Frame<'_>, effect: Option<Effect>) -> Result<Ticket> {
        let state = &mut *self.state;
        if state.sealed {
            return Err(Error::new(ErrorKind::Closed, "the store was closed"));
        }
        let at = state.filling.bytes.len();
        frame
            .encode(self.queue.base, &mut state.filling.bytes)
            .map_err(|_| Error::new(ErrorKind::LimitExceeded, "a frame would be 16 MiB or more"))?;
        state.filling.frames += 1;
        self.queue.gathered.store(state.filling.frames, Ordering::Relaxed);
        if let Some(effect) = effect {
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            state.filling.effects.push((at, effect));
        }
        Ok(Ticket(state.filling.number))
    }

    /// Lets go of the queue, having left a waker with the frame just added.
    pub(crate) fn wait_with(mut self, waker: Option<&Waker>) {
        if let Some(waker) = waker {
            self.state.filling_wakers.push(waker.clone());
            let call = self.queue.call_if_idle(&mut self.state);
            drop(self.state);
            self.queue.wake_committer(call);
        }
    }
}
