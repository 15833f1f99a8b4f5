//! The ring between those who decide and the audit thread.
//!
//! It is made of chunks of lines, each line one of the processor's cache. Drafts are appended to
//! the chunk that is current; whoever finds it full makes a free one current in its place, and the
//! audit thread frees chunks when it has read them. The lowest free chunk is taken, so that the few
//! in use are the same ones again and again, and stay in the processor's cache: most of what
//! handing over costs is the memory that it touches.
//!
//! Invariants:
//! - It is bounded, and its memory is all there from the start; handing over neither waits nor
//!   allocates nor takes a lock that anybody else can have; what finds no chunk free is dropped and
//!   counted.
//! - Drafts keep the order in which they were handed over, so events that one key's lock orders
//!   stay ordered. A chunk's lives have numbers that rise: what was reserved in one is never taken
//!   for another's, however late it comes.
//! - A line's first word is zero until the draft in it is whole, and again once it was read.
//!
//! Numbers are given where the ring is emptied, by the one thread that does it: a number that is
//! drawn before the push could overtake another in the ring. What was dropped takes numbers there,
//! too, so that it shows as a gap.

use std::fmt;

use super::EventKind;
use super::draft::{Draft, Texts};
use super::packed::{Header, LINE, WORDS, pack, unpack};
use crate::ids::StoreTime;
use crate::sabotage::{self, Bug};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// As many chunks as a word has bits, or fewer.
const MAX_CHUNKS: usize = 64;
/// The thread is worth waking when this part of the ring is in use.
const BUSY_PART: usize = 8;
/// The most that a draft takes.
const MOST_LINES: usize = WORDS / LINE;

/// A line of the cache.
#[repr(align(64))]
#[derive(Default)]
struct Line([AtomicU64; LINE]);

struct Chunk {
    /// The life, whether it is over, and how many lines are reserved: see [`Reserved`].
    reserved: AtomicU64,
    /// The chunk that became current after this one, and one; zero while that is not known.
    next: AtomicU32,
    lines: Box<[Line]>,
    /// The texts of the draft that begins at twice the number.
    texts: Box<[Mutex<Texts>]>,
}

pub(crate) struct Ring {
    /// See [`Current`].
    current: AtomicU64,
    chunks: Box<[Chunk]>,
    /// The chunks that are free, a bit each.
    free: AtomicU64,
    dropped: AtomicU64,
    /// Whether the thread has been called and has not come yet.
    called: AtomicBool,
    /// So many chunks are in use when the thread is worth waking.
    busy_from: u32,
    /// More drafts than there can be.
    limit: usize,
    /// What is read next.
    head: Mutex<Head>,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    chunk: usize,
    line: usize,
}

/// The chunk that is current, and the number of its life: that of the chunk before it, and one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Current {
    life: u64,
    chunk: usize,
}

/// What a chunk's word says: 45 bits of its life, whether it takes no more, 18 bits of lines.
#[derive(Debug, Clone, Copy)]
struct Reserved {
    life: u64,
    is_closed: bool,
    lines: usize,
}

const LIFE_SHIFT: u32 = 19;
/// Three hundred years of a million drafts a second, in chunks of 265. Then all is dropped.
const MAX_LIFE: u64 = u64::MAX >> LIFE_SHIFT;
const CLOSED: u64 = 1 << 18;

impl Current {
    const fn bits(self) -> u64 {
        self.life << LIFE_SHIFT | self.chunk as u64
    }

    const fn of(bits: u64) -> Self {
        Self { life: bits >> LIFE_SHIFT, chunk: (bits & (CLOSED - 1)) as usize }
    }
}

impl Reserved {
    const fn bits(self) -> u64 {
        let closed = if self.is_closed { CLOSED } else { 0 };
        self.life << LIFE_SHIFT | closed | self.lines as u64
    }

    const fn of(bits: u64) -> Self {
        let lines = (bits & (CLOSED - 1)) as usize;
        Self { life: bits >> LIFE_SHIFT, is_closed: bits & CLOSED != 0, lines }
    }
}

/// What came of making another chunk current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Done,
    /// Another did it.
    Others,
    NoneFree,
}

/// What came of looking for room.
enum Room {
    At(usize),
    /// The chunk is full.
    Full,
    /// The chunk is not current any more.
    Gone,
}

impl Chunk {
    fn new(drafts: usize) -> Self {
        // One line may be left over, where a draft of two does not fit.
        let lines = MOST_LINES * drafts + 1;
        Self {
            reserved: AtomicU64::new(0),
            next: AtomicU32::new(0),
            lines: (0..lines).map(|_| Line::default()).collect(),
            texts: (0..lines.div_ceil(MOST_LINES)).map(|_| Mutex::default()).collect(),
        }
    }

