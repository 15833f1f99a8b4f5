//! The index against `hashbrown::HashTable` over the same shards: bytes, lookups, insertions, and
//! the longest pause of one: the processor time of an insertion that makes a shard grow, since
//! whatever else the machine does would make the time on the wall longer.
//!
//! `cargo bench --bench index -- [--keys 1000000,10000000] [--full]`; `--full` adds a hundred
//! million. Each row is a process of its own, so that the memory it asks for is all its own. The
//! index is compiled from its source, since it is no part of the library's interface.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a bench measures real time")]
#![allow(dead_code, unused_imports, reason = "the index is compiled whole, and used in part")]

#[path = "../../src/ids.rs"]
mod ids;
#[path = "../../src/index/mod.rs"]
mod index;
/// What the index knows of the log.
mod log {
    pub(crate) const GRANULE: usize = 16;
}

/// What the index tells tests, and has from them: nothing, here.
mod reached {
    pub(crate) const fn note(_: &str) {}
}
mod sabotage {
    pub(crate) enum Bug {
        LostInGrowth,
    }

    pub(crate) const fn is_on(_: Bug) -> bool {
        false
    }
}

use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::Instant;

use hashbrown::HashTable;
use ids::{KeyHash, Slot};
use index::{Geometry, IndexShard, Location, SHARDS};
use rustix::time::{ClockId, clock_gettime};

const GEOMETRY: Geometry = Geometry::new(64 << 20);
const LOOKUPS: u64 = 2_000_000;
const TABLES: [&str; 3] = ["index", "hashbrown u64", "hashbrown u64 + u64"];

/// A table of hashes and locations, in shards.
trait Table {
    fn insert(&mut self, hash: KeyHash, location: Location);
    /// How many entries may be meant by a hash.
    fn matches(&self, hash: KeyHash) -> usize;
    fn bytes(&self) -> usize;
}

struct Ours(Vec<IndexShard>);

impl Table for Ours {
    fn insert(&mut self, hash: KeyHash, location: Location) {
        self.0[hash.shard()].insert(GEOMETRY, hash, location);
    }

    fn matches(&self, hash: KeyHash) -> usize {
        self.0[hash.shard()].candidates(GEOMETRY, hash).iter().count()
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(IndexShard::memory_bytes).sum()
    }
}

/// The same 64 bits as the index's slots: 28 of the hash, and the location.
struct Small(Vec<HashTable<u64>>);

