//! The claims of a key, and what became of each.

use std::collections::VecDeque;
use std::fmt;

use crate::audit::{Event, EventId, EventKind};
use crate::ids::Token;

/// So many attempts are remembered one by one.
const REMEMBERED: usize = 256;

/// How a claim came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Came {
    /// It is the first one that is seen of the key.
    First,
    /// The claim before had been given back by its holder.
    AfterRelease,
    /// The attempt before had been settled by somebody.
    AfterResolution,
    /// The record before had been forgotten on request.
    AfterForgetting,
    /// The record before had expired, or an abandoned claim had: a late retry.
    AfterExpiry,
    /// There had been a record, and nothing says what became of it: it expired and was remembered no
    /// more, or a crash took it.
    AfterRecord,
    /// It took over a claim whose lease was over, or whose owner had died.
    TakeOver,
    /// There had been a claim that nobody ended.
    AfterClaim,
    /// It is known from later events alone.
    Unseen,
}

impl Came {
    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::AfterRelease => "after_release",
            Self::AfterResolution => "after_resolution",
            Self::AfterForgetting => "after_forgetting",
            Self::AfterExpiry => "after_expiry",
            Self::AfterRecord => "after_record",
            Self::TakeOver => "take_over",
            Self::AfterClaim => "after_claim",
            Self::Unseen => "unseen",
        }
    }
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fate {
    /// Nothing says that it ended.
    Open,
    /// It was completed.
    Completed,
    /// Its holder gave it back, which says that nothing was executed.
    Released,
    /// Its holder let go of it without a word.
    Dropped,
    /// Its effect was left unknown.
    Unresolved,
    /// Somebody settled it, as executed or as not.
    Resolved,
    /// Another claim took it over.
    TakenOver,
}

impl Fate {
    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Completed => "completed",
            Self::Released => "released",
            Self::Dropped => "dropped",
            Self::Unresolved => "unresolved",
            Self::Resolved => "resolved",
            Self::TakenOver => "taken_over",
        }
    }
}

/// A claim of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Its fencing token.
    pub token: Token,
    /// Which attempt the store counted it as, if that is known.
    pub number: u32,
    /// How it came about.
    pub came: Came,
    /// The event that made it.
    pub claimed: Option<EventId>,
    /// What became of it.
    pub fate: Fate,
    /// The event that says so.
    pub ended: Option<EventId>,
    /// Where its holder came back although it was over.
    pub came_back: Option<EventId>,
    /// Whether somebody settled it who said that it had been executed.
    pub settled: bool,
}

impl Attempt {
    /// Whether nobody said that it had no effect, nor that it had.
    pub(super) fn is_doubtful(&self) -> bool {
        match self.fate {
            Fate::Open | Fate::Dropped | Fate::Unresolved | Fate::TakenOver => true,
            // Whoever comes back after that has worked on.
            Fate::Released | Fate::Resolved => self.came_back.is_some(),
            Fate::Completed => false,
        }
    }

    /// Whether nobody can take it over any more.
    fn is_over(&self) -> bool {
        matches!(self.fate, Fate::Completed | Fate::Released | Fate::Resolved)
    }

    /// Whether that it had no effect, or that it had one, is somebody's word.
    fn is_on_trust(&self) -> bool {
        self.settled || matches!(self.fate, Fate::Released | Fate::Resolved)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "claim {}", self.token)?;
        if self.number > 1 {
            write!(f, " (attempt {})", self.number)?;
        }
        let came = match self.came {
            Came::First => "was made",
            Came::AfterRelease => "was made after the one before had been given back",
            Came::AfterResolution => "was made after the one before had been settled",
            Came::AfterForgetting => "was made after the record had been forgotten on request",
            Came::AfterExpiry => "was made after the record, or an abandoned claim, had expired",
            Came::AfterRecord => {
                "was made although there had been a record, which expired and was not remembered \
                 any more, or was lost"
            }
            Came::TakeOver => {
                "took over a claim whose lease was over, or whose owner had died; what that had \
                 done is not known"
            }
            Came::AfterClaim => {
                "was made although there had been a claim that nobody ended, which was lost in a \
                 crash or expired"
            }
            Came::Unseen => "is known from later events alone",
        };
        write!(f, " {came}")?;
        if let Some(id) = self.claimed {
            write!(f, " ({id})")?;
        }
        f.write_str(match self.fate {
            Fate::Open => "; nothing says how it ended",
            Fate::Completed if self.settled => "; it was settled as executed",
            Fate::Completed => "; it was completed",
            Fate::Released => "; it was given back, which says that nothing was executed",
            Fate::Dropped => "; its holder let go of it without a word",
            Fate::Unresolved => "; it was left with its effect unknown",
            Fate::Resolved => "; somebody settled it, and the trail does not say as what",
            Fate::TakenOver => "; it was taken over",
        })?;
        if let Some(id) = self.ended {
            write!(f, " ({id})")?;
        }
        match self.came_back {
            Some(id) => write!(f, "; its holder came back after it was over ({id})"),
            None => Ok(()),
        }
    }
}

