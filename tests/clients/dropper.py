"""A proxy on the level of TCP that cuts connections, between one client and the service.

It reads whole requests and whole answers, and so knows where in an exchange it cuts. What it does
to the n-th attempt at a key is drawn from the seed, the key and n alone: however requests overlap,
a key meets the same cuts. It kills the service, too. And it is a witness: what the service
answered is written down before any of it can be lost.
"""

import random
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field

from wire import Broken, Wire

# Where a connection is cut. `before`: nothing is sent on. `unread`: the answer has come, and
# nothing of it is passed on.
CUTS = ("before", "in-request", "after-request", "unread", "in-head", "in-body")
# The service is killed when it has the request; when its handler runs.
KILLS = ("kill-sent", "kill-running")
SHARE = 0.55
# No client needs more patience than this.
CUTS_IN_A_ROW = 3


@dataclass
class Seen:
    """What came by."""

    attempts: int = 0
    cuts: Counter = field(default_factory=Counter)
    # The service was not there, or died, without this one's doing.
    down: int = 0
    # (key, answer, whether it is a replay), each whole.
    answers: list = field(default_factory=list)


class Schedule:
    """What is done to each attempt at a key."""

    def __init__(self, seed, kills, share=SHARE):
        self.seed, self.kills, self.share = seed, kills, share
        self.attempts = Counter()
        self.in_a_row = Counter()

    def next(self, key):
        """A cut, a kill or None; and dice for its place."""
        attempt = self.attempts[key]
        self.attempts[key] += 1
        dice = random.Random(f"{self.seed}/{key}/{attempt}")
        if attempt == 0 and self.kills.get(key):
            return self.kills[key], dice
        if dice.random() >= self.share or self.in_a_row[key] >= CUTS_IN_A_ROW:
            self.in_a_row[key] = 0
            return None, dice
        self.in_a_row[key] += 1
        return dice.choice(CUTS), dice


class Dropper:
    """Listens on a port of its own until the process ends."""

    def __init__(self, service, schedule):
        self.service, self.schedule = service, schedule
        self.seen = Seen()
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address = self.listener.getsockname()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            sock, _ = self.listener.accept()
            threading.Thread(target=self._serve, args=(Wire(sock),), daemon=True).start()

    def _serve(self, client):
        pair = Pair(client)
        reset = False
        try:
            while True:
                request = client.message()
                key = request.get("idempotency-key", "").strip('"')
                with self.lock:
                    what, dice = self.schedule.next(key)
                    self.seen.attempts += 1
                if not self._exchange(pair, request, key, what, dice):
                    reset = dice.random() < 0.5
                    return
        except Broken:
            pass
        finally:
            pair.close(reset)

    def _count(self, what):
        with self.lock:
            self.seen.cuts[what] += 1

    def _exchange(self, pair, request, key, what, dice):
        """One attempt; whether the connection goes on."""
        if what == "before":
            self._count(what)
            return False
        life = self.service.life
        try:
            server = pair.server(self.service.address)
            if what == "in-request":
                server.send(request.raw[: dice.randrange(1, len(request.raw))])
                self._count(what)
                return False
            server.send(request.raw)
            if what == "after-request":
                self._count(what)
                return False
            if what in KILLS:
                ready = what == "kill-sent" or self.service.wait_for_execution(key)
                if ready and self.service.kill(life):
                    self._count(what)
                return False
            response = server.message(is_response=True)
        except (Broken, OSError):
            with self.lock:
                self.seen.down += 1
            return False
        with self.lock:
            self.seen.answers.append((key, response.answer, response.is_replay))
        return self._pass_on(pair.client, response, what, dice)

    def _pass_on(self, client, response, what, dice):
        if what is None:
            client.send(response.raw)
            return response.get("connection") != "close"
        self._count(what)
        client.send(response.raw[: cut_at(what, response, dice)])
        return False


def cut_at(what, response, dice):
    """How much of an answer is passed on."""
    head = len(response.head)
    if what == "in-head":
        return dice.randrange(1, head)
    if what == "in-body":
        return head + dice.randrange(len(response.framed))
    return 0


class Pair:
    """A client's connection, and that to the service, which is made when it is needed."""

    def __init__(self, client):
        self.client = client
        self.made = None

    def server(self, address):
        if self.made is None:
            self.made = Wire.to(address)
        return self.made

    def close(self, reset):
        for wire in (self.client, self.made):
            if wire is not None:
                wire.close(reset)
