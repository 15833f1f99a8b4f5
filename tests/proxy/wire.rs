//! A client that writes exactly what it is told, and reads what comes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::answer::Answer;

/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(30);

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

/// A request, as text.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    let has = |name: &str| headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !has("host") {
        text.push_str("Host: localhost\r\n");
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
    Answer::read(&mut socket)
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
