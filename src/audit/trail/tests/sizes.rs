//! What an event takes on disk, of traffic as it is: the numbers of `docs/audit.md`.

use super::*;
use crate::audit::{KeyFormat, KeyShape};
use crate::types::Difference;

/// Numbers that look random.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z ^ (z >> 27)
}

/// A request of one of a thousand scopes, fifty clients and five thousand networks.
fn request(sequence: u64, kind: EventKind) -> Event {
    let key = mixed(sequence);
    let at = START.plus_ms(sequence / 20);
    let mut event = Event::new(EventId::new(1, sequence), at, kind, key);
    event.scope = Some(Label::new(mixed(key % 1000)));
    event.operation = Some(Label::new(mixed(5000 + key % 20)));
    event.token = Some(Token(1 << 24 | sequence));
    event.attempt = 1;
    event.context = Context {
        client: Some(Label::new(mixed(6000 + key % 50))),
        network: Some(Label::new(mixed(10_000 + key % 5000))),
        agent: Some(Label::new(mixed(7000 + key % 60))),
        request: Some(Label::new(key)),
    };
    event
}

fn bytes_an_event(events: impl Iterator<Item = Event>, a_write: u64) -> f64 {
    let disk = SimDisk::new();
    let bounds = Bounds { max_bytes: 1 << 30, ..bounds() };
    let mut writer = writer_within(&disk, 1, bounds);
    let mut count = 0;
    for event in events {
        writer.append(&event, nameless()).expect("appended");
        count += 1;
        if count % a_write == 0 {
            writer.write().expect("written");
        }
    }
    writer.write().expect("written");
    writer.bytes() as f64 / count as f64
}

#[test]
fn an_uncontended_event_takes_at_most_64_bytes() {
    let pairs = (0..50_000).flat_map(|number| {
        let mut claimed = request(2 * number, EventKind::Claimed);
        let key = claimed.key_hash;
        let (format, prefix) = (KeyFormat::UuidV4, key as u32);
        claimed.shape = Some(KeyShape { format, len: 36, prefix, value: key >> 32 });
        let mut completed = Event { id: EventId::new(1, 2 * number + 1), ..claimed };
        completed.kind = EventKind::Completed;
        completed.shape = None;
        completed.context.request = None;
        completed.duration_ms = Some(3 + number % 500);
        [claimed, completed]
    });
    // A busy store; one that does five requests a second, each of which is a write of its own.
    let (busy, idle) = (bytes_an_event(pairs.clone(), 2000), bytes_an_event(pairs, 1));
    println!("uncontended: {busy:.1} bytes, alone in its write {idle:.1}");
    assert!(busy <= 64.0 && idle <= 64.0, "{busy} {idle}");
}

#[test]
fn a_collision_takes_at_most_96_bytes() {
    let collisions = (0..50_000).map(|number| {
        let mut event = request(number, EventKind::Mismatch);
        event.age_ms = Some(mixed(number) % 86_400_000);
        event.differs = Some(Difference::Payload);
        let other = request(mixed(number), EventKind::Claimed).context;
        event.holder = Some(Context { request: None, ..other });
        event
    });
    let (busy, idle) = (bytes_an_event(collisions.clone(), 2000), bytes_an_event(collisions, 1));
    println!("collision: {busy:.1} bytes, alone in its write {idle:.1}");
    assert!(busy <= 96.0 && idle <= 96.0, "{busy} {idle}");
}
