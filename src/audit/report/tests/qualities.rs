//! Good generators of keys are told from bad ones.

use super::Dice;
use crate::audit::label::Labels;
use crate::audit::report::keys::Keys;
use crate::audit::report::quality::{Grade, KeyQuality, collision_chance};
use crate::audit::shape::shape_of;
use crate::audit::{Event, EventId, EventKind};
use crate::ids::StoreTime;

const START_MS: u64 = 1_767_225_600_000;

/// Four hours of keys, five seconds apart.
fn judged(make: impl Fn(u64, u64, &mut Dice) -> String) -> KeyQuality {
    let labels = Labels::new(&[3; 16]);
    let mut dice = Dice(21);
    let mut keys = Keys::default();
    for number in 0..3000_u64 {
        let at_ms = START_MS + number * 5000 + dice.bits() % 5000;
        let key = make(number, at_ms, &mut dice);
        let shape = shape_of(key.as_bytes(), &labels);
        let id = EventId::new(1, number);
        let event = Event::new(id, StoreTime::from_millis(at_ms), EventKind::Claimed, dice.bits());
        keys.observe(&event, &shape);
    }
    KeyQuality::new(&keys, 3000 * 5000)
}

fn uuid(high: u64, low: u64, version: u64) -> String {
    let hex = format!("{high:016x}{low:016x}");
    let (a, b, c, d) = (&hex[..8], &hex[8..12], &hex[13..16], &hex[17..20]);
    format!("{a}-{b}-{version}{c}-8{d}-{}", &hex[20..])
}

#[test]
fn good_keys_are_good() {
    let v4 = judged(|_, _, dice| uuid(dice.bits(), dice.bits(), 4));
    assert_eq!((v4.grade, v4.entropy_bits), (Grade::Good, Some(122.0)), "{v4:?}");
    assert!(v4.findings.is_empty() && v4.collision_chance_year < Some(1e-20), "{v4:?}");
    let v7 = judged(|_, at_ms, dice| uuid(at_ms << 16 | dice.bits() & 0xffff, dice.bits(), 7));
    assert_eq!((v7.grade, v7.entropy_bits), (Grade::Good, Some(74.0)), "{v7:?}");
    let hex = judged(|_, _, dice| format!("{:016x}{:016x}", dice.bits(), dice.bits()));
    assert_eq!((hex.grade, hex.entropy_bits), (Grade::Good, Some(128.0)), "{hex:?}");
}

#[test]
fn bad_keys_are_bad_and_why_is_said() {
    let cases: [(&str, KeyQuality); 8] = [
        ("sequential", judged(|number, _, _| format!("{}", 1_000_000 + number))),
        // Of a counter that others use, too.
        (
            "sequential",
            judged(|number, _, dice| format!("{}", 70_000 + number * 9 + dice.bits() % 9)),
        ),
        ("timestamp", judged(|_, at_ms, _| at_ms.to_string())),
        ("timestamp", judged(|_, at_ms, _| (at_ms / 1000).to_string())),
        ("shared_prefix", judged(|_, _, dice| format!("checkout-{}", dice.bits() % 100_000))),
        ("short", judged(|_, _, dice| format!("{:08x}", dice.bits() as u32))),
        ("repeated", judged(|_, _, dice| format!("{:04}", dice.bits() % 700))),
        ("biased_bits", judged(|_, _, dice| uuid(dice.bits() & 0x00ff_00ff << 32, dice.bits(), 4))),
    ];
    for (finding, quality) in cases {
        assert!(quality.findings.contains(&finding), "{finding}: {quality:?}");
        let is_bad = quality.grade >= Grade::Weak || finding == "biased_bits";
        assert!(is_bad, "{finding}: {quality:?}");
    }
    let mixed = judged(|number, _, dice| match number % 3 {
        0 => format!("order {number}"),
        _ => uuid(dice.bits(), dice.bits(), 4),
    });
    assert!(mixed.findings.contains(&"mixed_formats"), "{mixed:?}");
}

#[test]
fn the_birthday_bound_is_the_known_one() {
    // 23 people, 365 days: 0.507; by the exponential that stands for it here, 0.500.
    let days = 365_f64.log2();
    assert!((collision_chance(23.0, days) - 0.5).abs() < 0.001);
    // RFC 9562's 122 bits: a billion keys.
    let chance = collision_chance(1e9, 122.0);
    assert!((chance / (5e17 / 2_f64.powi(122)) - 1.0).abs() < 1e-6, "{chance}");
    assert_eq!(collision_chance(1.0, 10.0), 0.0);
}
