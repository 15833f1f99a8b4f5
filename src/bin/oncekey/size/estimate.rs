//! How much disk, memory and time a store will take: the formula of `docs/operations.md`.
//!
//! It is arithmetic on the sizes of the format, and on what `docs/benchmarks.md` measured of memory
//! and of opening. The tests hold the disk's size against stores that ran.

/// Length, checksum, kind and varints of a completion and of a claim.
const COMPLETION_FIXED: f64 = 27.0;
const CLAIM_FIXED: f64 = 28.0;
const FINGERPRINT: f64 = 32.0;
const GRANULE: f64 = 16.0;
const BATCH_HEADER: f64 = 64.0;
const FOOTER_ENTRY: f64 = 16.0;
/// Segments beside those that are full of records: the active one, the next, and two spares.
const SEGMENTS_AROUND: f64 = 4.0;
/// Compaction takes a segment once this share of it, or more, is dead.
const DEAD_SHARE: f64 = 0.5;
/// How full compaction packs a segment.
const PACKED: f64 = 0.9;
/// Bytes of memory the index takes for a record at most, on average between two growths.
const INDEX_BYTES: f64 = 12.0;
/// Bytes of memory and of disk that a remembered key takes once its record has expired, and by how
/// much more keys there are at most than expired in the time that they are remembered for.
const LATE_MEMORY: f64 = 1.5;
const LATE_DISK: f64 = 14.0;
const LATE_WINDOWS: f64 = 1.5;
/// Nanoseconds that opening after a crash took for a record, and milliseconds in any case, on a
/// busy machine: an upper bound.
const OPEN_NS: f64 = 200.0;
const OPEN_MS: f64 = 1000.0;

/// Requests of one TTL.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Class {
    pub(crate) ttl_s: f64,
    /// Of all requests, from 0 to 1.
    pub(crate) share: f64,
}

/// What a store is expected to bear.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Load {
    pub(crate) requests_per_s: f64,
    pub(crate) classes: Vec<Class>,
    pub(crate) scope_bytes: f64,
    pub(crate) key_bytes: f64,
    /// As stored: compressed, if it will be.
    pub(crate) response_bytes: f64,
    /// How many claims and completions share a batch, on average.
    pub(crate) frames_per_batch: f64,
    pub(crate) segment_bytes: f64,
    /// For how long after its expiry a key is remembered.
    pub(crate) remember_s: f64,
}

/// What it will take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    /// Records that have not expired.
    pub(crate) records: f64,
    /// Bytes of their frames.
    pub(crate) live_bytes: f64,
    /// Bytes written to the log for one request.
    pub(crate) bytes_per_request: f64,
    pub(crate) disk_bytes: f64,
    /// Segment files, each of which the store keeps open.
    pub(crate) files: f64,
    pub(crate) index_bytes: f64,
    /// What keys take that have expired and are remembered, at most.
    pub(crate) late_memory_bytes: f64,
    pub(crate) late_disk_bytes: f64,
    pub(crate) open_ms: f64,
}

impl Load {
    pub(crate) fn estimate(&self) -> Estimate {
        let names = self.scope_bytes + self.key_bytes + FINGERPRINT;
        let record = padded(COMPLETION_FIXED + names + self.response_bytes);
        let claim = padded(CLAIM_FIXED + names);
        let headers = 2.0 * BATCH_HEADER / self.frames_per_batch;
        let request = record + claim + headers + FOOTER_ENTRY;

        let records = self.requests_per_s * self.sum(|class| class.ttl_s);
        // A segment of the log stays whole until most of it has expired; what outlives that is
        // packed together.
        let log_s = self.log_lasts_s(record / request);
        let log = self.requests_per_s * log_s * request;
        let outlives = |class: &Class| (class.ttl_s - log_s).max(0.0);
        let packed = self.requests_per_s * self.sum(outlives) * (record + FOOTER_ENTRY) / PACKED;
        let late = self.requests_per_s * self.remember_s * LATE_WINDOWS;
        let files = ((log + packed) / self.segment_bytes).ceil() + SEGMENTS_AROUND;
        Estimate {
            records,
            live_bytes: records * record,
            bytes_per_request: request,
            disk_bytes: files * self.segment_bytes,
            files,
            index_bytes: records * INDEX_BYTES,
            late_memory_bytes: late * LATE_MEMORY,
            late_disk_bytes: late * LATE_DISK,
            open_ms: OPEN_MS + records * OPEN_NS / 1e6,
        }
    }

    /// How long a segment of the log is kept: until so much of it is dead that compaction takes
    /// it. Claims are dead from the beginning.
    fn log_lasts_s(&self, record_share: f64) -> f64 {
        let mut classes = self.classes.clone();
        classes.sort_by(|a, b| a.ttl_s.total_cmp(&b.ttl_s));
        let mut alive = record_share;
        for class in &classes {
            alive -= class.share * record_share;
            if alive <= 1.0 - DEAD_SHARE {
                return class.ttl_s;
            }
        }
        0.0
    }

    fn sum(&self, of: impl Fn(&Class) -> f64) -> f64 {
        self.classes.iter().map(|class| class.share * of(class)).sum()
    }
}

fn padded(bytes: f64) -> f64 {
    (bytes / GRANULE).ceil() * GRANULE
}
