//! What the clients of a load began and were told, key by key: what is held against a store
//! afterwards.
//!
//! Invariants: a client does one thing at a time, and writes it down before it does it and again
//! when it was told. So of what one client began at most the last is untold.

use std::collections::BTreeMap;

use oncekey::Record;

/// What a key may be found as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// There is nothing, or nothing any more.
    Absent,
    /// Somebody holds it: after a crash its claim is ownerless, or unresolved.
    Held(Held),
    /// It has a response.
    Done(Done),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// `None` until its claim is told.
    pub token: Option<u64>,
    pub attempt: u32,
    pub unresolved: bool,
    /// The number in the last checkpoint.
    pub checkpoint: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    pub token: Option<u64>,
    pub attempt: u32,
    /// `None` until it is told.
    pub expires_ms: Option<u64>,
    pub completed_ms: Option<u64>,
}

impl Done {
    /// It is about to be completed.
    pub fn begun(token: Option<u64>, attempt: u32) -> Self {
        Self { token, attempt, expires_ms: None, completed_ms: None }
    }

    pub fn told(attempt: u32, record: &Record) -> Self {
        Self {
            token: Some(record.token().get()),
            attempt,
            expires_ms: Some(record.expires_at().as_millis()),
            completed_ms: Some(record.completed_at().as_millis()),
        }
    }
}

/// A key's states in their order, each with the number of the step that led to it.
#[derive(Debug, Clone, Default)]
pub struct Page {
    steps: Vec<(u64, State)>,
}

impl Page {
    pub fn last(&self) -> &State {
        self.steps.last().map_or(&State::Absent, |(_, state)| state)
    }

    /// What it may be found as by whoever knows that the steps before `told` were told: the last
    /// of those, or any that was begun after.
    pub fn allowed(&self, told: u64) -> Vec<&State> {
        let certain = self.steps.partition_point(|(number, _)| *number < told);
        let base = match certain {
            0 => &State::Absent,
            some => &self.steps[some - 1].1,
        };
        std::iter::once(base).chain(self.steps[certain..].iter().map(|(_, state)| state)).collect()
    }

    fn is_over(&self, now_ms: u64) -> bool {
        match self.last() {
            State::Absent => true,
            State::Done(done) => done.expires_ms.is_some_and(|ms| ms + REMEMBERED_MS < now_ms),
            State::Held(_) => false,
        }
    }
}

/// Pages are kept for so long after an expiry, to see that nothing comes back.
const REMEMBERED_MS: u64 = 3000;

/// The book of one client.
#[derive(Debug, Clone, Default)]
pub struct Book {
    pub pages: BTreeMap<String, Page>,
    /// Steps that were begun, and how many of those were told.
    begun: u64,
    told: u64,
}

impl Book {
    pub fn told_count(&self) -> u64 {
        self.told
    }

    /// A step is about to be taken.
    pub fn begin(&mut self, name: &str, to: State) {
        assert_eq!(self.begun, self.told, "one thing at a time");
        let page = self.pages.entry(name.to_owned()).or_default();
        page.steps.push((self.begun, to));
        self.begun += 1;
    }

    /// It was told, and this is what is known of it now.
    pub fn tell(&mut self, name: &str, known: State) {
        let page = self.pages.get_mut(name).expect("begun");
        let last = page.steps.last_mut().expect("begun");
        assert_eq!(last.0, self.told, "the last step");
        last.1 = known;
        self.told += 1;
    }

    /// It changed nothing.
    pub fn take_back(&mut self, name: &str) {
        let page = self.pages.get_mut(name).expect("begun");
        page.steps.pop().expect("begun");
        self.begun -= 1;
    }

    /// What was found at the beginning of a life is what it goes on from.
    pub fn settle(&mut self, name: &str, found: State) {
        self.pages.insert(name.to_owned(), Page { steps: vec![(0, found)] });
    }

    /// After all pages were settled.
    pub fn begin_life(&mut self) {
        (self.begun, self.told) = (1, 1);
    }

    /// Leaves out what can tell nothing any more.
    pub fn tidy(&mut self, now_ms: u64) {
        let told = self.told;
        self.pages.retain(|_, page| {
            let last = page.steps.last().map_or(0, |(number, _)| *number);
            // What was released a moment ago must not be back either.
            last + 1000 > told || !page.is_over(now_ms)
        });
    }
}

/// The response of a key's attempt.
pub fn body(name: &str, attempt: u32) -> Vec<u8> {
    let length = name.bytes().fold(7, |sum, byte| (sum * 31 + usize::from(byte)) % 900);
    format!("answer {attempt} to {name}: {}", "lorem".repeat(length / 5)).into_bytes()
}
