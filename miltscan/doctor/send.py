"""Sends two messages through both sendmails, a clean one and a test signature, and reports what each hop did."""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from miltscan.core.action import Decision, Reject
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.core.probe import Stage
from miltscan.core.verdict import Verdict
from miltscan.doctor.expected import Expectation
from miltscan.doctor.hops import follow_hops, hop_findings
from miltscan.doctor.topics import NOT_ROOT
from miltscan.engines.clamd.canary import canary_mail
from miltscan.engines.clamd.client import test_signature
from miltscan.sandwich.logfiles import MAIL_LOGS, has_journal, journal
from miltscan.sandwich.submit import OutgoingMail, Submission, submit
from miltscan.sandwich.transfer import ServerReply

_REPLY_TIMEOUT = 330.0  # seconds: longer than sendmail waits for a filter (E:)
_DELIVERY_TIMEOUT = 20.0  # seconds from 250 to the mailbox
_INTERVAL = 0.2  # seconds between two readings of the log
_ACCEPTED = 250
_ON_INFECTED = "policy.on_infected"
_NO_RECIPIENT = range(550, 560)  # also 553 and 554: how a sendmail refuses an address is the site's choice

Log = Callable[[], Sequence[str]]
"""The lines that were written since the log was opened."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where both messages go: host and port of incoming, their recipient, the log, and both .cf files."""

    server: tuple[str, int]
    recipient: str
    log: Path | None
    incoming: Path
    delivery: Path


def send_findings(route: Route, expects: Expectation, causes: Sequence[str] = ()) -> Iterator[Finding]:
    """Send both messages, of which `expects` knows the decisions; `causes` are the faults that may stop them.

    The sender is empty, so that no bounce is made. The second message is not sent if none reaches the filter.
    """
    lines = open_log(route.log)
    clean = canary_mail(os.urandom(16).hex().encode(), b"harmless")
    sent = submit(route.server, OutgoingMail("", route.recipient, clean), _REPLY_TIMEOUT)
    if sent.stage is not Stage.DATA:
        yield refused_finding(route, sent).because(*causes)
        return
    reply = sent.reply
    yield clean_finding(reply, expects.decision(clean, Verdict.clean("clamd"))).because(*causes)
    if reply.code == _ACCEPTED and lines is None:
        text = "unknown: this user can read no mail log"
        yield warning("clean message: handoff", text, "name the log: --log FILE").because(NOT_ROOT)
    elif reply.code == _ACCEPTED and lines is not None:
        deadline = time.monotonic() + _DELIVERY_TIMEOUT
        while not (hops := follow_hops(lines(), queue_id(reply))).over and time.monotonic() < deadline:
            time.sleep(_INTERVAL)
        yield from hop_findings(hops, route.incoming, route.delivery)
    infected = canary_mail(os.urandom(16).hex().encode(), test_signature())
    reply = submit(route.server, OutgoingMail("", route.recipient, infected), _REPLY_TIMEOUT).reply
    found = infected_finding(reply, expects.infected(infected))
    yield found if reply.code == _ACCEPTED else found.because(*causes)  # an accepted virus is never an effect


def refused_finding(route: Route, sent: Submission) -> Finding:
    """No message could be sent: incoming does not answer, or refuses the sender or the recipient."""
    subject, text = "clean message: incoming", str(sent.reply)
    if sent.stage is Stage.ENVELOPE and sent.reply.code in _NO_RECIPIENT:
        text = f"refuses the recipient {route.recipient}, so that no message was sent: {text}"
        alias = f'write "{route.recipient}: root" in the aliases file of incoming and run newaliases'
        remedy = "name an address of this host: --to ADDRESS"
        return error(subject, text, f"{alias}, or {remedy}" if route.recipient == "postmaster" else remedy)
    return error(subject, text, "check the findings above, and the log of incoming")


def clean_finding(reply: ServerReply, decision: Decision | None) -> Finding:
    """A clean message must be accepted, unless a rule or a list refuses it (None: what they do is not known)."""
    subject, text = "clean message: incoming", f"{reply.code} {reply.text}"
    if decision and decision.reply and reply.code // 100 == decision.reply.code // 100:
        return warning(
            subject, f"{text}, as expected by {decision.rule}", "name an address that it lets pass: --to ADDRESS"
        )
    if reply.code == _ACCEPTED:
        return ok(subject, text)
    remedy = "check the findings above and the log of miltscan"
    return error(subject, text, remedy)


def infected_finding(reply: ServerReply, decision: Decision | None) -> Finding:
    """The test signature must get the reply of the decision (classes of replies: RFC 5321 section 4.2.1)."""
    subject, text = "test signature: incoming", f"{reply.code} {reply.text}"
    if decision is None:
        return warning(subject, f"{text}: what the rules say of it is not known", "miltscan policy explain QUEUE-ID")
    given, expected = reply.code // 100, decision.reply.code // 100 if decision.reply else 2
    named = decision.rule != _ON_INFECTED or not isinstance(decision.action, Reject) or "eicar" in reply.text.lower()
    if given == expected and named:
        return ok(subject, f"{text}, as expected by {decision.rule}: {decision.action.name}")
    if given == _ACCEPTED // 100:
        return error(subject, f"{text}: it was ACCEPTED", "mail is not scanned: check the filter and F= above")
    text = f"{text}: not the reply to infected mail"
    return error(subject, text, "look up this queue ID in the log of miltscan")


def queue_id(reply: ServerReply) -> str:
    """The queue ID in `2.0.0 QUEUE_ID Message accepted for delivery`; without one a text that no log contains."""
    found = re.match(r"(?:\d\.\d\.\d )?(\w+) Message accepted", reply.text)
    return found[1] if found else "no-queue-id"


def open_log(named: Path | None) -> Log | None:
    """The log from now on: the `named` file, else syslog's, else the journal; None if this user can read none."""
    for file in (named,) if named else MAIL_LOGS:
        if os.access(file, os.R_OK):
            start = file.stat().st_size
            return lambda: _lines_after(file, start)
    if named or not has_journal():
        return None
    began = time.time()
    return lambda: [line.decode(errors="replace") for line in journal(began)]


def _lines_after(file: Path, start: int) -> list[str]:
    """The lines after `start` (bytes); what is before may be gigabytes and is not read."""
    with file.open("rb") as stream:
        stream.seek(start)
        return stream.read().decode(errors="replace").splitlines()
