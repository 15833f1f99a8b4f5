//! What a fuzzer begins with: real structures, in the form that each target takes.
//!
//! `cargo test --all-features --lib write_the_seeds -- --ignored` writes them to `fuzz/corpus`,
//! beside what was found since.

#![allow(clippy::disallowed_methods, reason = "inputs are files")]

use std::borrow::Cow;
use std::fs;

use super::stores::{self, Stored};
use super::tests::corpus;
use crate::audit::{Trail, TrailItem};
use crate::simulation::SimDisk;

type Seeds = Vec<Vec<u8>>;

fn bytes(texts: &[&str]) -> Seeds {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Numbers that look like chance and are the same each time.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(len)
    .collect()
}

fn noises(count: u64, len: usize) -> Seeds {
    (1..=count).map(|seed| noise(seed, len)).collect()
}

fn with_a_past() -> &'static Stored {
    stores::all().iter().find(|stored| stored.files.len() > 6).expect("one with a past")
}

fn file(start: &str) -> &'static [u8] {
    let mut files = with_a_past().files.iter();
    files.find(|(name, _)| name.starts_with(start)).expect("such a file").1
}

fn manifest() -> Vec<u8> {
    let len = u32::from_le_bytes(*file("MANIFEST")[16..].first_chunk().expect("a length"));
    [&[0, 0, 0], &file("MANIFEST")[20..len as usize]].concat()
}

/// The events of a trail's first block, as the target takes them.
fn trail_events() -> Vec<u8> {
    let segment = file("audit/trail-");
    let len = u32::from_le_bytes(*segment[84..].first_chunk().expect("a length")) as usize;
    let payload = &segment[96..96 + len];
    let mut body = crate::log::Reader::new(payload);
    assert!((0..4).all(|_| body.varint().is_some()));
    body.rest().to_vec()
}

/// Kinds and bodies of frames, as the target takes them.
fn batch() -> Vec<u8> {
    let mut batch = vec![1, 0, 5, 0, 0, 0, 0, 1, 7, 0, 0];
    for frame in frames().iter().filter(|frame| frame.len() < 256) {
        let len = frame[5] - 8;
        batch.extend([frame[4], len]);
        batch.extend(&frame[8..8 + usize::from(len)]);
    }
    batch
}

/// One frame of each kind.
fn frames() -> Seeds {
    crate::log::fuzzing::golden()
}

fn lines(stored: &Stored) -> Vec<String> {
    let disk = SimDisk::new();
    for (name, bytes) in &stored.files {
        if let Some(name) = name.strip_prefix("audit/") {
            disk.put_file(name, bytes.clone()).expect("a file");
        }
    }
    let mut trail = Trail::on(disk);
    let mut lines = Vec::new();
    while let Some(item) = trail.next() {
        let item = item.expect("an item");
        let origin = trail.store_id().zip(trail.key_id());
        let origin = origin.map(|(store, key)| crate::audit::Origin::new(store, key));
        let name = |label| trail.name(label).map(|name| Cow::Owned(name.into_owned()));
        lines.push(crate::audit::item_json(origin, &item, None, &name));
        assert!(!matches!(item, TrailItem::Damage(_)));
    }
    lines
}

fn told() -> Seeds {
    let all = lines(with_a_past());
    let of = "\"store\":\"73746f72652d69642d31366279746573\",\"key_id\":\"0000000000000009\"";
    let statements = [
        format!("{{\"told\":\"lost\",{of},\"first\":\"1.3\",\"count\":\"2\"}}"),
        format!("{{\"told\":\"mark\",{of},\"next\":\"1.5\",\"at_ms\":1790000000000}}"),
        format!("{{\"told\":\"end\",{of},\"next\":\"1.5\",\"closed\":true}}"),
    ];
    let gap = r#"{"gap":{"after":"1.2","before":"1.9","lost":6}}"#.to_owned();
    vec![all[..6].join("\n").into(), statements.join("\n").into(), gap.into()]
}

fn snapshot() -> Seeds {
    use crate::audit::merge::{Producer, Snapshot};
    use crate::audit::report::Summary;
    use crate::audit::{Classifier, Rules, parse_event};
    let store = with_a_past().store_id;
    let mut classifier = Classifier::new(Rules::new());
    let mut summary = Summary::new(Some(store));
    for line in lines(with_a_past()).iter().take(12) {
        let mut event = parse_event(line).expect("an event").event;
        let judgement = classifier.observe(&mut event);
        summary.observe(&event, judgement.as_ref());
    }
    let snapshot = Snapshot::new(Producer::new(store, 1), 9, summary);
    let empty = Snapshot::new(Producer::new(store, 1), 9, Summary::new(None));
    [snapshot, empty].iter().map(|one| one.to_json().expect("JSON").into_bytes()).collect()
}

fn kept() -> Seeds {
    let bodies: [&[u8]; 3] = [
        b"\x01\x01\x02\0\0\0\x01\0\x01\0\0\0a1\x01\0\x02\0\0\0a23body",
        b"\x01\0\0\0\0\0",
        b"\x01\x03\0\0\0\0\x01\0\0\0\x0b\0\x01\0\0\0grpc-status0body",
    ];
    bodies.iter().map(|body| [&[200, 0], *body].concat()).collect()
}

/// The seeds of a target.
fn of(name: &str) -> Seeds {
    match name {
        "frame" => frames(),
        "batch" => vec![batch(), batch()[..60].to_vec()],
        "segment_header" => vec![file("segment-")[12..68].to_vec()],
        "manifest" => vec![manifest()],
        "trail_events" => vec![trail_events()],
        "export_line" => {
            let lines = lines(with_a_past());
            lines.iter().step_by(5).map(|line| line.clone().into_bytes()).collect()
        }
        "told_lines" => told(),
        "snapshot" => snapshot(),
        "sink_cursor" => bytes(&[concat!(
            "{\"version\":1,\"sink\":\"a sink\",\"store\":\"73746f72652d69642d31366279746573\",",
            "\"boot\":1,\"sequence\":7,\"segment\":1}\n"
        )]),
        "key_header" => bytes(&[
            "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"",
            "8e03",
            " \"a\\\"b\\\\\";v=1 ",
            ":YWJj:",
            "\"a\", \"b\"",
        ]),
        "kept_response" => kept(),
        "canonical_json" => bytes(&[
            r#"{"b":[1,2.5,-0,1e3],"a":{"x":"\u00e9\n","y":null},"c":true}"#,
            r#"{"a":1,"a":2}"#,
            "[0.1,123456789012345,\"\\ud83d\\ude00\"]",
        ]),
        "typed" => vec![
            b"\x07\x0a\x01\0\0\x80\x3f\x03abc\x02\x01\x05\x03\x01x\x01\x01\x01k\x01vA\x01\x09"
                .to_vec(),
            b"\x02\x02\x00\x01\x05".to_vec(),
        ],
        "api" => (0..24).map(|seed| noise(seed + 100, 40 + 16 * seed as usize)).collect(),
        "directory" => noises(24, 14),
        _ => noises(6, 80),
    }
}

#[test]
#[ignore = "it writes to fuzz/corpus"]
fn write_the_seeds() {
    for (name, target) in super::TARGETS {
        let folder = corpus().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        for (number, seed) in of(name).iter().enumerate() {
            target(seed);
            let path = folder.join(format!("seed-{number:02}"));
            fs::write(path, seed).expect("written");
        }
    }
}
