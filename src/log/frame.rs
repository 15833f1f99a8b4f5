//! A frame: one thing that happened to one key, or to one claim.
//!
//! A frame carries no time zone of its own: times are kept as milliseconds since a base time that
//! its store has everywhere the same. Its checksum covers all of it but the padding, which its
//! batch's checksum covers.
//!
//! Encoding leaves the checksum zero, because the place is not known until the batch is written:
//! [`seal_frame`] fills it in. Whether a token or a key makes sense is left to the engine.

use std::fmt;

use super::body::Body;
use super::place::Place;
use super::varint::{Reader, put};
use super::{GRANULE, pad};
use crate::ids::{StoreTime, Token};

/// Checksum, kind, length.
const FRAME_HEADER: usize = 8;
/// The length field has three bytes.
pub(super) const FRAME_LIMIT: usize = 1 << 24;
/// Where the checksummed bytes start.
const CHECKED_FROM: usize = 4;

const CLAIM: u8 = 1;
const COMPLETION: u8 = 2;
const RELEASE: u8 = 3;
const UNRESOLVED: u8 = 4;
const CHECKPOINT: u8 = 5;
const FORGET: u8 = 6;
const PACKED_COMPLETION: u8 = 7;
/// Beside the kind of a claim or a completion: it has a digest of its caller.
const WITH_CALLER: u8 = 0x80;

/// Bytes of such a digest.
pub(crate) const CALLER_BYTES: usize = 6;

const POLICY_MASK: u64 = 3;
const POLICY_LAST: u8 = 2;
const FLAG_UNRESOLVED: u64 = 4;
const FLAG_CHECKPOINT: u64 = 8;
const FLAG_ABANDONED: u64 = 16;
const FLAGS_ALL: u64 = POLICY_MASK | FLAG_UNRESOLVED | FLAG_CHECKPOINT | FLAG_ABANDONED;

// The batch walks from granule to granule and must move on at every frame.
const _: () = assert!(FRAME_HEADER <= GRANULE);

/// One frame, borrowing its byte strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Claim(ClaimFrame<'a>),
    Completion(CompletionFrame<'a>),
    Release { token: Token },
    Unresolved { token: Token, since: StoreTime },
    Checkpoint { token: Token, name: &'a [u8], data: &'a [u8] },
    Forget(ForgetFrame<'a>),
}

/// A key was claimed, or taken over, or its claim is stated again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClaimFrame<'a> {
    pub(crate) token: Token,
    pub(crate) claimed_at: StoreTime,
    pub(crate) ttl_ms: u64,
    pub(crate) attempt: u32,
    /// What becomes of the claim when it is dropped: 0 hold, 1 release, 2 unresolved.
    pub(crate) policy: u8,
    pub(crate) state: ClaimState,
    pub(crate) scope: &'a [u8],
    pub(crate) key: &'a [u8],
    pub(crate) fingerprint: &'a [u8; 32],
    /// A digest of who asked, for the audit.
    pub(crate) caller: Option<[u8; CALLER_BYTES]>,
    /// The last checkpoint's name and data.
    pub(crate) checkpoint: Option<(&'a [u8], &'a [u8])>,
}

/// Whether a claim has a holder, and since when not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClaimState {
    /// Its holder is at work.
    Held,
    /// Its holder is gone: it waits for the next claimant, and expires a TTL later.
    Abandoned { at: StoreTime },
    /// Its holder is gone and nobody knows what it did: it waits to be resolved.
    Unresolved { since: StoreTime },
}

/// A key's response: what later requests are answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CompletionFrame<'a> {
    pub(crate) token: Token,
    pub(crate) completed_at: StoreTime,
    pub(crate) ttl_ms: u64,
    pub(crate) attempt: u32,
    pub(crate) status: u32,
    pub(crate) scope: &'a [u8],
    pub(crate) key: &'a [u8],
    pub(crate) fingerprint: &'a [u8; 32],
    /// A digest of who asked, for the audit.
    pub(crate) caller: Option<[u8; CALLER_BYTES]>,
    pub(crate) response: Body<'a>,
}

