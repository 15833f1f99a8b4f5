//! What a fuzzer asks of the bytes that HTTP brings: a key's header, a body in JSON, and what a
//! store has as a response.

#![allow(clippy::expect_used, reason = "a property that does not hold is a panic")]

use http::{HeaderMap, HeaderValue};

use super::canonical;
use super::kept::KeptResponse;
use super::key::{IDEMPOTENCY_KEY, KeyError, KeyFormat, KeyPolicy, KeySyntax};
use crate::types::StoredResponse;

/// The header of a key. What is taken is printable ASCII of the right length, and the key that a
/// quoted form of it is; whatever the strict syntax takes the lenient one takes as the same key.
pub(crate) fn key(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let read = |policy: &KeyPolicy, value: &HeaderValue| {
        let mut headers = HeaderMap::new();
        headers.append(IDEMPOTENCY_KEY, value.clone());
        let key = policy.read(&headers).map(|key| key.expect("there is a header"));
        headers.append(IDEMPOTENCY_KEY, value.clone());
        assert_eq!(policy.read(&headers), Err(KeyError::Repeated));
        key
    };
    let lenient = KeyPolicy::new();
    let strict = KeyPolicy::new().syntax(KeySyntax::Strict);
    let (loose, exact) = (read(&lenient, &value), read(&strict, &value));
    if exact.is_ok() {
        assert_eq!(exact, loose);
    }
    if let Ok(key) = loose {
        let text = key.as_str();
        assert!((1..=255).contains(&text.len()));
        assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let quoted = HeaderValue::from_str(&quoted).expect("printable");
        assert_eq!(read(&strict, &quoted), Ok(key.clone()));
        let uuid = read(&KeyPolicy::new().format(KeyFormat::Uuid), &quoted);
        assert_eq!(uuid.is_ok(), text.len() == 36 && uuid.as_ref() == Ok(&key));
    }
}

/// A response as a store has it, with a status before it: what is taken encodes to what reads the
/// same, and in as many bytes.
pub(crate) fn kept_response(data: &[u8]) {
    let Some((status, body)) = data.split_first_chunk::<2>() else { return };
    let status = u32::from(u16::from_le_bytes(*status));
    let stored = StoredResponse::new(body).with_status(status);
    let Some(kept) = KeptResponse::decode(&stored) else { return };
    let encoded = kept.encode().expect("it was encoded");
    assert_eq!((encoded.status(), encoded.body().len()), (status, body.len()));
    assert_eq!(KeptResponse::decode(&encoded), Some(kept.clone()));
    if let Ok(public) = kept.to_stored() {
        let read = KeptResponse::decode(&public).expect("it was written so");
        assert_eq!((read.status(), read.body()), (kept.status(), kept.body()));
    }
}

/// A body in JSON: its canonical form is the canonical form of itself, and is the same value.
pub(crate) fn canonical_json(data: &[u8]) {
    let Some(value) = canonical::parse(data) else { return };
    let bytes = canonical::to_bytes(&value).expect("a value has a canonical form");
    let again: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(canonical::to_bytes(&again).as_deref(), Some(&bytes[..]));
    if let Some(exact) = canonical::parse(&bytes) {
        assert_eq!(canonical::to_bytes(&exact), Some(bytes));
    }
}
