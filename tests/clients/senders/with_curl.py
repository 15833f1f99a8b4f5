"""Sends a plan of requests with `curl --retry --retry-all-errors`. usage: URL PLAN OUT ROUNDS

Each request is a process. The answer goes to a file, which curl empties before it retries; on
standard output the parts of all attempts would stand one after another.
"""

import subprocess
import tempfile
from pathlib import Path

from caller import HEADERS, run


class Failed(Exception):
    """curl has given up."""


def send(url, key, body):
    with tempfile.TemporaryDirectory() as place:
        head, content = Path(place) / "head", Path(place) / "body"
        command = ["curl", "--silent", "--show-error", "--noproxy", "*"]
        command += ["--retry", "20", "--retry-all-errors", "--retry-delay", "1"]
        command += ["--dump-header", str(head), "--output", str(content), "--data-binary", body]
        for name, value in (HEADERS | {"Idempotency-Key": f'"{key}"'}).items():
            command += ["--header", f"{name}: {value}"]
        done = subprocess.run([*command, url], capture_output=True, check=False)
        if done.returncode != 0:
            raise Failed(done.stderr.decode().strip())
        # The heads of all attempts are there; the last one counts.
        last = "HTTP/1.1 " + head.read_text("latin-1").split("HTTP/1.1 ")[-1]
        lines = [line for line in last.split("\n") if line.strip()]
        pairs = [line.split(":", 1) for line in lines[1:]]
        headers = [(name, value.strip()) for name, value in pairs]
        return int(lines[0].split(" ")[1]), headers, content.read_bytes()


# It waits for whole seconds before it retries.
run(send, Failed, tasks=20)
