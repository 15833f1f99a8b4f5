//! The floor: one preallocated file, a sharded map in memory, one write and one sync a batch.
//!
//! It recovers nothing and checks nothing; the file wraps around, so that it shows recycled space.
//! Frames are a 16-byte header, scope, key, fingerprint and, for a completion, the response.

use std::fs::File;
use std::hash::{BuildHasher, Hash};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, Equivalent, HashMap};
use parking_lot::Mutex;

use super::{Answer, Engine, Mode, Role, Tasks, Variant};
use crate::group::{Commit, Group, Style};
use crate::workload::{FINGERPRINT_BYTES, RESPONSE_BYTES, Request};

pub const VARIANTS: [Variant; 3] = [
    Variant {
        name: "rawlog committer",
        role: Role::Floor,
        mode: Mode::Durable,
        lookups: true,
        has_tasks: true,
        open: |dir| Arc::new(RawLog::open(dir, Style::Committer)),
    },
    Variant {
        name: "rawlog leader",
        role: Role::Floor,
        mode: Mode::Durable,
        lookups: false,
        has_tasks: false,
        open: |dir| Arc::new(RawLog::open(dir, Style::Leader)),
    },
    Variant {
        name: "rawlog interval",
        role: Role::Floor,
        mode: Mode::Interval,
        lookups: false,
        has_tasks: false,
        open: |dir| Arc::new(IntervalLog::open(dir)),
    },
];

/// The file wraps around here.
const FILE_BYTES: u64 = 64 << 20;
/// Room behind the end for a frame or batch that starts before it.
const SLACK_BYTES: u64 = 4 << 20;
const INTERVAL: Duration = Duration::from_millis(100);
const SHARDS: usize = 64;

/// What the map keeps of a key.
#[derive(Clone, Copy)]
enum Slot {
    Claimed,
    /// The response's place in the loaded file.
    Completed(u64),
}

type Shard = Mutex<HashMap<(String, String), Slot>>;

/// A key as a lookup has it, hashed as the owned pair is.
#[derive(Hash)]
struct Borrowed<'a>(&'a str, &'a str);

impl Equivalent<(String, String)> for Borrowed<'_> {
    fn equivalent(&self, owned: &(String, String)) -> bool {
        self.0 == owned.0 && self.1 == owned.1
    }
}

/// 64 shards of a locked hash map: also the yardstick of an absent-key lookup.
struct ShardedMap {
    hasher: DefaultHashBuilder,
    shards: Vec<Shard>,
}

impl ShardedMap {
    fn new() -> Self {
        let hasher = DefaultHashBuilder::default();
        let shard = |_| Mutex::new(HashMap::with_hasher(hasher.clone()));
        let shards = (0..SHARDS).map(shard).collect();
        Self { hasher, shards }
    }

    fn shard(&self, request: &Request) -> &Shard {
        let hash = self.hasher.hash_one(Borrowed(&request.scope, &request.key));
        &self.shards[(hash >> 32) as usize % SHARDS]
    }

    fn get(&self, request: &Request) -> Option<Slot> {
        self.shard(request).lock().get(&Borrowed(&request.scope, &request.key)).copied()
    }

    fn insert_new(&self, request: &Request) -> bool {
        let mut shard = self.shard(request).lock();
        if shard.contains_key(&Borrowed(&request.scope, &request.key)) {
            return false;
        }
        shard.insert((request.scope.clone(), request.key.clone()), Slot::Claimed);
        true
    }

    fn complete(&self, request: &Request, place: u64) {
        let mut shard = self.shard(request).lock();
        if let Some(slot) = shard.get_mut(&Borrowed(&request.scope, &request.key)) {
            *slot = Slot::Completed(place);
        }
    }
}

fn write_frame(out: &mut Vec<u8>, request: &Request, response: &[u8]) {
    let body = request.scope.len() + request.key.len() + FINGERPRINT_BYTES + response.len();
    out.extend_from_slice(&(body as u64).to_le_bytes());
    out.extend_from_slice(&(request.scope.len() as u32).to_le_bytes());
    out.extend_from_slice(&(request.key.len() as u32).to_le_bytes());
    out.extend_from_slice(request.scope.as_bytes());
    out.extend_from_slice(request.key.as_bytes());
    out.extend_from_slice(&request.fingerprint);
    out.extend_from_slice(response);
}

fn create(path: &Path) -> File {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(true);
    options.open(path).expect("create a log file")
}

/// A file whose blocks are allocated and written, so that a sync changes no metadata.
fn preallocated(path: &Path) -> File {
    let file = create(path);
    // In pieces of 256 KiB, as the store does: with 1 MiB small writes cost twice as much.
    let zeroes = vec![0; 256 << 10];
    for offset in (0..FILE_BYTES + SLACK_BYTES).step_by(zeroes.len()) {
        file.write_all_at(&zeroes, offset).expect("fill the log file");
    }
    file.sync_all().expect("sync the log file");
    file
}

