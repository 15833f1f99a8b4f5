//! What the tests on real files share: names, a source of numbers, short ways to say what a test
//! does.

#![allow(dead_code, reason = "each test uses its part")]

use oncekey::{Claim, ClaimRequest, Key, Outcome, Record, Scope, Store};

pub fn scope() -> Scope {
    Scope::new("acct").expect("a good scope")
}

pub fn key(name: &str) -> Key {
    Key::new(name).expect("a good key")
}

/// A request for a key, with the key as its payload.
pub fn request(name: &str) -> ClaimRequest {
    ClaimRequest::new(scope(), key(name)).operation("POST /v1/charges").payload(name)
}

pub fn outcome(store: &Store, name: &str) -> Outcome {
    store.claim(request(name)).wait().expect("an outcome")
}

pub fn claimed(outcome: Outcome) -> Claim {
    match outcome {
        Outcome::Claimed(claim) => claim,
        other => panic!("not claimed but {other:?}"),
    }
}

pub fn replayed(outcome: Outcome) -> Record {
    match outcome {
        Outcome::Replay(record) => record,
        other => panic!("not replayed but {other:?}"),
    }
}

/// Numbers from a seed (SplitMix64), the same on every run.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
