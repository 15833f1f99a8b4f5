"""One service, and every client that sends to it at the same time, each through a dropper of its
own; then what a retry gets afterwards, without any cuts.

A scene only collects; the judge judges.
"""

import base64
import json
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

from dropper import Dropper, Schedule
from wire import Answer, ask

PATH = "/v1/charges"
KEYS = 40
ROUNDS = 3
SENDER_LIMIT_S = 90
# By which keys of a plan the service is killed, and how.
KILLS = ((8, "kill-running"), (16, "kill-sent"), (24, "kill-running"), (32, "kill-sent"))
# The load generator: keys, requests for each, and how many of them are cut.
HERD_KEYS = 6
HERD = 300
HERD_SHARE = 0.2
HERD_KILLS = (None, "kill-running", None, "kill-sent")


@dataclass
class Told:
    """What a client made of one request, in the end."""

    key: str
    round: int
    # None: it has given up.
    answer: Answer
    # How often the client failed, and how often it took a part of an answer for the whole.
    failed: int
    torn: int
    error: str


@dataclass
class Report:
    """What one client did, and what came by its dropper."""

    client: str
    plan: dict
    told: list
    seen: object
    requests: int
    # Answers by key to requests without cuts, when all was over.
    later: dict = field(default_factory=dict)

    @property
    def failed(self):
        return sum(item.failed for item in self.told)

    @property
    def torn(self):
        return sum(item.torn for item in self.told)


def plan_of(client, number, keys):
    """Key and body of each request; no two have the same amount."""
    plan = {}
    for at in range(keys):
        order = {"amount": 1_000 * (number + 1) + at, "note": f"order {at} by {client}"}
        plan[f"{client}-{at:03}"] = json.dumps(order)
    return plan


class Sender:
    """A client's process."""

    def __init__(self, name, number, command, service, place, options):
        self.name = name
        self.plan = plan_of(name, number, options.keys)
        keys = list(self.plan)
        # One of them by each client in turn, where whatever is in flight is unresolved after it.
        kills = KILLS if service.reruns else KILLS[number : number + 1]
        kills = {keys[at]: how for at, how in kills if at < len(keys)} if options.kills else {}
        self.dropper = Dropper(service, Schedule(options.seed, kills))
        plan, self.out = place / f"{name}.plan", place / f"{name}.out"
        lines = [json.dumps({"key": key, "body": body}) for key, body in self.plan.items()]
        plan.write_text("\n".join(lines) + "\n", "utf-8")
        host, port = self.dropper.address
        arguments = [f"http://{host}:{port}{PATH}", str(plan), str(self.out), str(options.rounds)]
        self.log = open(place / f"{name}.log", "wb")
        self.process = subprocess.Popen(
            [*command, *arguments], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )

    def end(self):
        try:
            code = self.process.wait(SENDER_LIMIT_S)
        except subprocess.TimeoutExpired:
            code = f"nothing after {SENDER_LIMIT_S} s"
        self.log.close()
        if code != 0:
            raise failure_of(self.name, code, self.log)
        lines = self.out.read_text("utf-8").splitlines()
        told = [told_of(json.loads(line)) for line in lines]
        return Report(self.name, self.plan, told, self.dropper.seen, len(told))

    def stop(self):
        stop(self.process)


def stop(process):
    if process is not None and process.poll() is None:
        process.kill()
        process.wait()


def failure_of(name, code, log):
    """A client that did not come to the end of its plan, with what it said last."""
    said = Path(log.name).read_text("utf-8", "replace").splitlines()[-10:]
    return RuntimeError("\n".join([f"{name} ended with {code}:", *said]))


class Herd:
    """oha: for each key a few hundred requests at a time, none of which it repeats. What they are
    answered, the dropper tells."""

    name = "oha"

    def __init__(self, number, program, service, place, options):
        self.plan = plan_of(self.name, number, HERD_KEYS)
        kills = dict(zip(self.plan, HERD_KILLS))
        self.dropper = Dropper(service, Schedule(options.seed, kills, HERD_SHARE))
        self.program, self.log = str(program), open(place / "oha.log", "wb")
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.process, self.codes = None, []
        self.thread.start()

    def run(self):
        host, port = self.dropper.address
        for key, body in self.plan.items():
            command = [self.program, "-n", str(HERD), "-c", "24", "-m", "POST", "-d", body]
            for name, value in headers_of(key).items():
                command += ["-H", f"{name}: {value}"]
            command += ["--no-tui", "--output-format", "json", f"http://{host}:{port}{PATH}"]
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
            )
            self.codes.append(self.process.wait())

    def end(self):
        self.thread.join(SENDER_LIMIT_S)
        self.log.close()
        if self.thread.is_alive():
            self.codes.append(f"nothing after {SENDER_LIMIT_S} s")
        if any(self.codes):
            raise failure_of(self.name, self.codes, self.log)
        return Report(self.name, self.plan, [], self.dropper.seen, HERD * len(self.plan))

    def stop(self):
        stop(self.process)


def told_of(line):
    answer = None
    if "status" in line:
        headers = [tuple(header) for header in line["headers"]]
        answer = Answer.of(line["status"], headers, base64.b64decode(line["body"]))
    return Told(
        line["key"], line["round"], answer, line["failed"], line["torn"], line.get("error")
    )


def headers_of(key):
    return {
        "Authorization": "Bearer sk_anna",
        "Content-Type": "application/json",
        "Idempotency-Key": f'"{key}"',
    }


def charge(service, key, body):
    """One request without cuts."""
    return ask(service.address, "POST", PATH, headers_of(key), body.encode())


def play(service, commands, clients, place, options):
    """All clients at once."""
    senders = [
        Sender(name, number, command, service, place / service.name, options)
        for number, (name, command) in enumerate(commands.items())
    ]
    if options.load:
        senders.append(Herd(len(commands), clients.oha, service, place / service.name, options))
    try:
        return [sender.end() for sender in senders]
    finally:
        for sender in senders:
            sender.stop()


def mismatch(service, reports):
    """The first key of each client that has a response, with another body."""
    told = []
    for report in reports:
        key = next(key for key, answer, _ in report.seen.answers if answer.is_success())
        told.append((report.client, key, charge(service, key, '{"amount": 1}').answer))
    return told


def ask_again(service, reports):
    """Every key once more, without cuts; twice, with a kill between."""
    for _ in range(2):
        for report in reports:
            for key, body in report.plan.items():
                message = charge(service, key, body)
                report.later.setdefault(key, []).append((message.answer, message.is_replay))
        service.kill()


def settle(service, reports):
    """The operator looks into the service's book, and says what became of what is unresolved.

    What is left to tell: which keys were listed, and what a retry got then.
    """
    made = {execution.key for execution in service.executions()}
    listed, later = {}, {}
    for item in service.unresolved():
        key = item["key"]
        listed[key] = key in made
        text = f"found {key}"
        response = {"status": 201, "headers": {"content-type": "text/plain"}, "body": text}
        how = {"response": response} if key in made else {"not_executed": True}
        status = service.resolve(item, **how)
        if status != 200:
            raise RuntimeError(f"the order about {key} was answered by {status}")
    bodies = {key: body for report in reports for key, body in report.plan.items()}
    for key in listed:
        later[key] = [charge(service, key, bodies[key]).answer for _ in range(2)]
    return listed, later
