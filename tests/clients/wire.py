"""HTTP/1.1 by hand: messages as they are on the wire, and answers as they are compared.

A message that ends early is `Broken`, never a shorter message.
"""

import socket
from dataclasses import dataclass

# What may differ from an answer to its replay: the connection's own headers, the time, the mark.
NOT_COMPARED = {
    "connection",
    "content-length",
    "date",
    "idempotent-replayed",
    "keep-alive",
    "transfer-encoding",
}
TIMEOUT_S = 30


class Broken(Exception):
    """The connection ended within a message, or before one."""


@dataclass(frozen=True)
class Answer:
    """What is compared of an answer, byte by byte."""

    status: int
    headers: tuple
    body: bytes

    @staticmethod
    def of(status, headers, body):
        kept = [(name.lower(), value) for name, value in headers]
        kept = [header for header in kept if header[0] not in NOT_COMPARED]
        return Answer(status, tuple(sorted(kept)), body)

    def is_success(self):
        return 200 <= self.status < 300

    def problem(self):
        """The name of a problem of the layer or the proxy, or None."""
        kind = b'"type":"urn:oncekey:problem:'
        other = b'"type":"https://developer.example.com/idempotency#'
        for mark in (kind, other):
            if mark in self.body:
                return self.body.split(mark)[1].split(b'"')[0].decode()
        return None


class Message:
    """A request or a response: its bytes, and what they say."""

    def __init__(self, head):
        self.head = head
        lines = head.decode("latin-1").split("\r\n")
        self.start = lines[0]
        pairs = [line.split(":", 1) for line in lines[1:] if line]
        self.headers = [(name.lower(), value.strip()) for name, value in pairs]
        self.framed = b""
        self.body = b""

    def get(self, name, default=None):
        values = [value for other, value in self.headers if other == name]
        return values[0] if values else default

    @property
    def raw(self):
        return self.head + self.framed

    @property
    def status(self):
        return int(self.start.split(" ")[1])

    @property
    def is_replay(self):
        return self.get("idempotent-replayed") == "true"

    @property
    def answer(self):
        return Answer.of(self.status, self.headers, self.body)


class Wire:
    """One side of a connection: what was read and not yet taken."""

    def __init__(self, sock):
        sock.settimeout(TIMEOUT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.read = b""

    @staticmethod
    def to(address):
        return Wire(socket.create_connection(address, TIMEOUT_S))

    def _more(self):
        try:
            data = self.sock.recv(65536)
        except OSError as error:
            raise Broken(str(error)) from error
        if not data:
            raise Broken("the end of the connection")
        self.read += data

    def _take(self, count):
        while len(self.read) < count:
            self._more()
        taken, self.read = self.read[:count], self.read[count:]
        return taken

    def _take_through(self, mark):
        while mark not in self.read:
            self._more()
        return self._take(self.read.index(mark) + len(mark))

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Broken(str(error)) from error

    def message(self, is_response=False):
        """The next message, whole."""
        message = Message(self._take_through(b"\r\n\r\n"))
        length = message.get("content-length")
        if "chunked" in message.get("transfer-encoding", ""):
            self._chunks(message)
        elif length is not None:
            message.body = message.framed = self._take(int(length))
        elif is_response and message.status not in (204, 304):
            message.body = message.framed = self._rest()
        return message

    def _chunks(self, message):
        size = None
        while size != 0:
            line = self._take_through(b"\r\n")
            size = int(line.split(b";")[0], 16)
            chunk = self._take(size + 2)
            message.body += chunk[:size]
            message.framed += line + chunk

    def _rest(self):
        try:
            while True:
                self._more()
        except Broken:
            rest, self.read = self.read, b""
            return rest

    def close(self, reset=False):
        """Ends the connection, by a reset if asked."""
        try:
            if reset:
                linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.sock.close()
        except OSError:
            pass


def request(method, path, headers, body=b""):
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def ask(address, method, path, headers, body=b""):
    """One request and its response, by a connection of its own and without any retry."""
    wire = Wire.to(address)
    try:
        wire.send(request(method, path, headers, body))
        return wire.message(is_response=True)
    finally:
        wire.close()
