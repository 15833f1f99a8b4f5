//! A draft as words on its way through the ring: in one line of the processor's cache where that is
//! enough, as it is for the end of a claim, else in two.
//!
//! ```text
//! word  one line                                  two lines
//! 0     header; attempt (16 bits), duration (32)  header; attempt (32 bits)
//! 1     time (48 bits), half of the network       time
//! 2     key hash                                  key hash
//! 3     token (48 bits), half of the network      token
//! 4-7   scope, operation, client, agent           scope, operation, client, agent
//! 8-11                                            request, network, age, duration
//! 12-15                                           the holder; the key's shape
//!
//! header: 0 present, 1 two lines, 2 texts beside it, 3-7 kind, 8-9 what differs
//! ```
//!
//! Nothing is lost on the way: what does not fit one line takes two. Left to others: the texts.

use super::draft::{Draft, Millis, Seen, Texts};
use super::label::{Digest, Network};
use super::{Context, EventKind, KeyFormat, KeyShape, Label};
use crate::ids::{StoreTime, Token};
use crate::types::Difference;

/// Words of a line.
pub(super) const LINE: usize = 8;
/// Words of the longest draft.
pub(super) const WORDS: usize = 2 * LINE;

const PRESENT: u64 = 1;
const WIDE: u64 = 1 << 1;
const TEXTS: u64 = 1 << 2;
const KIND: Field = Field { at: 3, bits: 5 };
const DIFFERS: Field = Field { at: 8, bits: 2 };
const ATTEMPT: Field = Field { at: 16, bits: 16 };
const WIDE_ATTEMPT: Field = Field { at: 32, bits: 32 };
const DURATION: Field = Field { at: 32, bits: 32 };
/// A time, or a token, beside half of a network.
const LOW: Field = Field { at: 0, bits: 48 };
const HIGH: Field = Field { at: 48, bits: 16 };
/// Of the holder's client, network and agent.
const MARKS: [Field; 3] =
    [Field { at: 0, bits: 16 }, Field { at: 16, bits: 16 }, Field { at: 32, bits: 16 }];
const SHAPE: Field = Field { at: 0, bits: 8 };
const FORMAT: Field = Field { at: 8, bits: 8 };
const LEN: Field = Field { at: 16, bits: 16 };

const _: () = assert!(EventKind::ALL.len() <= 1 << KIND.bits);

/// Some bits of a word.
struct Field {
    at: u32,
    bits: u32,
}

impl Field {
    const fn fits(&self, value: u64) -> bool {
        value >> self.bits == 0
    }

    const fn put(&self, value: u64) -> u64 {
        value << self.at
    }

    const fn get(&self, word: u64) -> u64 {
        word << (u64::BITS - self.at - self.bits) >> (u64::BITS - self.bits)
    }
}

/// No duration, in one line.
const NO_DURATION: u64 = u32::MAX as u64;
/// A network of version 4 in one line: its 24 bits, and one that says that there is one.
const HAS_V4: u64 = 1 << 24;

/// The header of a draft, or zero where there is none yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header(pub(super) u64);

impl Header {
    pub(super) const fn is_present(self) -> bool {
        self.0 & PRESENT != 0
    }

    pub(super) const fn lines(self) -> usize {
        if self.0 & WIDE != 0 { 2 } else { 1 }
    }

    pub(super) const fn has_texts(self) -> bool {
        self.0 & TEXTS != 0
    }
}

/// A draft as words, of which the first is its [`Header`].
pub(super) fn pack(draft: &Draft) -> [u64; WORDS] {
    let differs = draft.differs.map_or(0, |differs| differs as u64 + 1);
    let header = PRESENT | KIND.put(draft.kind as u64) | DIFFERS.put(differs);
    pack_narrow(draft, header).unwrap_or_else(|| pack_wide(draft, header))
}

fn bits(label: Option<Label>) -> u64 {
    label.map_or(0, Label::get)
}