    /// Reserves lines in this life of the chunk, or closes it if there are not so many.
    fn reserve(&self, life: u64, lines: usize) -> Room {
        let mut seen = self.reserved.load(Ordering::Acquire);
        loop {
            let reserved = Reserved::of(seen);
            if reserved.life != life {
                return Room::Gone;
            }
            if reserved.is_closed {
                return Room::Full;
            }
            let fits = reserved.lines + lines <= self.lines.len();
            let after = match fits {
                true => Reserved { lines: reserved.lines + lines, ..reserved },
                false => Reserved { is_closed: true, ..reserved },
            };
            let order = (Ordering::AcqRel, Ordering::Acquire);
            match self.reserved.compare_exchange_weak(seen, after.bits(), order.0, order.1) {
                Ok(_) if fits => return Room::At(reserved.lines),
                Ok(_) => return Room::Full,
                Err(now) => seen = now,
            }
        }
    }

    /// Writes a draft to the lines that were reserved for it.
    fn write(&self, at: usize, words: &[u64; WORDS], texts: Texts) {
        let header = Header(words.first().copied().unwrap_or_default());
        if header.has_texts()
            && let Some(slot) = self.texts.get(at / MOST_LINES)
        {
            *slot.lock() = texts;
        }
        let lines = self.lines.get(at..).unwrap_or_default();
        let slots = lines.iter().take(header.lines()).flat_map(|line| &line.0);
        for (slot, word) in slots.zip(words).skip(1) {
            slot.store(*word, Ordering::Relaxed);
        }
        if let Some(Line([first, ..])) = lines.first() {
            first.store(header.0, Ordering::Release);
        }
    }

    /// Takes the draft that begins at a line, if it is whole, and says how many lines it had.
    fn take(&self, at: usize, draft: &mut Draft) -> Option<usize> {
        let lines = self.lines.get(at..)?;
        let Line([first, ..]) = lines.first()?;
        let header = Header(first.load(Ordering::Acquire));
        if !header.is_present() {
            return None;
        }
        let mut words = [0; WORDS];
        let slots = lines.iter().take(header.lines()).flat_map(|line| &line.0);
        for (word, slot) in words.iter_mut().zip(slots) {
            *word = slot.load(Ordering::Relaxed);
        }
        for Line([first, ..]) in lines.iter().take(header.lines()) {
            first.store(0, Ordering::Relaxed);
        }
        // What was packed is a draft.
        unpack(&words, draft)?;
        if header.has_texts()
            && let Some(slot) = self.texts.get(at / MOST_LINES)
        {
            draft.texts = std::mem::take(&mut *slot.lock());
        }
        Some(header.lines())
    }
}

