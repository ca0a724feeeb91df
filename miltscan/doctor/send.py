"""Sends two messages through both sendmails, a clean one and a test signature, and reports what each hop did."""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from miltscan.core.action import ActionName
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.doctor.hops import follow_hops, hop_findings
from miltscan.engines.clamd.canary import canary_mail
from miltscan.engines.clamd.client import test_signature
from miltscan.sandwich.logfiles import MAIL_LOGS, has_journal, journal
from miltscan.sandwich.submit import OutgoingMail, ServerReply, submit

_REPLY_TIMEOUT = 330.0  # seconds: longer than sendmail waits for a filter (E:)
_DELIVERY_TIMEOUT = 20.0  # seconds from 250 to the mailbox
_INTERVAL = 0.2  # seconds between two readings of the log
_ACCEPTED = 250

Log = Callable[[], Sequence[str]]
"""The lines that were written since the log was opened."""


def send_findings(
    server: tuple[str, int], recipient: str, on_infected: ActionName, log: Path | None
) -> Iterator[Finding]:
    """Send both messages to `server` (host and port of incoming); `on_infected` is the policy for the second one.

    The sender is empty, so that no bounce is made.
    """
    lines = open_log(log)
    clean = canary_mail(os.urandom(16).hex().encode(), b"harmless")
    reply = submit(server, OutgoingMail("", recipient, clean), _REPLY_TIMEOUT).reply
    yield clean_finding(reply)
    if reply.code == _ACCEPTED and lines is None:
        text = "unknown: this user can read no mail log"
        yield warning("clean message: handoff", text, "name the log: --log FILE")
    elif reply.code == _ACCEPTED and lines is not None:
        deadline = time.monotonic() + _DELIVERY_TIMEOUT
        while not (hops := follow_hops(lines(), queue_id(reply))).over and time.monotonic() < deadline:
            time.sleep(_INTERVAL)
        yield from hop_findings(hops)
    infected = canary_mail(os.urandom(16).hex().encode(), test_signature())
    reply = submit(server, OutgoingMail("", recipient, infected), _REPLY_TIMEOUT).reply
    yield infected_finding(reply, on_infected)


def clean_finding(reply: ServerReply) -> Finding:
    """A clean message must be accepted."""
    subject, text = "clean message: incoming", f"{reply.code} {reply.text}"
    if reply.code == _ACCEPTED:
        return ok(subject, text)
    remedy = "check the findings above and the log of miltscan; --to must be an address that this host accepts"
    return error(subject, text, remedy)


def infected_finding(reply: ServerReply, on_infected: ActionName) -> Finding:
    """The test signature must get the reply of the policy for infected mail (reply classes: RFC 5321 section 4.2.1)."""
    subject, text = "test signature: incoming", f"{reply.code} {reply.text}"
    given, expected = reply.code // 100, {ActionName.REJECT: 5, ActionName.TEMPFAIL: 4}.get(on_infected, 2)
    if given == expected and (on_infected is not ActionName.REJECT or "eicar" in reply.text.lower()):
        return ok(subject, f"{text}, as expected with policy.on_infected = {on_infected}")
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
