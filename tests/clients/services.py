"""The services as processes: started, killed, started again over the same store.

Each has an address (of its present life), a book of executions on disk, and a number of lives. At
each kill a line is added to the book when the process is gone: what stands after it was executed
in a later life.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

from wire import ask

HERE = Path(__file__).parent
KILLED = "- - killed"
EXECUTION_LIMIT_S = 10
ADDRESS = re.compile(r"http://([\d.]+):(\d+)")


class Execution:
    """A line of the book."""

    def __init__(self, line, life):
        self.key, self.downstream_key, attempt = line.split(" ")
        self.attempt = int(attempt) if attempt != "-" else 1
        self.life = life


class Service:
    """A process that prints its addresses when it is ready."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True)
        self.book = self.directory / "book"
        self.book.touch()
        self.log = open(self.directory / "log", "ab")
        self.life = 0
        self.lock = threading.Lock()
        self.start()

    def command(self):
        """The command, its environment, and how many lines it prints when it is ready."""
        raise NotImplementedError

    def start(self):
        command, environment, lines = self.command()
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=self.log,
        )
        said = [self.process.stdout.readline().decode() for _ in range(lines)]
        self.addresses = [address_in(line) for line in said]
        if not all(self.addresses):
            raise RuntimeError(f"{command[0]} did not start: {said}; see {self.log.name}")
        self.life += 1

    @property
    def address(self):
        return self.addresses[0]

    def kill(self, life=None):
        """SIGKILL, and a new life; unless the life that is meant is over."""
        with self.lock:
            if life is not None and self.life != life:
                return False
            self.stop()
            with open(self.book, "a", encoding="ascii") as book:
                book.write(KILLED + "\n")
            self.start()
            return True

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def end(self):
        self.stop()
        self.log.close()

    def executions(self):
        life, found = 1, []
        for line in self.book.read_text("ascii").splitlines():
            if line == KILLED:
                life += 1
            else:
                found.append(Execution(line, life))
        return found

    def wait_for_execution(self, key):
        """Whether a request of this key is executed before long."""
        until = time.monotonic() + EXECUTION_LIMIT_S
        while time.monotonic() < until:
            if f"{key} " in self.book.read_text("ascii"):
                return True
            time.sleep(0.002)
        return False


def address_in(line):
    found = ADDRESS.search(line)
    return (found[1], int(found[2])) if found else None


def environment(**more):
    return {"PATH": os.environ["PATH"], **more}


class Axum(Service):
    """The example: an attempt that died is run again, as a later attempt."""

    name = "axum"
    reruns = True
    problems = frozenset()

    def __init__(self, directory, built):
        self.program = str(built / "examples" / "axum")
        super().__init__(directory)

    def command(self):
        store = str(self.directory / "state")
        return (
            [self.program],
            environment(LISTEN="127.0.0.1:0", STORE=store, BOOK=str(self.book)),
            1,
        )


class Bare(Service):
    """The Python service by itself."""

    name = "bare"
    reruns = False
    problems = frozenset()

    def command(self):
        return [sys.executable, str(HERE / "upstream.py"), str(self.book)], environment(), 1


class Proxy(Service):
    """`oncekey proxy` before the Python service: what may have been sent is not sent again."""

    name = "proxy"
    flags = ()
    reruns = False
    problems = frozenset({"unresolved"})

    def __init__(self, directory, built):
        self.program = str(built / "oncekey")
        self.upstream = Bare(Path(directory) / "upstream")
        super().__init__(Path(directory) / "proxy")
        self.book.unlink()
        self.book = self.upstream.book

    def command(self):
        host, port = self.upstream.address
        command = [self.program, "proxy", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        command += ["--scope-header", "authorization", "--upstream", f"http://{host}:{port}"]
        command += ["--store", str(self.directory / "state"), *self.flags]
        return command, environment(), 2

    def end(self):
        super().end()
        self.upstream.end()

    def unresolved(self):
        """What waits for an operator."""
        answer = ask(self.addresses[1], "GET", "/unresolved", {})
        return json.loads(answer.body)["unresolved"]

    def resolve(self, item, **how):
        order = {name: item[name] for name in ("scope", "key", "token")} | how
        headers = {"Content-Type": "application/json"}
        body = json.dumps(order).encode()
        return ask(self.addresses[1], "POST", "/resolve", headers, body).status


class DeduplicatedProxy(Proxy):
    """The same, told that the service deduplicates: an attempt that died is sent again."""

    name = "proxy-hold"
    flags = ("--upstream-deduplicates",)
    reruns = True
    problems = frozenset()
