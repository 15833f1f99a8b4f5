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
//! Invariants: `done` grows only under the lock; a ticket above `done` of a failed queue fails, and
//! nothing is added to one; whoever sets `leading` leads or hands over, on every path.

use std::task::Waker;

use super::batch::{Batch, Effect, Ticket};
use super::patience::Patience;
use super::signal::{Wakers, wake_all};
use super::wake_word::WakeWord;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{StoreTime, Token};
use crate::log::Frame;
use crate::sabotage::{self, Bug};
use crate::slip::{self, Slip};
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::thread::{self, ThreadId};
use crate::sync::{Mutex, MutexGuard};

#[derive(Debug)]
pub(crate) struct CommitQueue {
    state: Mutex<QueueState>,
    done: AtomicU64,
    failed: AtomicBool,
    /// Whether somebody leads, or was called to. Changed under the lock only.
    leading: AtomicBool,
    /// Whether `waking` is set, to be read without the lock.
    is_waking: AtomicBool,
    words: [WakeWord; 2],
    committer: WakeWord,
    patience: Patience,
    base: StoreTime,
    /// The first token of the block that has not been promised on disk yet.
    ceiling: AtomicU64,
    /// Whether there is a committer thread to call.
    has_committer: bool,
    /// Whether batches are written and not synced, so that they are over at once.
    is_brief: bool,
    /// Frames in the last batch: the crowd that is to be expected.
    crowd: AtomicU32,
    /// Frames in the filling batch, to be read without the lock.
    gathered: AtomicU32,
    /// Bytes of the filling batch, and of the one that is being written, to be read without the
    /// lock.
    gathered_bytes: AtomicU64,
    writing_bytes: AtomicU64,
}

/// From this many frames in a batch on, waiting is worth a few turns of the processor before
/// sleeping: the batch is about to end, and being put to sleep and woken costs each thread more
/// than the turns do.
const CROWD: u32 = if cfg!(oncekey_shuttle) { 3 } else { 12 };
const TURNS: u32 = 8;
/// As many turns does a waiter take before it sleeps where batches are not synced.
const PATIENCE: u32 = 64;