/// All claims of a key, as far as they are seen, by rising token.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    list: VecDeque<Attempt>,
    /// What was dropped from the list.
    past: Tally,
    /// Whether there must have been one before one that is seen, which may have been executed; and
    /// the event that says so.
    is_hidden: bool,
    hidden_said_by: Option<EventId>,
    /// A holder came back of a claim that is not seen.
    stranger: Option<EventId>,
    /// Whether the last record was forgotten.
    was_forgotten: bool,
    /// The claim that the key's state is of, while there is one.
    current: Option<Token>,
}

/// How many attempts were, or may have been, executed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) completed: u64,
    pub(super) doubtful: u64,
    pub(super) trusted: u64,
}

impl Tally {
    fn add(&mut self, attempt: &Attempt) {
        self.completed += u64::from(attempt.fate == Fate::Completed);
        self.doubtful += u64::from(attempt.is_doubtful());
        self.trusted += u64::from(attempt.is_on_trust());
    }
}

impl Attempts {
    /// Takes an event of the key.
    pub(super) fn take(&mut self, event: &Event) {
        use EventKind::{
            Claimed, Completed, Dropped, Expired, Forgotten, InFlight, LateRetry, LeftUnresolved,
            MetUnresolved, Mismatch, Released, Replayed, Resolved, StaleHolder, TakenOver, Waited,
        };
        let Some(token) = event.token else {
            if event.kind == Expired {
                self.expired(event.id);
            }
            return;
        };
        let (number, id) = (event.attempt, Some(event.id));
        match event.kind {
            Claimed => self.see(token, number, self.after_last(), id),
            TakenOver => self.see(token, number, Came::TakeOver, id),
            LateRetry => self.see(token, number, Came::AfterExpiry, id),
            InFlight | Mismatch => self.see(token, number, Came::Unseen, id),
            Completed => self.end(token, event, Fate::Completed),
            Released => self.end(token, event, Fate::Released),
            Dropped => self.end(token, event, Fate::Dropped),
            LeftUnresolved | MetUnresolved => self.end(token, event, Fate::Unresolved),
            Resolved => self.end(token, event, Fate::Resolved),
            // A claim whose owner had gone may be forgotten, too, and was nobody's record.
            Forgotten if event.age_ms.is_none() => self.end(token, event, Fate::Dropped),
            // What is replayed, or forgotten, is a record.
            Replayed | Waited | Forgotten => self.end(token, event, Fate::Completed),
            StaleHolder => self.came_back(token, event.id),
            _ => {}
        }
        if event.kind == Forgotten && self.is_newest(token) {
            self.was_forgotten = true;
        }
        if matches!(event.kind, Released | Forgotten) && self.current == Some(token) {
            self.current = None;
        }
    }

    /// The store says which claim is the key's newest now, and what became of it.
    pub(super) fn take_present(&mut self, token: Token, number: u32, fate: Fate) {
        self.see(token, number, Came::Unseen, None);
        if fate != Fate::Open {
            self.settle(token, fate, None, false);
        }
    }

    /// The claim that the key's state is of.
    pub(super) fn current(&self) -> Option<Token> {
        self.current
    }

    pub(super) fn last(&self) -> Option<&Attempt> {
        self.list.back()
    }

    pub(super) fn into_list(self) -> Vec<Attempt> {
        self.list.into()
    }

    /// Whether an attempt must have been that is not seen, and what says so.
    pub(super) fn hidden(&self) -> (bool, Option<EventId>) {
        (self.is_hidden, self.hidden_said_by)
    }

    pub(super) fn stranger(&self) -> Option<EventId> {
        self.stranger
    }

    pub(super) fn tally(&self) -> Tally {
        let mut tally = self.past;
        self.list.iter().for_each(|attempt| tally.add(attempt));
        // That the key was free later would say that it was settled as not executed.
        let is_open =
            self.list.back().is_some_and(|last| last.fate == Fate::Resolved && !last.is_doubtful());
        tally.doubtful += u64::from(is_open);
        tally.doubtful += u64::from(self.is_hidden) + u64::from(self.stranger.is_some());
        tally
    }