fn pack_narrow(draft: &Draft, header: u64) -> Option<[u64; WORDS]> {
    let Draft { attempt, at, token, seen, .. } = draft;
    let Context { client, network, agent, request } = seen.context;
    let duration = draft.duration_ms.get().unwrap_or(NO_DURATION);
    let is_long = draft.duration_ms != Millis::NONE && duration >= NO_DURATION;
    let network = match network.map(Network::of_label) {
        None => 0,
        Some(Some(Network::V4([a, b, c]))) => HAS_V4 | u64::from(u32::from_be_bytes([0, a, b, c])),
        Some(_) => return None,
    };
    let fits = !is_long
        && ATTEMPT.fits(u64::from(*attempt))
        && LOW.fits(at.0 | token.0)
        && request.is_none()
        && draft.age_ms == Millis::NONE
        && draft.holder == Digest::default()
        && draft.shape.is_none()
        && draft.texts.is_empty();
    let mut words = [0; WORDS];
    let line = [
        header | ATTEMPT.put(u64::from(*attempt)) | DURATION.put(duration),
        LOW.put(at.0) | HIGH.put(network >> HIGH.bits),
        draft.key_hash,
        LOW.put(token.0) | HIGH.put(network & 0xffff),
        bits(seen.scope),
        bits(seen.operation),
        bits(client),
        bits(agent),
    ];
    words.iter_mut().zip(line).for_each(|(slot, word)| *slot = word);
    fits.then_some(words)
}

fn pack_wide(draft: &Draft, header: u64) -> [u64; WORDS] {
    let Draft { seen, holder, shape, .. } = draft;
    let Context { client, network, agent, request } = seen.context;
    let texts = if draft.texts.is_empty() { 0 } else { TEXTS };
    let shape_of = |part: fn(&KeyShape) -> u64| shape.as_ref().map_or(0, part);
    [
        header | WIDE | texts | WIDE_ATTEMPT.put(u64::from(draft.attempt)),
        draft.at.0,
        draft.key_hash,
        draft.token.0,
        bits(seen.scope),
        bits(seen.operation),
        bits(client),
        bits(agent),
        bits(request),
        bits(network),
        draft.age_ms.bits(),
        draft.duration_ms.bits(),
        MARKS[0].put(holder.client.into())
            | MARKS[1].put(holder.network.into())
            | MARKS[2].put(holder.agent.into()),
        shape_of(|shape| shape.prefix.into()),
        shape_of(|shape| {
            SHAPE.put(1) | FORMAT.put(shape.format as u64) | LEN.put(shape.len.into())
        }),
        shape_of(|shape| shape.value),
    ]
}

/// Makes a draft the one that words tell of, without its texts; `None` if they are none. It is made
/// in its place: to move it costs more than to read it.
pub(super) fn unpack(words: &[u64; WORDS], draft: &mut Draft) -> Option<()> {
    let [header, at, key_hash, token, scope, operation, client, agent, second @ ..] = *words;
    let label = |bits: u64| (bits != 0).then(|| Label::new(bits));
    let kind = *EventKind::ALL.get(KIND.get(header) as usize)?;
    *draft = Draft::new(kind, StoreTime(at));
    draft.key_hash = key_hash;
    draft.token = Token(token);
    draft.differs = difference(DIFFERS.get(header));
    draft.seen = Seen { scope: label(scope), operation: label(operation), ..Seen::default() };
    draft.seen.context.client = label(client);
    draft.seen.context.agent = label(agent);
    if Header(header).lines() == 2 {
        draft.attempt = WIDE_ATTEMPT.get(header) as u32;
        return unpack_second(draft, second);
    }
    draft.at = StoreTime(LOW.get(at));
    draft.token = Token(LOW.get(token));
    draft.attempt = ATTEMPT.get(header) as u32;
    let duration = DURATION.get(header);
    draft.duration_ms = Some(duration).filter(|ms| *ms != NO_DURATION).into();
    let network = HIGH.get(at) << HIGH.bits | HIGH.get(token);
    let [_, a, b, c] = (network as u32).to_be_bytes();
    let network = (network & HAS_V4 != 0).then(|| Network::V4([a, b, c]).label());
    draft.seen.context.network = network;
    Some(())
}

fn unpack_second(draft: &mut Draft, second: [u64; LINE]) -> Option<()> {
    let [request, network, age, duration, holder, prefix, shape, value] = second;
    let label = |bits: u64| (bits != 0).then(|| Label::new(bits));
    draft.seen.context.request = label(request);
    draft.seen.context.network = label(network);
    draft.age_ms = Millis::from_bits(age);
    draft.duration_ms = Millis::from_bits(duration);
    draft.holder = Digest {
        client: MARKS[0].get(holder) as u16,
        network: MARKS[1].get(holder) as u16,
        agent: MARKS[2].get(holder) as u16,
    };
    if SHAPE.get(shape) != 0 {
        draft.shape = Some(KeyShape {
            format: *KeyFormat::ALL.get(FORMAT.get(shape) as usize)?,
            len: LEN.get(shape) as u16,
            prefix: prefix as u32,
            value,
        });
    }
    Some(())
}

