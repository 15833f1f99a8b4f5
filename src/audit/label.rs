//! Labels: what stands for a text in the trail.
//!
//! A label is SipHash-1-3 under a key of the store's (or one that several stores share) for what
//! the text is: a scope and a client of the same name have different labels, so that the name of
//! one does not give the other away.
//!
//! An address is cut to its network before anything is made of it, and is kept nowhere. A network's
//! name may be kept, so its label is the network itself, and needs no name beside it: the highest
//! bit tells the two kinds of labels apart.

use std::fmt;
use std::hash::Hasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use siphasher::sip::SipHasher13;

use super::draft::Seen;
use super::{Context, Label};
use crate::log::CALLER_BYTES;
use crate::types::{ClaimRequest, Scope};

/// Labels that are a hash.
const HASH: u64 = 1 << 63;
/// Labels that are a network of version 4, and of version 6.
const V4: u64 = 4 << 48;
const V6: u64 = 6 << 48;
/// Where the bits of a network end.
const NETWORK_BITS: u32 = 48;

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Scope,
    Operation,
    Client,
    Agent,
    Request,
    KeyPrefix,
    Key,
}

const PARTS: usize = Part::Key as usize + 1;

/// Makes labels.
#[derive(Clone)]
pub(crate) struct Labels {
    /// Of each part, in their order.
    keyed: [SipHasher13; PARTS],
    key_id: u64,
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key: whoever has it can test guesses.
        f.debug_struct("Labels").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl Labels {
    /// From the secret of a store, or one that stores share.
    pub(crate) fn new(secret: &[u8; 16]) -> Self {
        let derived = |context| {
            let mut derived = blake3::Hasher::new_derive_key(context);
            derived.update(secret).finalize_xof()
        };
        let mut keys = derived("oncekey audit labels v1");
        let keyed = std::array::from_fn(|_| {
            let mut key = [0; 16];
            keys.fill(&mut key);
            SipHasher13::new_with_key(&key)
        });
        let mut id = [0; 8];
        derived("oncekey audit key id v1").fill(&mut id);
        Self { keyed, key_id: u64::from_le_bytes(id) }
    }

    /// Says which secret it is without telling it: labels can be compared where this is equal.
    pub(crate) fn key_id(&self) -> u64 {
        self.key_id
    }

    pub(crate) fn of(&self, part: Part, text: &[u8]) -> Label {
        Label::new(self.keyed_for(part).hash(text) | HASH)
    }

    fn keyed_for(&self, part: Part) -> &SipHasher13 {
        // There is one for each part.
        let [first, ..] = &self.keyed;
        self.keyed.get(part as usize).unwrap_or(first)
    }

    pub(crate) fn of_scope(&self, scope: &Scope) -> Label {
        self.of(Part::Scope, scope.as_bytes())
    }

    /// The hash of a key that several stores agree on.
    pub(crate) fn of_key(&self, scope: &[u8], key: &[u8]) -> u64 {
        let mut hasher = *self.keyed_for(Part::Key);
        hasher.write(&[u8::try_from(scope.len()).unwrap_or(u8::MAX)]);
        hasher.write(scope);
        hasher.write(key);
        hasher.finish()
    }

    /// Who asks, and for what.
    pub(crate) fn see(&self, request: &ClaimRequest) -> Seen {
        let label = |part, text: Option<&str>| text.map(|text| self.of(part, text.as_bytes()));
        let scope = Some(self.of_scope(&request.scope));
        let operation = label(Part::Operation, request.operation.as_deref());
        let context = request.caller.as_ref().map_or_else(Context::default, |caller| Context {
            client: label(Part::Client, caller.client_name()),
            network: caller.ip_address().map(|address| Network::of(address).label()),
            agent: label(Part::Agent, caller.agent()),
            request: label(Part::Request, caller.id()),
        });
        Seen { scope, operation, context }
    }
}

/// Whom a record's caller can be compared with, after a restart: the mark of each label, zero for
/// what was not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Digest {
    pub(crate) client: u16,
    pub(crate) network: u16,
    pub(crate) agent: u16,
}