impl CompletionFrame<'_> {
    /// When the response stops being replayed.
    pub(crate) fn expires_at(&self) -> StoreTime {
        self.completed_at.plus_ms(self.ttl_ms)
    }
}

/// Hides the completions of its key whose tokens are lower than `sequence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ForgetFrame<'a> {
    pub(crate) sequence: Token,
    /// Until when what it hides could be found.
    pub(crate) expires_at: StoreTime,
    pub(crate) scope: &'a [u8],
    pub(crate) key: &'a [u8],
}

/// The frame would have 16 MiB or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameTooLong;

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameFault {
    /// There are fewer bytes than the `need` that the length field, if it is whole, asks for.
    Short { need: usize },
    /// The checksum is not right for the place.
    Checksum,
    /// The length is impossible, or the checksum is right and the fields make no frame.
    Malformed(&'static str),
}

impl fmt::Display for FrameTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the record would have 16 MiB or more")
    }
}

impl fmt::Display for FrameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { need } => write!(f, "the frame is cut short of its {need} bytes"),
            Self::Checksum => f.write_str("the frame's checksum is wrong"),
            Self::Malformed(what) => write!(f, "the frame is malformed ({what})"),
        }
    }
}

impl<'a> Frame<'a> {
    /// Appends the frame with a zero checksum, padded to [`GRANULE`], and returns its length
    /// without the padding. Times before `base` become `base`. A frame that is too long appends
    /// nothing.
    pub(crate) fn encode(&self, base: StoreTime, out: &mut Vec<u8>) -> Result<usize, FrameTooLong> {
        // Only the byte strings can be long: with them bounded, little is written in vain below.
        if self.strings_len() >= FRAME_LIMIT {
            return Err(FrameTooLong);
        }
        let start = out.len();
        out.extend_from_slice(&[0; FRAME_HEADER]);
        let kind = self.encode_body(base, out);
        let len = out.len().saturating_sub(start);
        if len >= FRAME_LIMIT {
            out.truncate(start);
            return Err(FrameTooLong);
        }
        let [len_0, len_1, len_2, ..] = len.to_le_bytes();
        let field = out.get_mut(start..).and_then(|frame| frame.get_mut(4..FRAME_HEADER));
        if let Some(field) = field {
            field.copy_from_slice(&[kind, len_0, len_1, len_2]);
        }
        out.resize(start.saturating_add(pad(len)), 0);
        Ok(len)
    }

    /// Decodes the frame at the start of `bytes`, which may be longer, if its checksum is right for
    /// `place`. Returns its length without the padding, too.
    pub(crate) fn decode(
        bytes: &'a [u8],
        place: Place,
        base: StoreTime,
    ) -> Result<(Self, usize), FrameFault> {
        let Some(head) = bytes.first_chunk::<FRAME_HEADER>() else {
            return Err(FrameFault::Short { need: FRAME_HEADER });
        };
        let [c0, c1, c2, c3, ..] = *head;
        let len = frame_len(head).ok_or(FrameFault::Malformed("length under 8"))?;
        let frame = bytes.get(..len).ok_or(FrameFault::Short { need: len })?;
        let checked = frame.get(CHECKED_FROM..).unwrap_or_default();
        if u32::from_le_bytes([c0, c1, c2, c3]) != place.checksum(checked) {
            return Err(FrameFault::Checksum);
        }
        Self::decode_unchecked(frame, base)
    }