    /// How a claim of a key that nobody held comes about.
    fn after_last(&self) -> Came {
        let Some(last) = self.list.back() else { return Came::First };
        match last.fate {
            Fate::Completed if self.was_forgotten => Came::AfterForgetting,
            Fate::Completed => Came::AfterRecord,
            Fate::Released => Came::AfterRelease,
            Fate::Resolved => Came::AfterResolution,
            Fate::Open | Fate::Dropped | Fate::Unresolved | Fate::TakenOver => Came::AfterClaim,
        }
    }

    fn is_newest(&self, token: Token) -> bool {
        self.list.back().is_some_and(|last| last.token == token)
    }

    /// Notes the claim of a token; `came` counts if it was not seen before.
    fn see(&mut self, token: Token, number: u32, came: Came, id: Option<EventId>) {
        // Tokens rise with each claim: an older one is told of late, by a replay that was answered
        // meanwhile.
        let is_newer = self.list.back().is_none_or(|last| last.token < token);
        if is_newer || self.is_newest(token) {
            self.current = Some(token);
        }
        if self.list.iter().any(|attempt| attempt.token == token) {
            return;
        }
        if is_newer {
            self.follow(number, came, id);
        }
        let claimed = id.filter(|_| came != Came::Unseen);
        let attempt = Attempt {
            token,
            number,
            came,
            claimed,
            fate: Fate::Open,
            ended: None,
            came_back: None,
            settled: false,
        };
        let at = self.list.partition_point(|other| other.token < token);
        self.list.insert(at, attempt);
        if self.list.len() > REMEMBERED
            && let Some(oldest) = self.list.pop_front()
        {
            self.past.add(&oldest);
        }
    }

    /// What a new claim says of those before it.
    fn follow(&mut self, number: u32, came: Came, id: Option<EventId>) {
        self.was_forgotten = false;
        if came == Came::AfterExpiry {
            return self.expired_before(id);
        }
        if number <= 1 {
            return;
        }
        // It took over the one before, if that is seen.
        match self.list.back_mut() {
            Some(last) if last.number.saturating_add(1) == number && !last.is_over() => {
                (last.fate, last.ended) = (Fate::TakenOver, id);
            }
            _ => self.hide(id),
        }
    }

    /// A record, or an abandoned claim, had expired: which, if it is seen?
    fn expired_before(&mut self, id: Option<EventId>) {
        let is_accounted = self.list.back_mut().is_some_and(|last| {
            if last.fate == Fate::Resolved {
                // Of what was settled as not executed nothing would have been left to expire.
                (last.fate, last.settled) = (Fate::Completed, true);
            }
            last.fate != Fate::Released
        });
        if !is_accounted {
            self.hide(id);
        }
    }

    fn hide(&mut self, said_by: Option<EventId>) {
        if !std::mem::replace(&mut self.is_hidden, true) {
            self.hidden_said_by = said_by;
        }
    }

    /// A late retry was refused.
    fn expired(&mut self, id: EventId) {
        self.expired_before(Some(id));
        self.current = None;
    }

    fn end(&mut self, token: Token, event: &Event, fate: Fate) {
        self.see(token, event.attempt, Came::Unseen, Some(event.id));
        let is_told = event.kind == EventKind::Completed;
        self.settle(token, fate, Some(event.id), is_told);
    }

    /// Notes what became of a claim; `is_told`: its holder said so itself.
    fn settle(&mut self, token: Token, fate: Fate, id: Option<EventId>, is_told: bool) {
        let Some(attempt) = self.list.iter_mut().find(|attempt| attempt.token == token) else {
            return;
        };
        if attempt.fate == fate || attempt.fate == Fate::Completed {
            return;
        }
        // Whoever meets what was settled meanwhile is told late.
        if attempt.fate == Fate::Resolved && fate != Fate::Completed {
            return;
        }
        // It was left with its effect unknown, and is a record later: somebody said that it was one.
        let is_unclear = matches!(attempt.fate, Fate::Resolved | Fate::Unresolved);
        attempt.settled = is_unclear && fate == Fate::Completed && !is_told;
        (attempt.fate, attempt.ended) = (fate, id.or(attempt.ended));
    }

    fn came_back(&mut self, token: Token, id: EventId) {
        match self.list.iter_mut().find(|attempt| attempt.token == token) {
            Some(attempt) => attempt.came_back = attempt.came_back.or(Some(id)),
            None => self.stranger = self.stranger.or(Some(id)),
        }
    }
}
