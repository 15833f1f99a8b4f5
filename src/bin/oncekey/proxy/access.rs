//! The access log: one JSON line a request on standard error, with its outcome.
//!
//! Lines go through a queue to a thread, so that a reader who stops reading delays nobody; lines
//! that find the queue full are counted and lost. A line never holds a credential, a body or a
//! query.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Instant;

use hyper::body::Body;
use hyper::{Request, Response};
use oncekey::Scope;
use oncekey::http::{IDEMPOTENCY_KEY, IDEMPOTENT_REPLAYED, ProblemKind};
use serde::Serialize;

use super::metrics::Metrics;
use super::trouble::Trouble;
use super::upstream::Executed;
use crate::words::json;

const QUEUED_LINES: usize = 8192;
const MAX_TEXT_CHARS: usize = 300;

/// Where lines go.
#[derive(Clone)]
pub(crate) struct Log(Option<SyncSender<String>>);

impl Log {
    /// A log, and what disconnects once every line is written after the last clone is gone.
    pub(crate) fn start(wanted: bool) -> (Self, Receiver<()>) {
        let (done, written) = channel();
        if !wanted {
            return (Self(None), written);
        }
        let (sender, lines) = sync_channel::<String>(QUEUED_LINES);
        let writer = std::thread::Builder::new().name("oncekey-access".into()).spawn(move || {
            let _done: Sender<()> = done;
            for line in lines {
                // Nobody can be told that nobody can be told.
                let _ = std::io::stderr().write_all(line.as_bytes());
            }
        });
        // Without a thread there is no log, as without a reader.
        (Self(writer.ok().map(|_| sender)), written)
    }

    fn put(&self, line: String, metrics: &Metrics) {
        if let Some(sender) = &self.0
            && sender.try_send(line).is_err()
        {
            metrics.lost_lines.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One request's line, written when it is dropped: also for a client that went away.
pub(crate) struct Line {
    log: Log,
    metrics: Arc<Metrics>,
    begin: Instant,
    outcome: &'static str,
    executed: Option<Executed>,
    /// Where there is a log.
    fields: Option<Box<Fields>>,
}

#[derive(Serialize)]
struct Fields {
    time: String,
    client: String,
    method: String,
    path: String,
    status: Option<u16>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    downstream_key: Option<String>,
    ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_ms: Option<f64>,
}

impl Fields {
    fn begin<B>(request: &Request<B>, peer: SocketAddr) -> Self {
        let key = request.headers().get(IDEMPOTENCY_KEY);
        Self {
            time: format!("{:.3}", jiff::Timestamp::now()),
            client: peer.ip().to_canonical().to_string(),
            method: shortened(request.method().as_str()),
            path: shortened(request.uri().path()),
            status: None,
            outcome: "",
            scope: None,
            key: key.map(|key| shortened(&String::from_utf8_lossy(key.as_bytes()))),
            attempt: None,
            downstream_key: None,
            ms: 0.0,
            upstream_ms: None,
        }
    }
}

impl Line {
    pub(crate) fn begin<B>(
        log: Log,
        metrics: Arc<Metrics>,
        request: &Request<B>,
        peer: SocketAddr,
    ) -> Self {
        let fields = log.0.is_some().then(|| Box::new(Fields::begin(request, peer)));
        let (begin, outcome) = (Instant::now(), "client-gone");
        Self { log, metrics, begin, outcome, executed: None, fields }
    }

    pub(crate) fn of_scope(&mut self, scope: Option<&Scope>) {
        if let Some(fields) = &mut self.fields {
            fields.scope = scope.map(|scope| scope.as_str().to_owned());
        }
    }

    pub(crate) fn answered<B: Body>(&mut self, response: &Response<B>) {
        let extensions = response.extensions();
        if let Some(fields) = &mut self.fields {
            fields.status = Some(response.status().as_u16());
        }
        self.executed = extensions.get::<Executed>().cloned();
        self.outcome = if let Some(kind) = extensions.get::<ProblemKind>() {
            kind.name()
        } else if let Some(trouble) = extensions.get::<Trouble>() {
            trouble.name()
        } else if response.headers().contains_key(IDEMPOTENT_REPLAYED) {
            "replayed"
        } else if self.executed.as_ref().is_some_and(|executed| executed.attempt.is_some()) {
            "executed"
        } else {
            "passed"
        };
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let took = self.begin.elapsed();
        let upstream = self.executed.as_ref().map(|executed| executed.took);
        self.metrics.answered(self.outcome, took, upstream);
        let Some(mut fields) = self.fields.take() else { return };
        fields.outcome = self.outcome;
        fields.ms = took.as_micros() as f64 / 1e3;
        fields.upstream_ms = upstream.map(|took| took.as_micros() as f64 / 1e3);
        if let Some((attempt, key)) = self.executed.take().and_then(|executed| executed.attempt) {
            fields.attempt = Some(attempt);
            fields.downstream_key = Some(key.as_str().to_owned());
        }
        self.log.put(json(&fields, false), &self.metrics);
    }
}

fn shortened(text: &str) -> String {
    if text.len() <= MAX_TEXT_CHARS {
        return text.to_owned();
    }
    text.chars().take(MAX_TEXT_CHARS).collect()
}
