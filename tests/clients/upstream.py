"""A service that charges, with nothing but the standard library, and knows nothing of retries.

usage: upstream.py BOOK

It appends a line to the book for each charge that it is asked for (key, downstream key, attempt),
before it does anything else. It prints its address.
"""

import http.server
import itertools
import json
import os
import sys
import time

DELAY_S = 0.3


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    numbers = itertools.count(1)
    book = os.open(sys.argv[1], os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        order = json.loads(body)
        names = ("Idempotency-Key", "Oncekey-Downstream-Key", "Oncekey-Attempt")
        words = [self.headers.get(name, "-").strip('"') for name in names]
        os.write(self.book, (" ".join(words) + "\n").encode())
        number = next(self.numbers)
        time.sleep(DELAY_S)
        receipt = json.dumps({"id": f"ch_{number}", "amount": order["amount"]}).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Location", f"/v1/charges/ch_{number}")
        self.send_header("Content-Length", str(len(receipt)))
        self.end_headers()
        self.wfile.write(receipt)


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request, client_address):
        # A client that hangs up is what this is about.
        pass


server = Server(("127.0.0.1", 0), Handler)
print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
server.serve_forever()
