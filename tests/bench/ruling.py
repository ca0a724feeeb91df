"""Figures of rules: deciding by itself, and the CPU time of a message with a hundred rules to that without any.

The rules are of the kind that sites write: most are about infected mail, some about senders, recipients and headers,
and none of them decides clean mail, so that all that can match are asked. A rule that refuses and reads only the
envelope makes the MTA wait for a reply to each RCPT: that has a figure of its own.
"""

import timeit
from collections.abc import Callable
from time import process_time

from miltscan.config.load import parse_settings
from miltscan.core.facts import Facts, WeekTime
from miltscan.core.lookup import Check, Source
from miltscan.core.message import Client, Envelope, Message
from miltscan.core.ruled import Scanned, facts_of
from miltscan.core.rules import Rules, residual
from miltscan.core.verdict import Verdict
from miltscan.scanning.assemble import rules_for
from tests.bench import measure
from tests.bench.filters import miltscan_as
from tests.bench.load import Load
from tests.bench.targets import Bound, Figure
from tests.fakes.messages import NoContent
from tests.harness.processes import Programs

CLEAN = Bound("decide clean mail with 100 rules", 50, "µs")
INFECTED = Bound("decide infected mail with 100 rules", 50, "µs")
FEW = Bound("decide clean mail with 13 rules", 3, "µs")
LEFT = Bound("what 100 rules leave once the envelope is known", 60, "µs")
COST = Bound("CPU time of a message of 1 KB with 100 rules, to that without", 1.1, "times")
COST_AT_RCPT = Bound("the same with rules that refuse at RCPT, for which the MTA awaits a reply", 1.1, "times")

_LOAD = Load((1_000,), 2000, 8)
_CALLS, _REPEATS, _ROUNDS = 2000, 7, 7
_LATE = ("size", "headers", "outcome", "reason", "engine", "signature", "scores", "spam_actions")
_AT_RCPT = (
    'when = {{ sender = "@news{n}.example", direction = "inbound" }}\nunless = {{ tls = true }}\naction = "reject"'
)
_KINDS = (
    'when = {{ signature = "Sanesecurity.Kind{n}.*", direction = "inbound" }}\naction = "quarantine"',
    'when = {{ class = "Macro", sender = "@partner{n}.example" }}\naction = "accept"',
    'when = {{ outcome = "infected", recipient = "@customer{n}.example" }}\naction = "discard"',
    'when = {{ reason = "encrypted", client = "198.51.{n}.0/24" }}\naction = "reject"',
    _AT_RCPT.replace("reject", "quarantine"),
    'when = {{ outcome = "spam", recipient = ["abuse@a{n}.example", "@b{n}.example"] }}\naction = "accept"',
    'when = {{ outcome = "error", size_from = "{n}MiB" }}\naction = "accept"',
    'when = {{ header = {{ "List-Id" = "*list{n}.example*" }}, direction = "outbound" }}\naction = "reject"',
)


def rules(number: int, *, at_rcpt: bool = False) -> str:
    """A configuration with this many rules; some of those `at_rcpt` refuse there."""
    kinds = [_AT_RCPT if at_rcpt and kind.startswith(_AT_RCPT[:20]) else kind for kind in _KINDS]
    tables = (kinds[one % len(kinds)].format(n=one % 250 + 1) for one in range(number))
    return "".join(f'[[rule]]\nname = "rule {at}"\n{table}\n' for at, table in enumerate(tables))


def measured(programs: Programs, server: str) -> list[Figure]:
    """Return a figure for each bound. `server` is the address of a clamd."""
    clean, infected = Verdict.clean("clamd"), Verdict.infected("clamd", "Win.Test.EICAR_HDB-1")
    known = facts_of(_scanned(clean))
    envelope = _for_one(known)._replace(**dict.fromkeys(_LATE))
    every = _rules(100)
    return [
        Figure(CLEAN, _microseconds(_deciding(100, clean))),
        Figure(INFECTED, _microseconds(_deciding(100, infected))),
        Figure(FEW, _microseconds(_deciding(13, clean))),
        Figure(LEFT, _microseconds(lambda: residual(every.left(envelope), envelope))),
        *_costs(programs, server),
    ]


def _deciding(number: int, verdict: Verdict) -> Callable[[], object]:
    """Only the rules: what the policy makes of the message costs the same without them."""
    chosen, facts = _rules(number), _for_one(facts_of(_scanned(verdict)))
    return lambda: chosen.decide(facts)


def _for_one(facts: Facts) -> Facts:
    return facts._replace(recipient=b"<user@example.test>")


def _rules(number: int) -> Rules:
    settings = parse_settings(rules(number).encode(), "rules")
    return rules_for(settings, _no_source, verifies=False)


def _no_source(_text: str, _check: Check) -> Source:
    raise AssertionError


def _scanned(verdict: Verdict) -> Scanned:
    headers = [(b"Received", b" from a by b"), (b"From", b" a@b"), (b"To", b" c@d"), (b"Subject", b" hello")] * 3
    envelope = Envelope(b"<sender@example.org>", (b"<user@example.test>",))
    client = Client("mail.example.org", "198.51.100.7")
    message = Message(client, envelope, "5AMEkX012345", b"<1@example.org>", headers, 1000, NoContent())
    return Scanned(message, verdict, (verdict,), WeekTime(0, 600))


def _microseconds(call: Callable[[], object]) -> tuple[float, ...]:
    return tuple(
        seconds / _CALLS * 1e6 for seconds in timeit.repeat(call, timer=process_time, number=_CALLS, repeat=_REPEATS)
    )


def _costs(programs: Programs, server: str) -> list[Figure]:
    """The ratios of each round: three services, one after the other."""
    store = f'[quarantine]\ndirectory = "{programs.folder}/quarantine"\n'
    more = {"without rules": "", "with rules": f"{rules(100)}{store}", "at RCPT": f"{rules(100, at_rcpt=True)}{store}"}
    services = [miltscan_as(programs, name, [server], more=text) for name, text in more.items()]
    try:
        series = measure.rounds(programs.folder, services, [_LOAD], _ROUNDS)
    finally:
        for one in services:
            one.milter.stop()
    found = {one.filter: one.values("cpu") for one in series}
    return [
        Figure(bound, tuple(ours / theirs for ours, theirs in zip(found[name], found["without rules"], strict=True)))
        for bound, name in ((COST, "with rules"), (COST_AT_RCPT, "at RCPT"))
    ]
