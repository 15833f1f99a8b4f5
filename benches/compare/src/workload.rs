//! What every engine is asked to do: requests of one shape, and new keys each time.
//!
//! A request is a pure function of its stream and its number, so that a lookup can ask again for
//! what a load has written without keeping it. Its bytes look random: nothing compresses.

use std::fmt::Write as _;

/// Bytes of a response.
pub const RESPONSE_BYTES: usize = 256;
/// Bytes of a fingerprint.
pub const FINGERPRINT_BYTES: usize = 32;

/// One request of a client: its key, what it asks for and the answer it will get.
pub struct Request {
    pub scope: String,
    pub key: String,
    pub fingerprint: [u8; FINGERPRINT_BYTES],
    pub response: [u8; RESPONSE_BYTES],
}

impl Request {
    /// The request `number` of `stream`; two of them never share a key.
    pub fn nth(stream: u64, number: u64) -> Self {
        let mut state = (stream << 40) ^ number;
        let (high, low) = (mix(state), (stream << 40) | number);
        let mut scope = String::with_capacity(11);
        let mut key = String::with_capacity(36);
        let _ = write!(scope, "acct_{:06}", high % 1_000_000);
        write_uuid(&mut key, high, low.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut request =
            Self { scope, key, fingerprint: [0; FINGERPRINT_BYTES], response: [0; RESPONSE_BYTES] };
        for chunk in request.fingerprint.chunks_exact_mut(8) {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&mix(state).to_le_bytes());
        }
        for chunk in request.response.chunks_exact_mut(8) {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&mix(state).to_le_bytes());
        }
        request
    }

    /// Scope and key as the one byte string a general store keys by.
    pub fn joined(&self) -> Vec<u8> {
        let mut joined = Vec::with_capacity(self.scope.len() + 1 + self.key.len());
        joined.extend_from_slice(self.scope.as_bytes());
        joined.push(0);
        joined.extend_from_slice(self.key.as_bytes());
        joined
    }

    /// What a general store keeps while the key is claimed.
    pub fn claimed_value(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(1 + FINGERPRINT_BYTES);
        value.push(0);
        value.extend_from_slice(&self.fingerprint);
        value
    }

    /// What a general store keeps of a completed key.
    pub fn completed_value(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(1 + FINGERPRINT_BYTES + RESPONSE_BYTES);
        value.push(1);
        value.extend_from_slice(&self.fingerprint);
        value.extend_from_slice(&self.response);
        value
    }

    /// Takes the response out of a stored value if it answers this very request.
    pub fn response_in(&self, value: &[u8]) -> Option<Vec<u8>> {
        let (fingerprint, response) = value.get(1..)?.split_at_checked(FINGERPRINT_BYTES)?;
        (value[0] == 1 && fingerprint == self.fingerprint).then(|| response.to_vec())
    }
}

fn write_uuid(out: &mut String, high: u64, low: u64) {
    let bytes = ((u128::from(high) << 64) | u128::from(low)).to_be_bytes();
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
}

/// SplitMix64's finisher: cheap, and good enough to look random.
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
