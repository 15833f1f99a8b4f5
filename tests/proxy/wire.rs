//! A client that writes exactly what it is told, and reads what comes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// With their names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map_or("", |(_, value)| value)
    }

    pub fn is_replay(&self) -> bool {
        self.header("idempotent-replayed") == "true"
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
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

pub fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("connected");
    socket.set_read_timeout(Some(LONG)).expect("a timeout");
    socket
}

/// Sends bytes; reads until the other side hangs up. What it sent before a reset counts.
pub fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = connect(address);
    // The other side may answer and hang up before it has taken everything.
    let _ = socket.write_all(bytes);
    read_to_end(&mut socket)
}

pub fn read_to_end(socket: &mut TcpStream) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match socket.read(&mut buffer) {
            Ok(0) | Err(_) => return all,
            Ok(count) => all.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Reads one answer, and leaves the connection as it is.
pub fn read_answer(socket: &mut TcpStream) -> Option<Answer> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let mut answer = parse_head(&head)?;
    if answer.header("transfer-encoding") == "chunked" {
        answer.body = read_chunks(socket)?;
    } else {
        answer.body = vec![0; answer.header("content-length").parse().ok()?];
        socket.read_exact(&mut answer.body).ok()?;
    }
    Some(answer)
}

fn read_chunks(socket: &mut TcpStream) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).ok()?;
            line.push(byte[0]);
        }
        let size = usize::from_str_radix(std::str::from_utf8(&line).ok()?.trim(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        socket.read_exact(&mut chunk).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

fn parse_head(head: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    Some(Answer { status, headers: headers.collect(), body: Vec::new() })
}

/// A request, as text.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    let has = |name: &str| headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !has("host") {
        text.push_str("Host: api.example\r\n");
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    format!("{text}\r\n{body}").into_bytes()
}

/// Sends a request on a connection of its own; `None` if no answer came.
pub fn try_send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Answer> {
    let mut socket = connect(address);
    socket.write_all(&request(method, path, headers, body)).ok()?;
    read_answer(&mut socket)
}

/// A charge of Anna's.
pub fn charge(address: SocketAddr, path: &str, key: &str, body: &str) -> Answer {
    try_charge(address, path, key, body).expect("an answer")
}

pub fn try_charge(address: SocketAddr, path: &str, key: &str, body: &str) -> Option<Answer> {
    let headers = [("Authorization", "Bearer sk_anna"), ("Idempotency-Key", key)];
    try_send(address, "POST", path, &headers, body)
}

pub fn get(address: SocketAddr, path: &str) -> Answer {
    try_send(address, "GET", path, &[], "").expect("an answer")
}