struct LogFile {
    file: File,
    position: u64,
    syncs: Arc<AtomicU64>,
}

impl Commit for LogFile {
    type Batch = Vec<u8>;

    fn commit(&mut self, batch: &mut Vec<u8>) -> Vec<bool> {
        assert!(batch.len() as u64 <= SLACK_BYTES, "a batch larger than the slack");
        self.file.write_all_at(batch, self.position).expect("write a batch");
        rustix::fs::fdatasync(&self.file).expect("sync a batch");
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.position += batch.len() as u64;
        if self.position >= FILE_BYTES {
            self.position = 0;
        }
        batch.clear();
        Vec::new()
    }
}

struct RawLog {
    map: ShardedMap,
    group: Group<LogFile>,
    syncs: Arc<AtomicU64>,
    loaded: File,
}

impl RawLog {
    fn open(dir: &Path, style: Style) -> Self {
        let syncs = Arc::default();
        let file = preallocated(&dir.join("log"));
        let sink = LogFile { file, position: 0, syncs: Arc::clone(&syncs) };
        let loaded = create(&dir.join("loaded"));
        Self { map: ShardedMap::new(), group: Group::new(sink, style), syncs, loaded }
    }
}

impl Engine for RawLog {
    fn claim(&self, request: &Request) -> bool {
        self.map.insert_new(request) && self.group.submit(|batch| write_frame(batch, request, &[]))
    }

    fn complete(&self, request: &Request) {
        self.map.complete(request, 0);
        self.group.submit(|batch| write_frame(batch, request, &request.response));
    }

    fn replay(&self, request: &Request) -> Option<Vec<u8>> {
        let Some(Slot::Completed(place)) = self.map.get(request) else { return None };
        let mut response = vec![0; RESPONSE_BYTES];
        self.loaded.read_exact_at(&mut response, place).expect("read a response");
        Some(response)
    }

    fn load(&self, requests: &mut dyn Iterator<Item = Request>) {
        let mut position = 0;
        let mut buffer = Vec::new();
        for request in requests {
            self.map.insert_new(&request);
            write_frame(&mut buffer, &request, &request.response);
            let end = position + buffer.len() as u64;
            self.map.complete(&request, end - RESPONSE_BYTES as u64);
            if buffer.len() >= 1 << 20 {
                self.loaded.write_all_at(&buffer, position).expect("load records");
                position = end;
                buffer.clear();
            }
        }
        self.loaded.write_all_at(&buffer, position).expect("load records");
    }

    fn tasks(&self) -> Option<&dyn Tasks> {
        Some(self)
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.syncs.load(Ordering::Relaxed))
    }
}

impl Tasks for RawLog {
    fn claim<'a>(&'a self, request: &'a Request) -> Answer<'a> {
        Box::pin(async move {
            self.map.insert_new(request)
                && self.group.submit_async(|batch| write_frame(batch, request, &[])).await
        })
    }

    fn complete<'a>(&'a self, request: &'a Request) -> Answer<'a> {
        Box::pin(async move {
            self.map.complete(request, 0);
            self.group.submit_async(|batch| write_frame(batch, request, &request.response)).await
        })
    }
}

/// Each caller writes its own frame into its own range; a thread syncs every 100 ms.
struct IntervalLog {
    map: ShardedMap,
    file: Arc<File>,
    position: AtomicU64,
    syncs: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl IntervalLog {
    fn open(dir: &Path) -> Self {
        let file = Arc::new(preallocated(&dir.join("log")));
        let (stop, syncs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = thread::spawn({
            let (file, stop, syncs) = (Arc::clone(&file), Arc::clone(&stop), Arc::clone(&syncs));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    thread::sleep(INTERVAL);
                    rustix::fs::fdatasync(&*file).expect("sync the log");
                    syncs.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let (map, position) = (ShardedMap::new(), AtomicU64::new(0));
        Self { map, file, position, syncs, stop, thread: Some(thread) }
    }

    fn append(&self, request: &Request, response: &[u8]) {
        let mut frame = Vec::with_capacity(512);
        write_frame(&mut frame, request, response);
        let start = self.position.fetch_add(frame.len() as u64, Ordering::Relaxed) % FILE_BYTES;
        self.file.write_all_at(&frame, start).expect("write a frame");
    }
}

impl Drop for IntervalLog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Engine for IntervalLog {
    fn claim(&self, request: &Request) -> bool {
        let won = self.map.insert_new(request);
        if won {
            self.append(request, &[]);
        }
        won
    }

    fn complete(&self, request: &Request) {
        self.map.complete(request, 0);
        self.append(request, &request.response);
    }

    fn replay(&self, _request: &Request) -> Option<Vec<u8>> {
        unreachable!("the interval variant takes no part in lookups")
    }

    fn load(&self, _requests: &mut dyn Iterator<Item = Request>) {
        unreachable!("the interval variant takes no part in lookups")
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.syncs.load(Ordering::Relaxed))
    }
}
