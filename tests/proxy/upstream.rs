//! A small upstream that does what its path says, and remembers every request.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use crate::wire::LONG;

/// What is answered word for word.
const ANSWERS: [(&str, &[u8]); 6] = [
    (
        "/two-lengths",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n0\r\n\r\n",
    ),
    ("/coded", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    (
        "/switches",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nx",
    ),
    (
        "/informs",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "/says-more",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\
        HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ),
    (
        "/trailers",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\
        Idempotent-Replayed: true\r\nX-Trailer: 1\r\n\r\n",
    ),
];

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Seen {
    /// Every value of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str()).collect()
    }
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    /// Parts of bodies that came in chunks, as they came.
    chunks: usize,
    gate_is_open: bool,
}

/// The upstream; it ends with the test's process.
#[derive(Clone)]
pub struct Upstream {
    pub address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Upstream {
    pub fn start() -> Self {
        Self::on("127.0.0.1:0".parse().expect("an address"))
    }

    pub fn on(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("a port");
        let address = listener.local_addr().expect("an address");
        let upstream = Self { address, shared: Arc::default() };
        let served = upstream.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let upstream = served.clone();
                std::thread::spawn(move || while upstream.serve(&socket).is_some() {});
            }
        });
        upstream
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.shared.0.lock().expect("unpoisoned").seen.clone()
    }

    pub fn count(&self) -> usize {
        self.seen().len()
    }

    /// Waits until so many requests have come.
    pub fn wait_for(&self, count: usize) {
        self.wait_until(|state| state.seen.len() >= count);
    }

    /// Waits until so many chunks of bodies have come.
    pub fn wait_for_chunks(&self, count: usize) {
        self.wait_until(|state| state.chunks >= count);
    }

    /// Lets requests to `/gate` be answered.
    pub fn open_gate(&self) {
        self.change(|state| state.gate_is_open = true);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.0.lock().expect("unpoisoned"));
        self.shared.1.notify_all();
    }

    fn wait_until(&self, is_so: impl Fn(&State) -> bool) {
        let state = self.shared.0.lock().expect("unpoisoned");
        let waited = self.shared.1.wait_timeout_while(state, LONG, |state| !is_so(state));
        assert!(!waited.expect("unpoisoned").1.timed_out(), "it never came");
    }

    /// One request; `None` when the connection is over.
    fn serve(&self, socket: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(socket);
        let seen = self.read(&mut reader)?;
        let path = seen.line.split(' ').nth(1).unwrap_or_default().to_owned();
        self.change(|state| state.seen.push(seen));
        let count = self.count();
        let mut socket = socket;
        match path.as_str() {
            "/hang-up" => return socket.shutdown(Shutdown::Both).err().map(drop),
            "/garbage" => {
                socket.write_all(b"this is not HTTP\r\n\r\n").ok()?;
                return socket.shutdown(Shutdown::Both).err().map(drop);
            }
            "/cut" => {
                socket.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\nhal").ok()?;
                return socket.shutdown(Shutdown::Both).err().map(drop);
            }
            "/gate" => self.wait_until(|state| state.gate_is_open),
            _ => {}
        }
        if let Some((_, answer)) = ANSWERS.iter().find(|(of, _)| *of == path) {
            return socket.write_all(answer).ok();
        }
        if let Some(told) = path.strip_prefix("/lookup/") {
            let head = format!("HTTP/1.1 201 Created\r\nOncekey-Executed: {told}\r\n");
            let rest = "X-A: 1\r\nDate: x\r\nContent-Length: 5\r\n\r\nfound";
            return socket.write_all(format!("{head}{rest}").as_bytes()).ok();
        }
        let body = format!("{{\"charge\":{count}}}");
        let status = if path == "/unavailable" { "503 Busy" } else { "201 Created" };
        let extra = "X-Many: 1\r\nX-Many: 2\r\nSet-Cookie: session\r\nIdempotent-Replayed: true\r\n\
                     Connection: x-hop\r\nX-Hop: 1\r\n";
        let head = format!("HTTP/1.1 {status}\r\n{extra}Content-Length: {}\r\n\r\n", body.len());
        socket.write_all(format!("{head}{body}").as_bytes()).ok()
    }

    fn read(&self, reader: &mut impl BufRead) -> Option<Seen> {
        let line = read_line(reader)?;
        let mut headers = Vec::new();
        loop {
            let header = read_line(reader)?;
            let Some((name, value)) = header.split_once(':') else { break };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let mut seen = Seen { line, headers, body: String::new() };
        if seen.all("transfer-encoding") == ["chunked"] {
            loop {
                let size = usize::from_str_radix(&read_line(reader)?, 16).ok()?;
                let chunk = read_exactly(reader, size)?;
                read_line(reader)?;
                if size == 0 {
                    break;
                }
                seen.body.push_str(&chunk);
                self.change(|state| state.chunks += 1);
            }
        } else if let Some(length) = seen.all("content-length").first() {
            seen.body = read_exactly(reader, length.parse().ok()?)?;
        }
        Some(seen)
    }
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let count = reader.read_line(&mut line).ok()?;
    (count > 0).then(|| line.trim_end().to_owned())
}

fn read_exactly(reader: &mut impl BufRead, count: usize) -> Option<String> {
    let mut bytes = vec![0; count];
    reader.read_exact(&mut bytes).ok()?;
    String::from_utf8(bytes).ok()
}