/// `hashbrown` takes its control byte from the highest bits, and the place from the lowest.
const fn spread(slot: u64) -> u64 {
    (slot >> 36).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

const fn slot(hash: KeyHash, packed: u64) -> u64 {
    (hash.0 << 12) >> 36 << 36 | packed
}

impl Table for Small {
    fn insert(&mut self, hash: KeyHash, location: Location) {
        let slot = slot(hash, GEOMETRY.pack(location));
        self.0[hash.shard()].insert_unique(spread(slot), slot, |slot| spread(*slot));
    }

    fn matches(&self, hash: KeyHash) -> usize {
        let wanted = slot(hash, 0);
        let table = &self.0[hash.shard()];
        table.iter_hash(spread(wanted)).filter(|slot| **slot >> 36 == wanted >> 36).count()
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(HashTable::allocation_size).sum()
    }
}

/// The whole hash and the location.
struct Large(Vec<HashTable<(u64, u64)>>);

impl Table for Large {
    fn insert(&mut self, hash: KeyHash, location: Location) {
        let entry = (hash.0, GEOMETRY.pack(location));
        self.0[hash.shard()].insert_unique(hash.0 << 12, entry, |entry| entry.0 << 12);
    }

    fn matches(&self, hash: KeyHash) -> usize {
        let table = &self.0[hash.shard()];
        table.iter_hash(hash.0 << 12).filter(|entry| entry.0 == hash.0).count()
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(HashTable::allocation_size).sum()
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["child", table, keys] = words.as_slice() {
        return child(table, keys.parse().expect("a number"));
    }
    let mut sizes = vec![1_000_000, 10_000_000];
    if words.contains(&"--test") {
        sizes = vec![10_000];
    } else if let Some(at) = words.iter().position(|word| *word == "--keys") {
        sizes = words[at + 1].split(',').map(|keys| keys.parse().expect("a number")).collect();
    }
    if words.contains(&"--full") {
        sizes.push(100_000_000);
    }
    println!(
        "| keys | table | B/key | most B/key on the way | RAM B/key | insert ns | longest us | \
         present ns | absent ns | false matches a lookup |"
    );
    println!("| ---: | --- |{}", " ---: |".repeat(8));
    for keys in sizes {
        for table in TABLES {
            let program = std::env::current_exe().expect("this program");
            let mut run = Command::new(program);
            run.args(["child", table, &keys.to_string()]).stderr(Stdio::inherit());
            let output = run.output().expect("a process");
            assert!(output.status.success(), "{table} failed");
            print!("{}", String::from_utf8(output.stdout).expect("text"));
        }
    }
}

fn child(name: &str, keys: u64) {
    let before = anonymous_bytes();
    let table: Box<dyn Table> = match name {
        "index" => Box::new(Ours((0..SHARDS).map(|_| IndexShard::default()).collect())),
        "hashbrown u64" => Box::new(Small((0..SHARDS).map(|_| HashTable::new()).collect())),
        _ => Box::new(Large((0..SHARDS).map(|_| HashTable::new()).collect())),
    };
    measure(name, keys, before, table);
}

fn measure(name: &str, keys: u64, before: u64, mut table: Box<dyn Table>) {
    let mut most_bytes = 0.0_f64;
    let start = Instant::now();
    for number in 0..keys {
        table.insert(hash(number), location(number));
        if number >= keys / 4 && number % (keys / 64).max(1) == 0 {
            most_bytes = most_bytes.max(table.bytes() as f64 / (number + 1) as f64);
        }
    }
    let insert_ns = start.elapsed().as_nanos() as f64 / keys as f64;
    let ram = anonymous_bytes().saturating_sub(before) as f64 / keys as f64;
    let (present_ns, found) = look_up(&*table, |number| number.wrapping_mul(7_368_787) % keys);
    assert!(found >= LOOKUPS);
    let (absent_ns, found) = look_up(&*table, |number| keys + number);
    println!(
        "| {keys} | {name} | {:.2} | {most_bytes:.2} | {ram:.2} | {insert_ns:.0} | {:.0} | \
         {present_ns:.0} | {absent_ns:.0} | {:.1e} |",
        table.bytes() as f64 / keys as f64,
        longest_us(&mut *table, keys),
        found as f64 / LOOKUPS as f64,
    );
}

/// The most processor time that an insertion takes, from a full table on, until a few of its shards
/// have twice as many entries and so have grown at least once.
fn longest_us(table: &mut dyn Table, keys: u64) -> f64 {
    const GROWING: u64 = 16;
    let mut longest = 0.0_f64;
    for number in keys..keys + GROWING * (keys / SHARDS as u64 + 1) {
        let hash = KeyHash((number % GROWING) << 52 | hash(number).0 >> 12);
        let before = cpu_us();
        table.insert(hash, location(number % keys));
        longest = longest.max(cpu_us() - before);
    }
    longest
}

/// Processor time of the thread so far.
fn cpu_us() -> f64 {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    spent.tv_sec as f64 * 1e6 + spent.tv_nsec as f64 / 1e3
}

/// Nanoseconds a lookup, and what was found in all.
fn look_up(table: &dyn Table, number: impl Fn(u64) -> u64) -> (f64, u64) {
    let start = Instant::now();
    let found = (0..LOOKUPS).map(|i| table.matches(black_box(hash(number(i)))) as u64).sum();
    (start.elapsed().as_nanos() as f64 / LOOKUPS as f64, found)
}

/// As good as random, and no two are the same.
const fn hash(number: u64) -> KeyHash {
    let mut x = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    KeyHash(x ^ (x >> 31))
}

const fn location(number: u64) -> Location {
    Location {
        slot: Slot((number / 200_000) as u32),
        offset: 4096 + 256 * (number % 200_000) as u32,
    }
}

/// Memory of the process that is no file's.
fn anonymous_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