    /// The same, whatever the checksum.
    pub(crate) fn decode_unchecked(
        bytes: &'a [u8],
        base: StoreTime,
    ) -> Result<(Self, usize), FrameFault> {
        let Some([_, _, _, _, kind, ..]) = bytes.first_chunk::<FRAME_HEADER>() else {
            return Err(FrameFault::Short { need: FRAME_HEADER });
        };
        let len = frame_len(bytes).ok_or(FrameFault::Malformed("length under 8"))?;
        let frame = bytes.get(..len).ok_or(FrameFault::Short { need: len })?;
        let mut body = Reader::new(frame.get(FRAME_HEADER..).unwrap_or_default());
        let has_caller = kind & WITH_CALLER != 0;
        let bare = kind & !WITH_CALLER;
        let (frame, name) = match if has_caller && !can_have_caller(bare) { 0 } else { bare } {
            CLAIM => (read_claim(&mut body, base, has_caller), "claim"),
            COMPLETION => (read_completion(&mut body, base, (false, has_caller)), "completion"),
            PACKED_COMPLETION => {
                let read = read_completion(&mut body, base, (true, has_caller));
                (read, "completion, compressed")
            }
            RELEASE => (read_release(&mut body), "release"),
            UNRESOLVED => (read_unresolved(&mut body, base), "unresolved"),
            CHECKPOINT => (read_checkpoint(&mut body), "checkpoint"),
            FORGET => (read_forget(&mut body, base), "forget"),
            _ => (None, "unknown kind"),
        };
        // Kinds without a "rest" end with their last field.
        let frame = frame.filter(|_| body.end().is_some());
        frame.map(|frame| (frame, len)).ok_or(FrameFault::Malformed(name))
    }

    fn strings_len(&self) -> usize {
        let lens = match self {
            Self::Claim(claim) => {
                let (name, data) = claim.checkpoint.unwrap_or_default();
                [claim.scope.len(), claim.key.len(), name.len(), data.len()]
            }
            Self::Completion(done) => {
                [done.scope.len(), done.key.len(), done.response.stored().len(), 0]
            }
            Self::Checkpoint { name, data, .. } => [name.len(), data.len(), 0, 0],
            Self::Forget(forget) => [forget.scope.len(), forget.key.len(), 0, 0],
            Self::Release { .. } | Self::Unresolved { .. } => [0; 4],
        };
        lens.into_iter().fold(0, usize::saturating_add)
    }

    /// Appends what follows the frame's header and returns the kind.
    fn encode_body(&self, base: StoreTime, out: &mut Vec<u8>) -> u8 {
        match self {
            Self::Claim(claim) => {
                put_claim(claim, base, out);
                CLAIM | caller_flag(claim.caller)
            }
            Self::Completion(done) => {
                put_completion(done, base, out);
                let kind = match done.response {
                    Body::Plain(_) => COMPLETION,
                    Body::Packed { .. } => PACKED_COMPLETION,
                };
                kind | caller_flag(done.caller)
            }
            Self::Release { token } => {
                put(out, token.0);
                RELEASE
            }
            Self::Unresolved { token, since } => {
                put(out, token.0);
                put(out, since.ms_since(base));
                UNRESOLVED
            }
            Self::Checkpoint { token, name, data } => {
                put(out, token.0);
                put(out, name.len() as u64);
                out.extend_from_slice(name);
                out.extend_from_slice(data);
                CHECKPOINT
            }
            Self::Forget(forget) => {
                put(out, forget.sequence.0);
                put(out, forget.expires_at.ms_since(base));
                put(out, forget.scope.len() as u64);
                put(out, forget.key.len() as u64);
                out.extend_from_slice(forget.scope);
                out.extend_from_slice(forget.key);
                FORGET
            }
        }
    }
}

const fn can_have_caller(kind: u8) -> bool {
    matches!(kind, CLAIM | COMPLETION | PACKED_COMPLETION)
}

const fn caller_flag(caller: Option<[u8; CALLER_BYTES]>) -> u8 {
    if caller.is_some() { WITH_CALLER } else { 0 }
}

