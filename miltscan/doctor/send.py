"""Sends two messages the whole way, a clean one and a test signature, and tells what each hop did with them."""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from miltscan.core.action import ActionName
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.doctor.hops import HopEvents, follow_hops, hop_findings
from miltscan.engines.clamd.canary import canary_mail
from miltscan.engines.clamd.client import test_signature
from miltscan.sandwich.logfiles import MAIL_LOGS, has_journal, journal
from miltscan.sandwich.submit import OutgoingMail, ServerReply, submit

_PATIENCE = 330.0  # seconds for a reply: longer than sendmail waits for a filter (E:)
_TRANSIT = 20.0  # seconds for the way from 250 to the mailbox
_INTERVAL = 0.2  # seconds between two looks at the log


Log = Callable[[], Sequence[str]]
"""The lines that were written since the log was opened."""


def send_findings(
    place: tuple[str, int], recipient: str, on_infected: ActionName, log: Path | None
) -> Iterator[Finding]:
    """Both messages, to `place` (host and port of incoming); `on_infected` is the policy for the second one."""
    lines = open_log(log)
    yield from _clean(place, recipient, lines)
    infected = canary_mail(os.urandom(16).hex().encode(), test_signature())
    yield infected_finding(_submit(place, recipient, infected), on_infected)


def _clean(place: tuple[str, int], recipient: str, lines: Log | None) -> Iterator[Finding]:
    reply = _submit(place, recipient, canary_mail(os.urandom(16).hex().encode(), b"harmless"))
    yield clean_finding(reply)
    if reply.code != 250:  # noqa: PLR2004 - the word for done
        return
    if lines is None:
        yield warning(
            "clean message: handoff", "not seen: there is no mail log that we may read", "name it: --log FILE"
        )
        return
    yield from hop_findings(_await(lines, queue_id(reply)))


def clean_finding(reply: ServerReply) -> Finding:
    """A clean message is accepted."""
    subject, text = "clean message: incoming", f"{reply.code} {reply.text}"
    if reply.code == 250:  # noqa: PLR2004 - the word for done
        return ok(subject, text)
    return error(subject, text, "the findings above, the log of miltscan, and --to an address that this host takes")


def infected_finding(reply: ServerReply, on_infected: ActionName) -> Finding:
    """The test signature gets the kind of reply that the policy has for infected mail."""
    subject, text = "test signature: incoming", f"{reply.code} {reply.text}"
    wanted = {ActionName.REJECT: 5, ActionName.TEMPFAIL: 4}.get(on_infected, 2)
    if reply.code // 100 == wanted and (wanted != 5 or "eicar" in reply.text.lower()):  # noqa: PLR2004 - 5xx, see RFC 5321 4.2.1
        return ok(subject, f"{text}, as policy.on_infected = {on_infected} wants")
    if reply.code // 100 == 2:  # noqa: PLR2004 - 2xx
        return error(subject, f"{text}: it was ACCEPTED", "nobody scans: see the filter and F= above")
    return error(subject, f"{text}: not the reply to infected mail", "see the log of miltscan for this queue ID")


def _submit(place: tuple[str, int], recipient: str, message: bytes) -> ServerReply:
    """One message with an empty sender, so that no bounce comes: the first refusal, or the reply to the message."""
    return submit(place, OutgoingMail("", recipient, message), _PATIENCE).reply


def queue_id(reply: ServerReply) -> str:
    """The queue ID in `2.0.0 QUEUE_ID Message accepted for delivery`; a word that no log has if there is none."""
    found = re.match(r"(?:\d\.\d\.\d )?(\w+) Message accepted", reply.text)
    return found[1] if found else "no-queue-id"


def open_log(named: Path | None) -> Log | None:
    """The log from now on: `named`, else that of syslog, else the journal; None if there is none that we may read."""
    for file in (named,) if named else MAIL_LOGS:
        if os.access(file, os.R_OK):
            start = file.stat().st_size
            return lambda: _written(file, start)
    if named or not has_journal():
        return None
    began = time.time()
    return lambda: [line.decode(errors="replace") for line in journal(began)]


def _written(file: Path, start: int) -> list[str]:
    """The lines behind `start` (bytes): what was there before may be gigabytes, and is not read."""
    with file.open("rb") as stream:
        stream.seek(start)
        return stream.read().decode(errors="replace").splitlines()


def _await(lines: Log, queue: str) -> HopEvents:
    """The message's way when it is over, or as far as it came in time."""
    deadline = time.monotonic() + _TRANSIT
    while not (way := follow_hops(lines(), queue)).over and time.monotonic() < deadline:
        time.sleep(_INTERVAL)
    return way
