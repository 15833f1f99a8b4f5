"""What the code around a client in Python does: it goes through a plan, and repeats by the same key
what the client's own retries do not cover.

An answer is whole when it has the length that it says; one that says to come back is no answer yet.
"""

import base64
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

REPEATS = 40
PAUSE_S = 0.1
HEADERS = {"Authorization": "Bearer sk_anna", "Content-Type": "application/json"}


def is_whole(headers, body):
    lengths = [value for name, value in headers if name.lower() == "content-length"]
    return lengths == [str(len(body))]


def one(send, failure, url, key, body):
    """Until there is an answer; what came before it is counted."""
    told = {"key": key, "failed": 0, "torn": 0}
    for _ in range(REPEATS):
        try:
            status, headers, content = send(url, key, body)
        except failure as error:
            told["failed"] += 1
            told["error"] = repr(error)
        else:
            if not is_whole(headers, content):
                told["torn"] += 1
            elif not any(name.lower() == "retry-after" for name, _ in headers):
                text = base64.b64encode(content).decode()
                return told | {"status": status, "headers": headers, "body": text}
        time.sleep(PAUSE_S)
    return told


def run(send, failure, tasks=8):
    url, plan, out, rounds = sys.argv[1:]
    plan = [json.loads(line) for line in Path(plan).read_text("utf-8").splitlines()]
    with open(out, "w", encoding="utf-8") as lines, ThreadPoolExecutor(tasks) as pool:
        for number in range(int(rounds)):
            asked = [pool.submit(one, send, failure, url, *item.values()) for item in plan]
            for told in (job.result() for job in asked):
                lines.write(json.dumps(told | {"round": number}) + "\n")