fn put_claim(claim: &ClaimFrame<'_>, base: StoreTime, out: &mut Vec<u8>) {
    let (state_flags, gone_at) = match claim.state {
        ClaimState::Held => (0, None),
        ClaimState::Abandoned { at } => (FLAG_ABANDONED, Some(at)),
        ClaimState::Unresolved { since } => (FLAG_ABANDONED | FLAG_UNRESOLVED, Some(since)),
    };
    let checkpoint_flag = if claim.checkpoint.is_some() { FLAG_CHECKPOINT } else { 0 };
    debug_assert!(claim.policy <= POLICY_LAST, "no such policy: {}", claim.policy);
    put(out, claim.token.0);
    put(out, claim.claimed_at.ms_since(base));
    put(out, claim.ttl_ms);
    put(out, u64::from(claim.attempt));
    put(out, u64::from(claim.policy) & POLICY_MASK | state_flags | checkpoint_flag);
    put(out, claim.scope.len() as u64);
    put(out, claim.key.len() as u64);
    if let Some(at) = gone_at {
        put(out, at.ms_since(base));
    }
    if let Some((name, _)) = claim.checkpoint {
        put(out, name.len() as u64);
    }
    out.extend_from_slice(claim.scope);
    out.extend_from_slice(claim.key);
    out.extend_from_slice(claim.fingerprint);
    out.extend_from_slice(claim.caller.as_ref().map_or(&[], |caller| &caller[..]));
    if let Some((name, data)) = claim.checkpoint {
        out.extend_from_slice(name);
        out.extend_from_slice(data);
    }
}

fn put_completion(done: &CompletionFrame<'_>, base: StoreTime, out: &mut Vec<u8>) {
    put(out, done.token.0);
    put(out, done.completed_at.ms_since(base));
    put(out, done.ttl_ms);
    put(out, u64::from(done.attempt));
    put(out, u64::from(done.status));
    put(out, done.scope.len() as u64);
    put(out, done.key.len() as u64);
    if let Body::Packed { plain_len, .. } = done.response {
        put(out, u64::from(plain_len));
    }
    out.extend_from_slice(done.scope);
    out.extend_from_slice(done.key);
    out.extend_from_slice(done.fingerprint);
    out.extend_from_slice(done.caller.as_ref().map_or(&[], |caller| &caller[..]));
    out.extend_from_slice(done.response.stored());
}

fn read_time(body: &mut Reader<'_>, base: StoreTime) -> Option<StoreTime> {
    base.0.checked_add(body.varint()?).map(StoreTime)
}

/// The digest of a frame that has one. The outer `None` is one that is cut short.
#[allow(clippy::option_option, reason = "whether there is one, and whether it is whole")]
fn read_caller(body: &mut Reader<'_>, has_caller: bool) -> Option<Option<[u8; CALLER_BYTES]>> {
    if has_caller { body.array().copied().map(Some) } else { Some(None) }
}

fn read_claim<'a>(body: &mut Reader<'a>, base: StoreTime, has_caller: bool) -> Option<Frame<'a>> {
    let token = Token(body.varint()?);
    let claimed_at = read_time(body, base)?;
    let ttl_ms = body.varint()?;
    let attempt = body.varint_u32()?;
    let flags = body.varint().filter(|flags| flags & !FLAGS_ALL == 0)?;
    let policy = Some((flags & POLICY_MASK) as u8).filter(|policy| *policy <= POLICY_LAST)?;
    let scope_len = body.varint_len()?;
    let key_len = body.varint_len()?;
    let state = match (flags & FLAG_ABANDONED != 0, flags & FLAG_UNRESOLVED != 0) {
        (false, false) => ClaimState::Held,
        (true, false) => ClaimState::Abandoned { at: read_time(body, base)? },
        (true, true) => ClaimState::Unresolved { since: read_time(body, base)? },
        (false, true) => return None,
    };
    let has_checkpoint = flags & FLAG_CHECKPOINT != 0;
    let name_len = if has_checkpoint { Some(body.varint_len()?) } else { None };
    let scope = body.bytes(scope_len)?;
    let key = body.bytes(key_len)?;
    let fingerprint = body.array()?;
    let caller = read_caller(body, has_caller)?;
    let checkpoint = match name_len {
        Some(len) => Some((body.bytes(len)?, body.rest())),
        None => None,
    };
    Some(Frame::Claim(ClaimFrame {
        token,
        claimed_at,
        ttl_ms,
        attempt,
        policy,
        state,
        scope,
        key,
        fingerprint,
        caller,
        checkpoint,
    }))
}

