//! The inspector's findings as JSON objects. Times are RFC 3339 in UTC.

use oncekey::{DamageReport, KeyDetail, KeyRow, Owner, Summary};
use serde::Serialize;

use crate::words::{hex, rfc3339};

/// A key.
#[derive(Debug, Serialize)]
pub(super) struct KeyJson<'a> {
    scope: &'a str,
    key: &'a str,
    state: String,
    token: u64,
    attempt: u32,
    since: String,
    expires_at: Option<String>,
    status: Option<u32>,
    body_bytes: Option<u64>,
    on_drop: Option<String>,
    checkpoint: Option<&'a str>,
    fingerprint: String,
    file: Option<&'a str>,
    offset: Option<u64>,
}

/// A key and, if they were asked for, the bytes that are stored with it.
#[derive(Debug, Serialize)]
pub(super) struct DetailJson<'a> {
    #[serde(flatten)]
    key: KeyJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint_data: Option<Bytes>,
}

/// Bytes as text if they are text, else as hexadecimal digits.
#[derive(Debug, Serialize)]
struct Bytes {
    encoding: &'static str,
    data: String,
}

impl Bytes {
    fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self { encoding: "utf-8", data: text.to_owned() },
            Err(_) => Self { encoding: "hex", data: hex(bytes) },
        }
    }
}

impl<'a> KeyJson<'a> {
    pub(super) fn of(row: &'a KeyRow) -> Self {
        Self {
            scope: row.scope.as_str(),
            key: row.key.as_str(),
            state: row.state.to_string().replace(' ', "-"),
            token: row.token.get(),
            attempt: row.attempt,
            since: rfc3339(row.since),
            expires_at: row.expires_at.map(rfc3339),
            status: row.status,
            body_bytes: row.body_bytes,
            on_drop: row.on_drop.map(|policy| policy.to_string()),
            checkpoint: row.checkpoint.as_deref(),
            fingerprint: row.fingerprint.to_string(),
            file: row.place.as_ref().map(|(file, _)| file.as_str()),
            offset: row.place.as_ref().map(|(_, offset)| *offset),
        }
    }
}

impl<'a> DetailJson<'a> {
    pub(super) fn of(detail: &'a KeyDetail, with_bytes: bool) -> Self {
        let response = detail.response.as_ref().filter(|_| with_bytes);
        let checkpoint = detail.checkpoint.as_ref().filter(|_| with_bytes);
        Self {
            key: KeyJson::of(&detail.row),
            body: response.map(|response| Bytes::of(response.body())),
            checkpoint_data: checkpoint.map(|checkpoint| Bytes::of(checkpoint.data())),
        }
    }
}

/// Who has the store open.
#[derive(Debug, Serialize)]
pub(crate) struct OwnerJson {
    state: &'static str,
    pid: Option<u32>,
}

impl OwnerJson {
    pub(crate) fn of(owner: Owner) -> Self {
        match owner {
            Owner::Running(pid) => Self { state: "running", pid: Some(pid) },
            Owner::Gone(pid) => Self { state: "gone", pid: Some(pid) },
            _ => Self { state: "nobody", pid: None },
        }
    }
}

/// A place that is damaged.
#[derive(Debug, Serialize)]
pub(crate) struct DamageJson<'a> {
    file: &'a str,
    offset: u64,
    bytes: u64,
    what: &'a str,
}

impl<'a> DamageJson<'a> {
    pub(crate) fn all(list: &'a [DamageReport]) -> Vec<Self> {
        let of = |damage: &'a DamageReport| Self {
            file: &damage.file,
            offset: damage.offset,
            bytes: damage.bytes,
            what: &damage.what,
        };
        list.iter().map(of).collect()
    }
}

/// The store in numbers.
#[derive(Debug, Serialize)]
pub(super) struct SummaryJson<'a> {
    path: &'a str,
    store_id: String,
    format_version: u32,
    owner: OwnerJson,
    epoch: u64,
    copied: bool,
    created_at: String,
    store_time: String,
    now: String,
    ceiling: u64,
    completed: u64,
    expired: u64,
    in_flight: u64,
    abandoned: u64,
    unresolved: u64,
    oldest_in_flight: Option<String>,
    oldest_unresolved: Option<String>,
    next_expiry: Option<String>,
    segment_bytes: u64,
    disk_bytes: u64,
    spare_files: u64,
    segments: Vec<SegmentJson<'a>>,
    damage: Vec<DamageJson<'a>>,
}

#[derive(Debug, Serialize)]
struct SegmentJson<'a> {
    file: &'a str,
    id: u64,
    compacted: bool,
    sealed: bool,
    records: u64,
    forgets: u64,
    data_bytes: u64,
    latest_expiry: Option<String>,
}

impl<'a> SummaryJson<'a> {
    pub(super) fn of(summary: &'a Summary) -> Self {
        let segment = |segment: &'a oncekey::SegmentSummary| SegmentJson {
            file: &segment.file,
            id: segment.id,
            compacted: segment.compacted,
            sealed: segment.sealed,
            records: segment.records,
            forgets: segment.forgets,
            data_bytes: segment.data_bytes,
            latest_expiry: segment.latest_expiry.map(rfc3339),
        };
        Self {
            path: &summary.path,
            store_id: summary.store_id.to_string(),
            format_version: summary.format_version,
            owner: OwnerJson::of(summary.owner),
            epoch: summary.epoch,
            copied: summary.copied,
            created_at: rfc3339(summary.created_at),
            store_time: rfc3339(summary.store_time),
            now: rfc3339(summary.now),
            ceiling: summary.ceiling.get(),
            completed: summary.completed,
            expired: summary.expired,
            in_flight: summary.in_flight,
            abandoned: summary.abandoned,
            unresolved: summary.unresolved,
            oldest_in_flight: summary.oldest_in_flight.map(rfc3339),
            oldest_unresolved: summary.oldest_unresolved.map(rfc3339),
            next_expiry: summary.next_expiry.map(rfc3339),
            segment_bytes: summary.segment_bytes,
            disk_bytes: summary.disk_bytes,
            spare_files: summary.spare_files,
            segments: summary.segments.iter().map(segment).collect(),
            damage: DamageJson::all(&summary.damage),
        }
    }
}
