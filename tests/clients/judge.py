"""What must hold, whatever was cut and killed. Every fault is told; none is excused.

- Every request that had an answer in the end gets that answer again at each later retry, byte for
  byte, also after a kill (`unequal`, `lost`).
- No key is executed twice. Where an attempt that died may be run again, it runs in a later life of
  the service, as a later attempt, under the same downstream key, so that a gateway that
  deduplicates by it charges once (`doubles`).
- Nothing but an answer of the service or a problem that the documents name for this case is told
  (`odd`), and no client had to give up.
"""

from collections import Counter, defaultdict


class Verdict:
    """Faults by kind, in words."""

    def __init__(self):
        self.faults = defaultdict(list)

    def add(self, kind, client, text):
        self.faults[kind].append((client, text))

    def count(self, kind, client=None):
        return sum(client in (None, other) for other, _ in self.faults[kind])

    def __len__(self):
        return sum(len(faults) for faults in self.faults.values())

    def lines(self):
        for kind, faults in self.faults.items():
            for client, text in faults:
                yield f"{kind}: {client}: {text}"


def judge(service, reports, mismatches):
    verdict = Verdict()
    book = defaultdict(list)
    for execution in service.executions():
        book[execution.key].append(execution)
    for report in reports:
        for key in report.plan:
            judge_executions(verdict, report.client, key, book[key], service.reruns)
            judge_answers(verdict, report, key, service.problems)
    known = {key for report in reports for key in report.plan}
    for key in set(book) - known:
        verdict.add("odd", "-", f"{key} was executed, and nobody asked for it")
    for client, key, answer in mismatches:
        if (answer.status, answer.problem()) != (422, "key-reused"):
            verdict.add("odd", client, f"{key} with another body got {answer}")
    return verdict


def judge_executions(verdict, client, key, made, may_run_again):
    """The lines of the book about one key."""
    if len({execution.downstream_key for execution in made}) > 1:
        verdict.add("doubles", client, f"{key} was executed under several downstream keys")
    for earlier, later in zip(made, made[1:]):
        if not may_run_again:
            verdict.add("doubles", client, f"{key} was executed again")
        elif later.life <= earlier.life:
            verdict.add("doubles", client, f"{key} was executed again in the same life")
        elif later.attempt <= earlier.attempt:
            verdict.add("doubles", client, f"{key}: attempt {later.attempt} is not a later one")


def judge_answers(verdict, report, key, problems):
    """What was told of one key, by the service and through the client."""
    client = report.client
    told = [told for told in report.told if told.key == key]
    told.sort(key=lambda told: told.round)
    passed = [(answer, replay) for other, answer, replay in report.seen.answers if other == key]
    passed += report.later.get(key, [])
    heard = [item.answer for item in told if item.answer is not None]
    for item in told:
        if item.answer is None:
            verdict.add("gave up", client, f"{key} in round {item.round}: {item.error}")
    successes = {answer for answer, _ in passed if answer.is_success()}
    successes |= {answer for answer in heard if answer.is_success()}
    if len(successes) > 1:
        shown = sorted(str(answer) for answer in successes)
        verdict.add("unequal", client, f"{key} has several answers: {' / '.join(shown)}")
    elif sum(not replay for answer, replay in passed if answer.is_success()) > 1:
        verdict.add("unequal", client, f"{key} was answered anew, not by a replay")
    judge_losses(verdict, client, key, heard + [answer for answer, _ in report.later.get(key, [])])
    for answer in {answer for answer, _ in passed} | set(heard):
        if not answer.is_success() and answer.problem() not in problems:
            verdict.add("odd", client, f"{key} got {answer}")


def judge_losses(verdict, client, key, answers):
    """After a success nothing else comes."""
    for earlier, later in zip(answers, answers[1:]):
        if earlier.is_success() and later != earlier:
            verdict.add("lost", client, f"{key} had {earlier}, and then got {later}")


def judge_settled(verdict, service, listed, later, reports):
    """What an operator settled: the list is that of the clients, and nothing is sent twice."""
    owner = {key: report.client for report in reports for key in report.plan}
    told = set()
    for report in reports:
        for key, answers in report.later.items():
            if answers[-1][0].problem() == "unresolved":
                told.add(key)
    for key in told ^ set(listed):
        verdict.add("odd", owner.get(key, "-"), f"{key} is unresolved only for one side")
    counts = Counter(execution.key for execution in service.executions())
    for key, was_executed in listed.items():
        first, second = later[key]
        client = owner[key]
        if not first.is_success() or first != second:
            verdict.add("lost", client, f"{key} was settled, and got {first} and {second}")
        if counts[key] != 1:
            verdict.add("doubles", client, f"{key} was executed {counts[key]} times when settled")
        found = first.body == f"found {key}".encode()
        if found != was_executed:
            verdict.add("odd", client, f"{key} was settled, and got {first}")