#[derive(Debug)]
pub(crate) struct QueueState {
    filling: Batch,
    filling_wakers: Vec<Waker>,
    in_flight_wakers: Vec<Waker>,
    /// The leader that is calling wakers, which may wait for the next batch: it leads that, too.
    waking: Option<ThreadId>,
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
        (has_committer, is_brief): (bool, bool),
        patience: Patience,
    ) -> Self {
        let mut filling = Batch::default();
        filling.reset(1);
        Self {
            state: Mutex::new(QueueState {
                filling,
                filling_wakers: Vec::new(),
                in_flight_wakers: Vec::new(),
                waking: None,
                unattended: false,
                called: false,
                stopping: false,
                sealed: false,
                spare: None,
                next_token: next_token.0,
            }),
            done: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            leading: AtomicBool::new(false),
            is_waking: AtomicBool::new(false),
            words: [WakeWord::new(), WakeWord::new()],
            committer: WakeWord::new(),
            patience,
            base,
            ceiling: AtomicU64::new(ceiling.0),
            has_committer,
            is_brief,
            crowd: AtomicU32::new(0),
            gathered: AtomicU32::new(0),
            gathered_bytes: AtomicU64::new(0),
            writing_bytes: AtomicU64::new(0),
        }
    }

    /// Locks the queue to add frames. Taken inside of a shard's lock, never the other way around.
    pub(crate) fn lock(&self) -> Enqueue<'_> {
        Enqueue { queue: self, state: self.state.lock() }
    }

    /// The fate of a ticket: `None` while it is open. `Err(())` when its batch failed.
    pub(crate) fn fate(&self, ticket: Ticket) -> Option<std::result::Result<(), ()>> {
        if self.done.load(Ordering::SeqCst) >= ticket.0 {
            return Some(Ok(()));
        }
        if self.failed.load(Ordering::SeqCst) {
            // `done` may have moved between the two loads.
            let done = self.done.load(Ordering::SeqCst) >= ticket.0;
            return Some(if done { Ok(()) } else { Err(()) });
        }
        None
    }

    /// Leaves a waker with a ticket's batch, and calls the committer if nobody leads. Returns false
    /// if the ticket's fate is known by now.
    pub(crate) fn register(&self, ticket: Ticket, waker: &Waker) -> bool {
        let waker = waker.clone();
        let mut state = self.state.lock();
        if self.fate(ticket).is_some() {
            return false;
        }
        let mut call = false;
        if ticket.0 == state.filling.number {
            state.filling_wakers.push(waker);
            call = self.call_if_idle(&mut state);
        } else {
            state.in_flight_wakers.push(waker);
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
        if self.is_brief {
            if let Some(turn) = self.stay_awake(ticket) {
                return turn;
            }
        } else if self.crowd.load(Ordering::Relaxed) >= CROWD {
            let look = || self.fate(ticket).map(|_| Turn::Look);
            if let Some(turn) = self.patience.give_way(TURNS, look) {
                return turn;
            }
        }
        if self.may_lead(ticket) {
            return Turn::Lead;
        }
        let Some(word) = self.words.get(parity(ticket.0)) else { return Turn::Look };
        let seen = word.enter();
        // Whoever ended the batch, or stopped leading, before it could see a sleeper, is seen here.
        if slip::is_on(Slip::SleepUnchecked) || (self.fate(ticket).is_none() && self.is_led()) {
            word.sleep(seen);
        }
        Turn::Look
    }

    fn is_led(&self) -> bool {
        self.leading.load(Ordering::SeqCst)
    }

    /// Makes the caller the leader if there is none and its ticket is open.
    fn may_lead(&self, ticket: Ticket) -> bool {
        if self.is_led() && self.has_committer && !self.is_waking.load(Ordering::SeqCst) {
            return false;
        }
        let mut state = self.state.lock();
        if self.fate(ticket).is_some() {
            return false;
        }
        if state.waking == Some(thread::current().id()) {
            state.waking = None;
            self.is_waking.store(false, Ordering::SeqCst);
            return true;
        }
        let free = !self.is_led();
        if free {
            self.leading.store(true, Ordering::SeqCst);
        }
        free
    }

    /// Waits without sleeping for a batch that is only written, not synced: it takes about as long
    /// as putting a thread to sleep does.
    fn stay_awake(&self, ticket: Ticket) -> Option<Turn> {
        self.patience.give_way(PATIENCE, || {
            if self.fate(ticket).is_some() {
                return Some(Turn::Look);
            }
            self.may_lead(ticket).then_some(Turn::Lead)
        })
    }

    /// Becomes the leader if there is something to write and nobody leads.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn try_lead(&self) -> bool {
        let state = self.state.lock();
        let failed = self.failed.load(Ordering::SeqCst);
        let may = !self.is_led() && !state.filling.is_empty() && !failed;
        if may {
            self.leading.store(true, Ordering::SeqCst);
        }
        may
    }

    /// The leader lets a crowd gather: as many as came last time, or as come while it gives way a
    /// few times.
    pub(crate) fn linger(&self) {
        let crowd = self.crowd.load(Ordering::Relaxed);
        if crowd < CROWD || self.is_brief {
            return;
        }
        let look = || (self.gathered.load(Ordering::Relaxed) >= crowd).then_some(());
        let _ = self.patience.give_way(2 * TURNS, look);
    }

    /// The leader takes the batch that was filling. A new one begins to fill.
    pub(crate) fn take_filling(&self) -> Batch {
        let mut state = self.state.lock();
        self.crowd.store(state.filling.frames, Ordering::Relaxed);
        self.gathered.store(0, Ordering::Relaxed);
        self.writing_bytes.store(state.filling.bytes.len() as u64, Ordering::Release);
        self.gathered_bytes.store(0, Ordering::Release);
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
    pub(crate) fn tell_done(&self, mut batch: Batch, is_committer: bool, ended: Wakers) -> Next {
        let number = batch.number;
        if batch.bytes.capacity() > SPARE_BYTES {
            batch = Batch::default();
        }
        let mut state = self.state.lock();
        self.done.store(number, Ordering::SeqCst);
        state.spare = Some(batch);
        let word = self.words.get(parity(number));
        let slept = word.is_some_and(WakeWord::has_sleepers);
        let has_wakers = !state.in_flight_wakers.is_empty() || !ended.is_empty();
        if slept || has_wakers {
            let mut wakers = std::mem::take(&mut state.in_flight_wakers);
            let waking = has_wakers.then(|| thread::current().id());
            state.waking = waking;
            self.is_waking.store(has_wakers, Ordering::SeqCst);
            drop(state);
            if sabotage::is_on(Bug::LostWakeUp) {
                wakers.retain(|_| !sabotage::is_seventh());
            }
            word.inspect(|word| word.finish());
            wake_all(&mut wakers);
            drop(ended);
            state = self.state.lock();
            if state.waking != waking {
                // A waker has led the next batch, and settled who leads after that.
                return Next::Nobody;
            }
            state.waking = None;
            self.is_waking.store(false, Ordering::SeqCst);
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
        if is_committer && !state.filling.is_empty() {
            return (Next::Continue, None);
        }
        self.leading.store(false, Ordering::SeqCst);
        if state.filling.is_empty() {
            return (Next::Nobody, None);
        }
        let word = self.words.get(parity(number)).filter(|word| word.has_sleepers());
        let crowded = self.crowd.load(Ordering::Relaxed) >= CROWD;
        // A word may say that somebody sleeps who turned back at the last moment. For a thread's
        // own frame that does no harm, since it comes to lead; a task's would wait for ever.
        let only_threads = state.filling_wakers.is_empty() && !state.unattended;
        if word.is_some() && (!self.has_committer || (only_threads && !crowded)) {
            word.inspect(|word| word.bump());
            return (Next::Nobody, word);
        }
        let waiting = word.is_some() || !only_threads;
        let called = waiting && self.call_if_idle(state);
        (Next::Nobody, called.then_some(&self.committer))
    }

    /// Tells a batch's waiters that it is on disk when it is not, for two of the [`Bug`]s. The
    /// leader may hold the writer: a waker must do no more than wake.
    pub(crate) fn tell_untrue(&self, number: u64) {
        let mut state = self.state.lock();
        self.done.store(number, Ordering::SeqCst);
        let mut wakers = std::mem::take(&mut state.in_flight_wakers);
        drop(state);
        self.words.iter().for_each(WakeWord::finish);
        wake_all(&mut wakers);
    }

    /// Fails every open ticket. The poison is set by then.
    pub(crate) fn tell_failed(&self) {
        let mut state = self.state.lock();
        self.failed.store(true, Ordering::SeqCst);
        self.leading.store(false, Ordering::SeqCst);
        let mut wakers = std::mem::take(&mut state.in_flight_wakers);
        wakers.append(&mut state.filling_wakers);
        drop(state);
        self.words.iter().for_each(WakeWord::finish);
        wake_all(&mut wakers);
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
            let seen = self.committer.enter();
            drop(state);
            self.committer.sleep(seen);
        }
    }

    /// Lets the committer thread end once it has nothing to do.
    pub(crate) fn stop(&self) {
        self.state.lock().stopping = true;
        self.committer.finish();
    }

    /// Whether frames wait or are being written.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        !self.is_led() && state.filling.is_empty()
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

    /// Whether the log is being closed.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn is_sealed(&self) -> bool {
        self.state.lock().sealed
    }

    /// Takes no more frames; returns the ticket of the last.
    pub(crate) fn seal(&self) -> Ticket {
        self.state.lock().sealed = true;
        self.everything()
    }

    /// Bytes that are queued and not written, the batch that is being written included.
    pub(crate) fn unwritten_bytes(&self) -> u64 {
        let gathered = self.gathered_bytes.load(Ordering::Acquire);
        gathered + self.writing_bytes.load(Ordering::Acquire)
    }

    /// The leader has written what it took, and has noted what room that left.
    pub(crate) fn note_written(&self) {
        self.writing_bytes.store(0, Ordering::Release);
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
    /// let go. Without a committer the next who waits leads: it must not find that somebody does.
    fn call_if_idle(&self, state: &mut QueueState) -> bool {
        let call = self.has_committer && !self.is_led() && !self.failed.load(Ordering::SeqCst);
        if call {
            self.leading.store(true, Ordering::SeqCst);
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

    /// Whether the committer was called and has not come; from now on it was not.
    #[cfg(test)]
    fn answer_call(&self) -> bool {
        std::mem::take(&mut self.state.lock().called)
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
        // Everybody has been told: nobody would be woken for what comes after.
        if self.queue.failed.load(Ordering::Relaxed) {
            return Err(Error::new(
                ErrorKind::Poisoned,
                "the store takes no more changes since a write failed; open it anew",
            ));
        }
        let at = state.filling.bytes.len();
        frame
            .encode(self.queue.base, &mut state.filling.bytes)
            .map_err(|_| Error::new(ErrorKind::LimitExceeded, "a frame would be 16 MiB or more"))?;
        state.filling.frames += 1;
        self.queue.gathered.store(state.filling.frames, Ordering::Relaxed);
        self.queue.gathered_bytes.store(state.filling.bytes.len() as u64, Ordering::Release);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_did_not_sleep_after_all_keeps_no_task_waiting() {
        let patience = Patience::new(std::sync::Arc::new(crate::clock::SimClock::new(0)));
        let queue = CommitQueue::new(StoreTime(0), Token(1), Token(100), (true, false), patience);
        let frame = Frame::Release { token: Token(1) };
        let push = || queue.lock().push(&frame, None).expect("queued");
        push();
        assert!(queue.try_lead());
        let batch = queue.take_filling();
        // A task waits for the next batch; a thread of an earlier one has left its mark and gone.
        let ticket = push();
        assert!(queue.register(ticket, Waker::noop()));
        queue.words[parity(ticket.0)].enter();
        queue.tell_done(batch, false, Wakers::default());
        assert!(queue.answer_call(), "the committer is called");
    }
}
