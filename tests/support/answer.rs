//! An answer over HTTP, as it came: read whole from a socket, or found in bytes.

#![allow(dead_code, reason = "each test uses its part")]

use std::io::Read;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

/// An answer that was read whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub trailers: Option<HeaderMap>,
    pub body: Bytes,
}

impl Answer {
    /// Reads one answer, and no byte after it; `None` if it does not come whole, or is none.
    pub fn read(from: &mut impl Read) -> Option<Self> {
        let head = until(from, b"\r\n\r\n")?;
        let mut lines = std::str::from_utf8(&head).ok()?.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let mut headers = HeaderMap::new();
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':')?;
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            headers.append(name, HeaderValue::from_str(value.trim()).ok()?);
        }
        let mut answer = Self { status, headers, trailers: None, body: Bytes::new() };
        answer.body = answer.read_body(from)?.into();
        Some(answer)
    }

    /// The first answer in these bytes.
    pub fn parse(mut bytes: &[u8]) -> Option<Self> {
        Self::read(&mut bytes)
    }

    fn read_body(&self, from: &mut impl Read) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        if self.header("transfer-encoding") == "chunked" {
            read_chunks(from, &mut body)?;
        } else if let Ok(length) = self.header("content-length").parse() {
            body = vec![0; length];
            from.read_exact(&mut body).ok()?;
        } else {
            from.read_to_end(&mut body).ok()?;
        }
        Some(body)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub fn is_replay(&self) -> bool {
        self.header("idempotent-replayed") == "true"
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("UTF-8")
    }

    /// The status and the name of a problem.
    pub fn problem(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// The problem of this status and name.
pub fn problem(status: u16, name: &str) -> (u16, String) {
    (status, name.to_owned())
}

fn until(from: &mut impl Read, end: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end) {
        let mut byte = [0];
        from.read_exact(&mut byte).ok()?;
        bytes.extend(byte);
    }
    Some(bytes)
}

fn read_chunks(from: &mut impl Read, body: &mut Vec<u8>) -> Option<()> {
    loop {
        let line = until(from, b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&line).ok()?.trim(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        from.read_exact(&mut chunk).ok()?;
        if size == 0 {
            return Some(());
        }
        body.extend_from_slice(&chunk[..size]);
    }
}
