//! Lookups: an absent key, and the replay of a response, with all records loaded and warm.

use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::engines::{Engine, Variant};
use crate::options::Options;
use crate::workload::{RESPONSE_BYTES, Request};

/// The stream the records come from, and one that nobody loads.
const LOADED_STREAM: u64 = 0;
const ABSENT_STREAM: u64 = (1 << 24) - 1;

/// Median nanoseconds a lookup.
pub struct Timing {
    pub name: String,
    pub absent_ns: Option<f64>,
    pub replay_ns: f64,
}

/// Loads every engine with records, then times lookups of some of them, interleaved round by round.
/// The last timing is a bare `pread` of the same bytes.
pub fn measure(variants: &[Variant], options: &Options, dir: &Path) -> Vec<Timing> {
    let Options { records, asked, rounds, .. } = *options;
    let present = sample(LOADED_STREAM, asked, records);
    let absent = sample(ABSENT_STREAM, asked, records);
    let engines: Vec<_> = variants.iter().map(|variant| load(variant, records, dir)).collect();
    let (file, places) = bare_file(asked, records, dir);
    let mut times: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); engines.len()];
    let mut bare_times = Vec::new();
    for _ in 0..rounds {
        for (engine, (absent_times, replay_times)) in engines.iter().zip(&mut times) {
            absent_times.push(time(&absent, |request| assert!(engine.replay(request).is_none())));
            replay_times.push(time(&present, |request| {
                let response = engine.replay(request).expect("a loaded record");
                assert_eq!(response.len(), RESPONSE_BYTES);
                black_box(response);
            }));
        }
        bare_times.push(time(&places, |&place| {
            let mut response = vec![0; RESPONSE_BYTES];
            file.read_exact_at(&mut response, place).expect("read the bare file");
            black_box(response);
        }));
    }
    let timed = variants.iter().zip(times).map(|(variant, (absent, replay))| Timing {
        name: variant.name.into(),
        absent_ns: Some(crate::table::median(absent)),
        replay_ns: crate::table::median(replay),
    });
    let replay_ns = crate::table::median(bare_times);
    timed.chain([Timing { name: "bare pread".into(), absent_ns: None, replay_ns }]).collect()
}

fn load(variant: &Variant, records: u64, dir: &Path) -> Arc<dyn Engine> {
    eprint!("\rloading {:<40}", variant.name);
    let dir = dir.join(variant.name.replace(' ', "-"));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("create the lookup directory");
    let engine = (variant.open)(&dir);
    engine.load(&mut (0..records).map(|number| Request::nth(LOADED_STREAM, number)));
    eprint!("\r{:<60}\r", "");
    engine
}

/// Requests spread over the whole stream, made before anything is timed.
fn sample(stream: u64, asked: u64, records: u64) -> Vec<Request> {
    spread(asked, records).map(|number| Request::nth(stream, number)).collect()
}

/// So many numbers below `records` in no order a cache could guess.
fn spread(asked: u64, records: u64) -> impl Iterator<Item = u64> {
    (0..asked).map(move |number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % records)
}

/// A file of responses and the places to read.
fn bare_file(asked: u64, records: u64, dir: &Path) -> (File, Vec<u64>) {
    let path = dir.join("bare");
    let mut bytes = Vec::with_capacity(records as usize * RESPONSE_BYTES);
    for number in 0..records {
        bytes.extend_from_slice(&Request::nth(LOADED_STREAM, number).response);
    }
    fs::write(&path, bytes).expect("write the bare file");
    let places = spread(asked, records).map(|number| number * RESPONSE_BYTES as u64).collect();
    (File::open(path).expect("open the bare file"), places)
}

/// Nanoseconds a call; a first pass over the same items warms what can be warmed.
fn time<T>(items: &[T], mut call: impl FnMut(&T)) -> f64 {
    items.iter().for_each(&mut call);
    let started = Instant::now();
    items.iter().for_each(&mut call);
    started.elapsed().as_nanos() as f64 / items.len() as f64
}