impl Digest {
    pub(crate) const BYTES: usize = CALLER_BYTES;

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let parts = [self.client, self.network, self.agent];
        for (slot, part) in bytes.chunks_exact_mut(2).zip(parts) {
            slot.copy_from_slice(&part.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let part = |at: usize| {
            let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk).copied();
            u16::from_le_bytes(bytes.unwrap_or_default())
        };
        Self { client: part(0), network: part(2), agent: part(4) }
    }
}

/// The network that an address is in: 24 bits, or 48 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    V4([u8; 3]),
    V6([u8; 6]),
}

impl Network {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(address) => {
                Self::V6(address.octets().first_chunk().copied().unwrap_or_default())
            }
        }
    }

    pub(crate) fn label(self) -> Label {
        match self {
            Self::V4([a, b, c]) => Label::new(V4 | u64::from(u32::from_be_bytes([0, a, b, c]))),
            Self::V6([a, b, c, d, e, f]) => {
                Label::new(V6 | u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
            }
        }
    }

    /// The network that a label names, if it names one.
    pub(crate) fn of_label(label: Label) -> Option<Self> {
        let [_, _, a, b, c, d, e, f] = label.get().to_be_bytes();
        match label.get() >> NETWORK_BITS << NETWORK_BITS {
            V4 if [a, b, c] == [0; 3] => Some(Self::V4([d, e, f])),
            V6 => Some(Self::V6([a, b, c, d, e, f])),
            _ => None,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4([a, b, c]) => write!(f, "{}/24", Ipv4Addr::new(*a, *b, *c, 0)),
            Self::V6(prefix) => {
                let mut octets = [0; 16];
                octets.iter_mut().zip(prefix).for_each(|(octet, byte)| *octet = *byte);
                write!(f, "{}/48", Ipv6Addr::from(octets))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Caller, Key};

    #[test]
    fn the_mark_of_a_mark_is_itself() {
        for hash in [0, 1, 7 << 40, u64::from(u16::MAX), u64::MAX] {
            let mark = Label::new(hash).mark();
            assert!(mark != 0);
            assert_eq!(Label::new(u64::from(mark)).mark(), mark);
        }
    }

    #[test]
    fn an_address_is_cut_to_its_network() {
        let network = |text: &str| {
            let network = Network::of(text.parse().expect("an address"));
            assert_eq!(Network::of_label(network.label()), Some(network));
            network.to_string()
        };
        assert_eq!(network("0.0.0.1"), "0.0.0.0/24");
        assert_eq!(network("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(network("::ffff:192.0.2.77"), "192.0.2.0/24");
        assert_eq!(network("2001:db8:1:2:3::9"), "2001:db8:1::/48");
    }

    #[test]
    fn labels_tell_parts_lengths_and_secrets_apart() {
        let (one, other) = (Labels::new(&[1; 16]), Labels::new(&[2; 16]));
        assert_ne!(one.key_id(), other.key_id());
        for len in [0, 1, 94, 95, 96, 300] {
            let text = "x".repeat(len);
            let label = one.of(Part::Scope, text.as_bytes());
            assert_eq!(label, one.of(Part::Scope, text.as_bytes()));
            assert_ne!(label, one.of(Part::Client, text.as_bytes()));
            assert_ne!(label, other.of(Part::Scope, text.as_bytes()));
            assert_ne!(label, one.of(Part::Scope, format!("{text}x").as_bytes()));
            assert_eq!(Network::of_label(label), None);
        }
    }

    #[test]
    fn a_digest_is_its_bytes() {
        let digest = Digest { client: 1, network: 0, agent: u16::MAX };
        assert_eq!(Digest::from_bytes(&digest.to_bytes()), digest);
        let labels = Labels::new(&[7; 16]);
        let see = |caller| {
            let (scope, key) = (Scope::new("a").expect("a scope"), Key::new("b").expect("a key"));
            labels.see(&ClaimRequest::new(scope, key).operation("charge").caller(caller))
        };
        assert_eq!(see(Caller::new()).digest(), None);
        let seen = see(Caller::new().client("ios").user_agent("curl"));
        let digest = seen.digest().expect("a caller");
        assert!(digest.client != 0 && digest.network == 0 && digest.agent != 0);
    }
}
