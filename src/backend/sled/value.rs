//! What is stored of a key, and its bytes.
//!
//! The bytes are a database's, so reading never panics, and bytes that are not a value are an error
//! rather than an absent key.

use crate::error::{Error, ErrorKind, Result};
use crate::log::varint::{Reader, put};
use crate::types::{Checkpoint, DropPolicy, OwnerId};

/// The version of the format, first in every value.
const VERSION: u8 = 1;
const HELD: u8 = 0;
const UNRESOLVED: u8 = 1;
const COMPLETED: u8 = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) token: u64,
    pub(super) attempt: u32,
    pub(super) fingerprint: [u8; 32],
    pub(super) owner: OwnerId,
    /// When it was claimed, became unresolved, or was completed; in store time.
    pub(super) since_ms: u64,
    pub(super) ttl_ms: u64,
    pub(super) policy: DropPolicy,
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// `until_ms` is the lease's end in store time; `dropped` says that the holder let go.
    Held {
        until_ms: Option<u64>,
        dropped: bool,
    },
    Unresolved,
    Completed {
        status: u32,
        body: Vec<u8>,
    },
}

impl Value {
    /// When a completed record expires.
    pub(super) fn expires_ms(&self) -> u64 {
        self.since_ms.saturating_add(self.ttl_ms)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put(&mut out, self.token);
        put(&mut out, self.attempt.into());
        out.extend(self.fingerprint);
        out.extend(self.owner.as_bytes());
        put(&mut out, self.since_ms);
        put(&mut out, self.ttl_ms);
        out.push(self.policy.to_byte());
        put_checkpoint(&mut out, self.checkpoint.as_ref());
        match &self.state {
            State::Held { until_ms, dropped } => {
                out.push(HELD);
                out.push(u8::from(*dropped));
                out.push(u8::from(until_ms.is_some()));
                put(&mut out, until_ms.unwrap_or(0));
            }
            State::Unresolved => out.push(UNRESOLVED),
            State::Completed { status, body } => {
                out.push(COMPLETED);
                put(&mut out, (*status).into());
                out.extend(body);
            }
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        read(bytes).ok_or_else(|| {
            let what = "a value of the sled tree is not a record of this version";
            Error::new(ErrorKind::Corrupt, what)
        })
    }
}

fn put_checkpoint(out: &mut Vec<u8>, checkpoint: Option<&Checkpoint>) {
    // A name is never empty: a length of zero is none.
    let Some(checkpoint) = checkpoint else { return put(out, 0) };
    put(out, checkpoint.name().len() as u64);
    out.extend(checkpoint.name().as_bytes());
    put(out, checkpoint.data().len() as u64);
    out.extend(checkpoint.data());
}

fn read(bytes: &[u8]) -> Option<Value> {
    let mut reader = Reader::new(bytes);
    let [VERSION] = reader.array::<1>()? else { return None };
    let token = reader.varint()?;
    let attempt = reader.varint_u32()?;
    let fingerprint = *reader.array::<32>()?;
    let owner = OwnerId::from_bytes(*reader.array::<16>()?);
    let since_ms = reader.varint()?;
    let ttl_ms = reader.varint()?;
    let [policy] = *reader.array::<1>()?;
    let checkpoint = match reader.varint_len()? {
        0 => None,
        len => {
            let name = reader.bytes(len)?;
            let data_len = reader.varint_len()?;
            Some(Checkpoint::from_disk(name, reader.bytes(data_len)?))
        }
    };
    let [state] = *reader.array::<1>()?;
    let state = match state {
        HELD => {
            let [dropped, has_end] = *reader.array::<2>()?;
            let until_ms = reader.varint()?;
            reader.end()?;
            State::Held { until_ms: (has_end != 0).then_some(until_ms), dropped: dropped != 0 }
        }
        UNRESOLVED => {
            reader.end()?;
            State::Unresolved
        }
        COMPLETED => {
            State::Completed { status: reader.varint_u32()?, body: reader.rest().to_vec() }
        }
        _ => return None,
    };
    let policy = DropPolicy::from_byte(policy);
    Some(Value { token, attempt, fingerprint, owner, since_ms, ttl_ms, policy, checkpoint, state })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state() -> impl Strategy<Value = State> {
        prop_oneof![
            (any::<Option<u64>>(), any::<bool>())
                .prop_map(|(until_ms, dropped)| State::Held { until_ms, dropped }),
            Just(State::Unresolved),
            (any::<u32>(), any::<Vec<u8>>())
                .prop_map(|(status, body)| State::Completed { status, body }),
        ]
    }

    proptest! {
        #[test]
        fn a_value_is_read_as_it_was_written(
            (token, attempt, since_ms, ttl_ms) in any::<(u64, u32, u64, u64)>(),
            (fingerprint, owner, policy) in (any::<[u8; 32]>(), any::<[u8; 16]>(), 0_u8..3),
            checkpoint in any::<Option<Vec<u8>>>(),
            state in state(),
        ) {
            let checkpoint = checkpoint.map(|data| Checkpoint::new("point", data).expect("short"));
            let (owner, policy) = (OwnerId::from_bytes(owner), DropPolicy::from_byte(policy));
            let value = Value {
                token, attempt, fingerprint, owner, since_ms, ttl_ms, policy, checkpoint, state,
            };
            prop_assert_eq!(Value::decode(&value.encode()).expect("a value"), value);
        }

        #[test]
        fn bytes_that_are_no_value_are_refused_and_never_panic(bytes in any::<Vec<u8>>()) {
            if let Err(error) = Value::decode(&bytes) {
                prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
            }
        }
    }
}
