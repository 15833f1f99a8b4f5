//! Strategies for values of this folder's structures, and golden bytes, for its tests.

use proptest::prelude::*;

use super::{
    Body, CALLER_BYTES, ClaimFrame, ClaimState, CompletionFrame, ForgetFrame, Frame, Place,
};
use crate::ids::{Nonce, StoreTime, Token};

/// Base time of all samples.
pub(super) const BASE: StoreTime = StoreTime(1_700_000_000_000);

/// Where the first batch of the samples' segment lies.
pub(super) const FIRST: Place = Place { nonce: Nonce(0x1122_3344_5566_7788), offset: 4096 };

/// A frame that owns what it is made of.
#[derive(Debug, Clone)]
pub(super) struct OwnedFrame {
    pub(super) kind: u8,
    numbers: [u64; 3],
    small: [u32; 2],
    policy: u8,
    state: ClaimState,
    strings: [Vec<u8>; 3],
    fingerprint: [u8; 32],
    caller: Option<[u8; CALLER_BYTES]>,
    checkpoint: Option<(Vec<u8>, Vec<u8>)>,
}

impl OwnedFrame {
    pub(super) fn frame(&self) -> Frame<'_> {
        let [scope, key, more] = &self.strings;
        let token = Token(self.numbers[0]);
        let time = StoreTime(self.numbers[1]);
        match self.kind {
            1 => Frame::Claim(ClaimFrame {
                token,
                claimed_at: time,
                ttl_ms: self.numbers[2],
                attempt: self.small[0],
                policy: self.policy,
                state: self.state,
                scope,
                key,
                fingerprint: &self.fingerprint,
                caller: self.caller,
                checkpoint: self.checkpoint.as_ref().map(|(name, data)| (&name[..], &data[..])),
            }),
            2 | 7 => Frame::Completion(CompletionFrame {
                token,
                completed_at: time,
                ttl_ms: self.numbers[2],
                attempt: self.small[0],
                status: self.small[1],
                scope,
                key,
                fingerprint: &self.fingerprint,
                caller: self.caller,
                response: match self.kind {
                    7 if !more.is_empty() => {
                        Body::Packed { plain_len: more.len() as u32 + 1, bytes: more }
                    }
                    _ => Body::Plain(more),
                },
            }),
            3 => Frame::Release { token },
            4 => Frame::Unresolved { token, since: time },
            5 => Frame::Checkpoint { token, name: key, data: more },
            _ => Frame::Forget(ForgetFrame { sequence: token, expires_at: time, scope, key }),
        }
    }
}

fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0_u32..64).prop_map(|(value, shift)| value >> shift)
}

fn time() -> impl Strategy<Value = StoreTime> {
    number().prop_map(|ms| StoreTime(ms.max(BASE.0)))
}

fn string() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..40)
}

pub(super) fn owned_frame() -> impl Strategy<Value = OwnedFrame> {
    let state = prop_oneof![
        Just(ClaimState::Held),
        time().prop_map(|at| ClaimState::Abandoned { at }),
        time().prop_map(|since| ClaimState::Unresolved { since }),
    ];
    let numbers = (number(), time(), number(), any::<[u32; 2]>());
    let strings = ([string(), string(), string()], prop::option::of((string(), string())));
    let digests = (any::<[u8; 32]>(), any::<Option<[u8; CALLER_BYTES]>>());
    (1_u8..=7, numbers, 0_u8..=2, state, strings, digests).prop_map(
        |(kind, numbers, policy, state, (strings, checkpoint), (fingerprint, caller))| OwnedFrame {
            kind,
            numbers: [numbers.0, numbers.1.0, numbers.2],
            small: numbers.3,
            policy,
            state,
            strings,
            fingerprint,
            caller,
            checkpoint,
        },
    )
}

/// One frame of each kind and each state, all fields set.
pub(super) fn golden_frames() -> Vec<Frame<'static>> {
    let claim = ClaimFrame {
        token: Token(300),
        claimed_at: BASE.plus_ms(1),
        ttl_ms: 86_400_000,
        attempt: 2,
        policy: 1,
        state: ClaimState::Held,
        scope: b"tenant",
        key: b"key-1",
        fingerprint: &[0xf1; 32],
        caller: None,
        checkpoint: None,
    };
    let abandoned = ClaimFrame {
        state: ClaimState::Abandoned { at: BASE.plus_ms(5) },
        policy: 0,
        checkpoint: Some((b"paid", b"data")),
        ..claim
    };
    let unresolved =
        ClaimFrame { state: ClaimState::Unresolved { since: BASE.plus_ms(6) }, policy: 2, ..claim };
    let completion = CompletionFrame {
        token: Token(301),
        completed_at: BASE.plus_ms(1000),
        ttl_ms: 86_400_000,
        attempt: 1,
        status: 201,
        scope: b"tenant",
        key: b"key-1",
        fingerprint: &[0xf1; 32],
        caller: None,
        response: Body::Plain(b"{\"ok\":true}"),
    };
    let packed = CompletionFrame {
        // One LZ4 block: a literal, 35 bytes that repeat it, five literals.
        response: Body::Packed { plain_len: 41, bytes: b"\x1fa\x01\x00\x10Paaaaa" },
        ..completion
    };
    let forget = ForgetFrame {
        sequence: Token(302),
        expires_at: BASE.plus_ms(86_401_000),
        scope: b"tenant",
        key: b"key-1",
    };
    vec![
        Frame::Claim(claim),
        Frame::Claim(abandoned),
        Frame::Claim(unresolved),
        Frame::Completion(completion),
        Frame::Release { token: Token(300) },
        Frame::Unresolved { token: Token(300), since: BASE.plus_ms(7) },
        Frame::Checkpoint { token: Token(300), name: b"paid", data: b"data" },
        Frame::Forget(forget),
        Frame::Completion(packed),
    ]
}

/// Compares with golden hexadecimal digits, in which white space means nothing.
#[track_caller]
pub(super) fn assert_golden(bytes: &[u8], golden: &str) {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let golden: String = golden.split_whitespace().collect();
    assert_eq!(hex, golden, "the format on disk has changed");
}

/// The bytes with one bit flipped, for each bit.
pub(super) fn flips(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..bytes.len() * 8).map(move |bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        (bit, flipped)
    })
}
