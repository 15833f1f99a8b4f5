//! The proxy in front of a service that is written with nothing but Python's standard library.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::answer::problem;
use crate::process::Place;
use crate::wire::{charge, get};

const SERVICE: &str = r#"
import http.server, json
charges = []
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass
    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        charges.append(self.headers["Oncekey-Downstream-Key"])
        if order.get("die"):
            raise SystemExit
        self.answer(201, {"charge": len(charges), "amount": order["amount"]})
    def do_GET(self):
        self.answer(200, {"charges": charges})
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

struct Service {
    child: Child,
    address: SocketAddr,
}

impl Service {
    /// `None` where there is no Python.
    fn start() -> Option<Self> {
        let mut command = Command::new("python3");
        command.args(["-c", SERVICE]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().ok()?;
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("read");
        let port: u16 = line.trim().parse().expect("a port");
        Some(Self { child, address: ([127, 0, 0, 1], port).into() })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_service_in_python_charges_once() {
    let Some(service) = Service::start() else {
        eprintln!("skipped: there is no python3");
        return;
    };
    let place = Place::empty();
    let proxy = place.proxy(service.address, &[]);
    let first = charge(proxy.clients, "/v1/charges", "key", "{\"amount\": 5}");
    assert_eq!((first.status, &first.json()["charge"]), (201, &1.into()));
    let retry = charge(proxy.clients, "/v1/charges", "key", "{\"amount\": 5}");
    assert_eq!((retry.is_replay(), &retry.body), (true, &first.body));
    // Its handler fails without an answer.
    let lost = charge(proxy.clients, "/v1/charges", "lost", "{\"amount\": 5, \"die\": true}");
    assert_eq!(lost.problem(), problem(502, "upstream-hung-up"));
    let retry = charge(proxy.clients, "/v1/charges", "lost", "{\"amount\": 5, \"die\": true}");
    assert_eq!(retry.problem(), problem(409, "unresolved"));
    let made = get(proxy.clients, "/v1/charges").json();
    assert_eq!(made["charges"].as_array().map(Vec::len), Some(2));
}