fn read_completion<'a>(
    body: &mut Reader<'a>,
    base: StoreTime,
    (is_packed, has_caller): (bool, bool),
) -> Option<Frame<'a>> {
    let token = Token(body.varint()?);
    let completed_at = read_time(body, base)?;
    let ttl_ms = body.varint()?;
    let attempt = body.varint_u32()?;
    let status = body.varint_u32()?;
    let scope_len = body.varint_len()?;
    let key_len = body.varint_len()?;
    let plain_len = if is_packed { Some(body.varint_u32()?) } else { None };
    let (scope, key) = (body.bytes(scope_len)?, body.bytes(key_len)?);
    let fingerprint = body.array()?;
    let caller = read_caller(body, has_caller)?;
    let response = match plain_len {
        None => Body::Plain(body.rest()),
        Some(plain_len) => Body::packed(plain_len, body.rest())?,
    };
    Some(Frame::Completion(CompletionFrame {
        token,
        completed_at,
        ttl_ms,
        attempt,
        status,
        scope,
        key,
        fingerprint,
        caller,
        response,
    }))
}

fn read_release<'a>(body: &mut Reader<'a>) -> Option<Frame<'a>> {
    Some(Frame::Release { token: Token(body.varint()?) })
}

fn read_unresolved<'a>(body: &mut Reader<'a>, base: StoreTime) -> Option<Frame<'a>> {
    Some(Frame::Unresolved { token: Token(body.varint()?), since: read_time(body, base)? })
}

fn read_checkpoint<'a>(body: &mut Reader<'a>) -> Option<Frame<'a>> {
    let token = Token(body.varint()?);
    let name_len = body.varint_len()?;
    Some(Frame::Checkpoint { token, name: body.bytes(name_len)?, data: body.rest() })
}

fn read_forget<'a>(body: &mut Reader<'a>, base: StoreTime) -> Option<Frame<'a>> {
    let sequence = Token(body.varint()?);
    let expires_at = read_time(body, base)?;
    let scope_len = body.varint_len()?;
    let key_len = body.varint_len()?;
    Some(Frame::Forget(ForgetFrame {
        sequence,
        expires_at,
        scope: body.bytes(scope_len)?,
        key: body.bytes(key_len)?,
    }))
}

/// The length without padding that a frame claims to have in its first 8 bytes, unchecked; `None`
/// if there are fewer bytes or no frame can be that short.
pub(crate) fn frame_len(bytes: &[u8]) -> Option<usize> {
    let [_, _, _, _, _, len_0, len_1, len_2] = *bytes.first_chunk()?;
    let len = u32::from_le_bytes([len_0, len_1, len_2, 0]) as usize;
    (len >= FRAME_HEADER).then_some(len)
}

/// Writes the checksum of the frame at the start of `bytes` for `place`; `false` if there is none.
pub(crate) fn seal_frame(bytes: &mut [u8], place: Place) -> bool {
    let frame = frame_len(bytes).and_then(|len| bytes.get_mut(..len));
    let parts = frame.and_then(|frame| frame.split_at_mut_checked(CHECKED_FROM));
    let Some((checksum, checked)) = parts else { return false };
    checksum.copy_from_slice(&place.checksum(checked).to_le_bytes());
    true
}

#[cfg(test)]
mod tests;