impl Ring {
    /// A ring that holds at least so many drafts.
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        // One is filled and one may be read, and neither is whole: two more than are needed.
        let of_chunk = capacity.div_ceil(MAX_CHUNKS - 2);
        let count = capacity.div_ceil(of_chunk) + 2;
        let all = u64::MAX >> (MAX_CHUNKS - count);
        Self {
            // The first is current.
            current: AtomicU64::new(Current { life: 0, chunk: 0 }.bits()),
            chunks: (0..count).map(|_| Chunk::new(of_chunk)).collect(),
            free: AtomicU64::new(all & !1),
            dropped: AtomicU64::new(0),
            called: AtomicBool::new(false),
            busy_from: count.div_ceil(BUSY_PART).max(2) as u32,
            limit: count * (MOST_LINES * of_chunk + 1),
            head: Mutex::new(Head { chunk: 0, line: 0 }),
        }
    }

    /// Hands a draft over, or drops it. Returns whether the thread is to be woken: once for each
    /// time that it comes.
    pub(crate) fn push(&self, draft: Draft) -> bool {
        let words = pack(&draft);
        let [header, ..] = words;
        let mut is_called = false;
        loop {
            let current = Current::of(self.current.load(Ordering::Acquire));
            let Some(chunk) = self.chunks.get(current.chunk) else { return is_called };
            match chunk.reserve(current.life, Header(header).lines()) {
                Room::At(at) => {
                    chunk.write(at, &words, draft.texts);
                    return is_called;
                }
                Room::Gone => {}
                Room::Full => match self.turn(current, chunk) {
                    Turn::Done => is_called |= self.call_if_busy(),
                    Turn::Others => {}
                    Turn::NoneFree => {
                        self.count_drop();
                        return is_called;
                    }
                },
            }
        }
    }

    fn count_drop(&self) {
        if !sabotage::is_on(Bug::UncountedDrop) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Makes a free chunk current in the place of one that is full.
    fn turn(&self, from: Current, full: &Chunk) -> Turn {
        let Some((free, chunk)) = self.take_free() else {
            let is_current = self.current.load(Ordering::Acquire) == from.bits();
            return if is_current { Turn::NoneFree } else { Turn::Others };
        };
        let to = Current { life: from.life.saturating_add(1).min(MAX_LIFE), chunk: free };
        // Whoever is late must not begin a life again that somebody may have seen: what they then
        // reserved in it would never be read.
        if Reserved::of(chunk.reserved.load(Ordering::Acquire)).life >= to.life {
            self.give_back(free);
            let is_over = from.life >= MAX_LIFE;
            return if is_over { Turn::NoneFree } else { Turn::Others };
        }
        // Nobody reserves in it before it is current: no one else knows of this life.
        let empty = Reserved { life: to.life, is_closed: false, lines: 0 };
        chunk.reserved.store(empty.bits(), Ordering::Release);
        let order = (Ordering::AcqRel, Ordering::Acquire);
        match self.current.compare_exchange(from.bits(), to.bits(), order.0, order.1) {
            Ok(_) => {
                full.next.store(free as u32 + 1, Ordering::Release);
                Turn::Done
            }
            Err(_) => {
                self.give_back(free);
                Turn::Others
            }
        }
    }

    fn take_free(&self) -> Option<(usize, &Chunk)> {
        loop {
            let free = self.free.load(Ordering::Relaxed);
            let lowest = free & free.wrapping_neg();
            if lowest == 0 {
                return None;
            }
            if self.free.fetch_and(!lowest, Ordering::AcqRel) & lowest != 0 {
                let number = lowest.trailing_zeros() as usize;
                return self.chunks.get(number).map(|chunk| (number, chunk));
            }
        }
    }

    fn give_back(&self, chunk: usize) {
        self.free.fetch_or(1 << chunk, Ordering::AcqRel);
    }

    fn call_if_busy(&self) -> bool {
        let in_use = self.chunks.len() as u32 - self.free.load(Ordering::Relaxed).count_ones();
        in_use >= self.busy_from
            && !self.called.load(Ordering::Relaxed)
            && !self.called.swap(true, Ordering::AcqRel)
    }

    /// Takes drafts, the oldest first, until there is none that is whole; but no more than the ring
    /// holds: what comes meanwhile is for the next time.
    pub(crate) fn take(&self, mut each: impl FnMut(&mut Draft)) {
        let mut draft = Draft::new(EventKind::Claimed, StoreTime(0));
        let mut head = self.head.lock();
        let mut taken = 0;
        while let Some(chunk) = self.chunks.get(head.chunk).filter(|_| taken < self.limit) {
            if let Some(lines) = chunk.take(head.line, &mut draft) {
                head.line += lines;
                taken += 1;
                each(&mut draft);
            } else if !self.go_on(&mut head, chunk) {
                return;
            }
        }
    }

    /// Goes on to the next chunk, if all of this one has been read.
    fn go_on(&self, head: &mut Head, chunk: &Chunk) -> bool {
        let reserved = Reserved::of(chunk.reserved.load(Ordering::Acquire));
        let next = chunk.next.load(Ordering::Acquire);
        if !reserved.is_closed || reserved.lines > head.line || next == 0 {
            return false;
        }
        chunk.next.store(0, Ordering::Relaxed);
        self.give_back(head.chunk);
        *head = Head { chunk: next as usize - 1, line: 0 };
        true
    }

    /// The thread is about to look: from now on it may be called again.
    pub(crate) fn come(&self) {
        self.called.store(false, Ordering::Release);
    }

    /// How many were dropped since the beginning.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("limit", &self.limit)
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::audit::Label;
    use crate::types::Caller;

    /// A draft with a number, of one line or two, with a text or without.
    fn draft(number: u64, is_long: bool, has_text: bool) -> Draft {
        let mut draft = Draft::new(EventKind::Claimed, StoreTime(number));
        draft.seen.context.request = is_long.then(|| Label::new(7));
        let caller = || Arc::new(Caller::new().client(number.to_string()));
        draft.texts.caller = has_text.then(caller);
        draft
    }

    fn taken(ring: &Ring) -> Vec<Draft> {
        let mut taken = Vec::new();
        ring.take(|next| taken.push(std::mem::replace(next, draft(0, false, false))));
        taken
    }

    #[test]
    fn promise_9_a_full_ring_drops_and_counts_and_calls_once() {
        for capacity in [1, 2, 7, 64, 1000] {
            let ring = Ring::new(capacity);
            let calls = || (0..5000).filter(|at| ring.push(draft(*at, true, false))).count();
            assert_eq!(calls(), 1);
            let mut kept = Vec::new();
            ring.take(|draft| kept.push(draft.at.0));
            let dropped = ring.dropped() as usize;
            assert!(kept.len() >= capacity && kept.len() <= 2 * capacity + 4, "{}", kept.len());
            assert_eq!(kept.len() + dropped, 5000);
            assert!(kept.iter().copied().eq(0..kept.len() as u64), "the first to come are kept");
            ring.come();
            assert_eq!(calls(), 1);
        }
    }

    /// Whoever saw a chunk as current, and comes to reserve in it only when it was read and freed,
    /// must not find a life of that number there again: somebody who is as late may have taken the
    /// chunk to make it current, and must leave it as it was.
    #[test]
    fn promise_9_no_chunk_has_a_life_twice() {
        let ring = Ring::new(4);
        let now = || Current::of(ring.current.load(Ordering::Acquire));
        let mut seen = vec![now()];
        for number in 0..40 {
            ring.push(draft(number, true, false));
            if now() != seen[seen.len() - 1] {
                seen.push(now());
            }
            taken(&ring);
        }
        assert!(seen.len() > 10, "{seen:?}");
        let (current, past) = seen.split_last().expect("some");
        for late in past {
            assert_eq!(ring.turn(*late, &ring.chunks[late.chunk]), Turn::Others);
            for Current { life, chunk } in past {
                let room = ring.chunks[*chunk].reserve(*life, 1);
                assert!(!matches!(room, Room::At(_)), "{late:?} begins {life} again");
            }
        }
        assert_eq!(now(), *current);
    }

    #[test]
    fn the_chunks_in_use_are_the_same_again_and_again() {
        let ring = Ring::new(1000);
        for round in 0..1000 {
            for at in 0..30 {
                ring.push(draft(round * 30 + at, true, false));
            }
            assert_eq!(taken(&ring).len(), 30);
            assert!(ring.head.lock().chunk < 4);
        }
        assert_eq!(ring.dropped(), 0);
    }

    proptest! {
        #[test]
        fn what_is_pushed_is_taken_in_order_or_counted(
            capacity in 1_usize..40,
            steps in prop::collection::vec((0_u8..8, any::<bool>(), any::<bool>()), 1..400),
        ) {
            let ring = Ring::new(capacity);
            let mut waiting: VecDeque<(u64, bool)> = VecDeque::new();
            for (number, (step, is_long, has_text)) in steps.into_iter().enumerate() {
                let number = number as u64;
                if step == 0 {
                    for draft in taken(&ring) {
                        let (expected, has_text) = waiting.pop_front().expect("pushed");
                        prop_assert_eq!(draft.at.0, expected);
                        let caller = draft.texts.caller.as_deref();
                        let name = has_text.then(|| expected.to_string());
                        prop_assert_eq!(caller.and_then(Caller::client_name), name.as_deref());
                    }
                    prop_assert!(waiting.len() <= 3 * capacity + 8);
                    if waiting.len() < capacity {
                        continue;
                    }
                }
                let dropped = ring.dropped();
                ring.push(draft(number, is_long, has_text));
                if ring.dropped() == dropped {
                    waiting.push_back((number, has_text));
                } else {
                    prop_assert!(waiting.len() >= capacity, "with {} waiting", waiting.len());
                }
            }
        }
    }

    #[test]
    fn threads_hand_over_all_that_is_not_dropped_and_each_keeps_its_order() {
        const EACH: u64 = 50_000;
        const THREADS: u64 = 4;
        let ring = Ring::new(64);
        let mut last = [None; THREADS as usize];
        let mut count = 0;
        std::thread::scope(|scope| {
            let push = |thread: u64| {
                let ring = &ring;
                move || {
                    for number in 0..EACH {
                        let at = thread * EACH + number;
                        ring.push(draft(at, at.is_multiple_of(3), at.is_multiple_of(27)));
                    }
                }
            };
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(push(thread))).collect();
            let mut take = || {
                for draft in taken(&ring) {
                    let (thread, number) = (draft.at.0 / EACH, draft.at.0 % EACH);
                    let last = last[thread as usize].replace(number);
                    assert!(last.is_none_or(|last| last < number));
                    let has_text = draft.texts.caller.is_some();
                    assert_eq!(has_text, draft.at.0.is_multiple_of(27));
                    count += 1;
                }
            };
            while threads.iter().any(|thread| !thread.is_finished()) {
                take();
            }
            take();
        });
        assert_eq!(count + ring.dropped(), EACH * THREADS);
        assert!(count > 0);
    }
}