fn difference(code: u64) -> Option<Difference> {
    match code {
        1 => Some(Difference::Operation),
        2 => Some(Difference::Payload),
        3 => Some(Difference::OperationAndPayload),
        _ => None,
    }
}

impl Texts {
    fn is_empty(&self) -> bool {
        self.caller.is_none() && self.rare.is_none()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers at the edges of what fits, and between them.
    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![
            Just(0),
            Just(1),
            (0_u32..64).prop_map(|bits| 1 << bits),
            (0_u32..64).prop_map(|bits| (1 << bits) - 1),
            Just(u64::MAX),
            any::<u64>(),
        ]
    }

    fn label() -> impl Strategy<Value = Option<Label>> {
        let network = prop_oneof![
            any::<[u8; 3]>().prop_map(|prefix| Network::V4(prefix).label()),
            any::<[u8; 6]>().prop_map(|prefix| Network::V6(prefix).label()),
            number().prop_map(Label::new),
        ];
        prop::option::of(network)
    }

    fn shape() -> impl Strategy<Value = Option<KeyShape>> {
        let parts = (0_usize..8, any::<u16>(), any::<u32>(), number());
        prop::option::weighted(
            0.2,
            parts.prop_map(|(format, len, prefix, value)| KeyShape {
                format: KeyFormat::ALL[format],
                len,
                prefix,
                value,
            }),
        )
    }

    fn millis() -> impl Strategy<Value = Millis> {
        prop::option::weighted(0.3, 0..u64::MAX).prop_map(Millis::from)
    }

    prop_compose! {
        fn draft()(
            (kind, differs) in (0_usize..EventKind::ALL.len(), 0_u64..4),
            (at, key_hash, token, attempt) in (number(), number(), number(), number()),
            (scope, operation, client, network, agent) in
                (label(), label(), label(), label(), label()),
            request in prop::option::weighted(0.2, number().prop_map(Label::new)),
            (age_ms, duration_ms, short) in (millis(), millis(), prop::option::of(number())),
            holder in prop::option::weighted(0.2, any::<[u16; 3]>()),
            shape in shape(),
        ) -> Draft {
            let [holder_client, holder_network, holder_agent] = holder.unwrap_or_default();
            let context = Context { client, network, agent, request };
            Draft {
                differs: difference(differs),
                attempt: attempt as u32,
                key_hash,
                token: Token(token),
                age_ms,
                duration_ms: short.filter(|ms| *ms != u64::MAX).map_or(duration_ms, |ms| {
                    Some(ms).into()
                }),
                seen: Seen { scope, operation, context },
                holder: Digest {
                    client: holder_client,
                    network: holder_network,
                    agent: holder_agent,
                },
                shape,
                ..Draft::new(EventKind::ALL[kind], StoreTime(at))
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn nothing_is_lost_on_the_way(draft in draft()) {
            let words = pack(&draft);
            prop_assert!(Header(words[0]).is_present());
            if Header(words[0]).lines() == 1 {
                prop_assert_eq!(&words[LINE..], &[0; LINE]);
            }
            let mut back = Draft::new(EventKind::Claimed, StoreTime(0));
            unpack(&words, &mut back).expect("a draft");
            prop_assert_eq!(format!("{back:?}"), format!("{draft:?}"));
        }
    }

    #[test]
    fn the_end_of_a_claim_takes_one_line() {
        let mut draft = Draft::new(EventKind::Completed, StoreTime(1_800_000_000_000));
        draft.token = Token(1 << 40);
        draft.attempt = 3;
        draft.duration_ms = Some(86_400_000).into();
        draft.seen.scope = Some(Label::new(u64::MAX));
        draft.seen.operation = Some(Label::new(u64::MAX));
        draft.seen.context = Context {
            client: Some(Label::new(u64::MAX)),
            network: Some(Network::V4([198, 51, 100]).label()),
            agent: Some(Label::new(u64::MAX)),
            request: None,
        };
        assert_eq!(Header(pack(&draft)[0]).lines(), 1);
        draft.seen.context.request = Some(Label::new(1));
        assert_eq!(Header(pack(&draft)[0]).lines(), 2);
    }
}
