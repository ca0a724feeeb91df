"""The plan of `miltscan setup --undo`: from the record and the present units to steps. It changes nothing.

Incoming stops before the distribution's sendmail starts, because both use port 25; the mail that incoming has in its
queue is then delivered by that sendmail, whose queue it is. The delivery queue is another one: it is run before the
delivery sendmail stops. What is still in it stays, with the configuration that delivers it.
"""

from collections.abc import Iterator, Mapping

from miltscan.setup.changes import Awaited, Change, RestoreFile, RunProgram, WaitFor, command
from miltscan.setup.facts import (
    CLAMD,
    CLAMD_SOCKET,
    SANDWICH,
    SENDMAIL,
    SOCKET,
    TARGET,
    UNITS,
    UnitFacts,
)
from miltscan.setup.record import Record

DELIVERY_FILES = ("/etc/mail/delivery.cf", "/etc/mail/delivery.start")
"""What the delivery queue requires: kept until that is empty."""
_DELIVERY, _MILTSCAN, _INCOMING, _INCOMING_QUEUE, _DELIVERY_QUEUE, _SUBMIT_QUEUE = SANDWICH
_FIRST = (_INCOMING, _INCOMING_QUEUE, _SUBMIT_QUEUE)
_LATER = (TARGET, _DELIVERY_QUEUE, _DELIVERY, SOCKET, _MILTSCAN)
_HANDOVER_PATIENCE = 30.0  # seconds; mail for hosts that do not answer waits for days


def undo_plan(record: Record, units: Mapping[str, UnitFacts]) -> list[Change]:
    """The steps, in order."""
    return [
        *_stop(record, units, _FIRST, "incoming: no new mail"),
        *_former_sendmail(record, units),
        *_flush(record),
        *_stop(record, units, _LATER, "the rest of the sandwich; open transactions finish first"),
        *_disable(record, units),
        *_files(record),
        *_clamd(record, units),
    ]


def _stop(record: Record, units: Mapping[str, UnitFacts], names: tuple[str, ...], why: str) -> Iterator[RunProgram]:
    ours = tuple(name for name in names if name in record.units and not record.units[name].active)
    if any(units[name].active for name in ours):
        yield command("systemctl", "stop", *ours, why=why)


def _former_sendmail(record: Record, units: Mapping[str, UnitFacts]) -> Iterator[RunProgram]:
    before = record.units.get(SENDMAIL)
    if before and before.enabled != "masked":
        if units[SENDMAIL].enabled == "masked":
            yield command("systemctl", "unmask", SENDMAIL, why="the distribution's sendmail")
        if before.active and not (units[SENDMAIL].active and units[SENDMAIL].enabled != "masked"):
            yield command("systemctl", "start", SENDMAIL, why="as before setup: it accepts mail WITHOUT miltscan")


def _flush(record: Record) -> Iterator[Change]:
    if DELIVERY_FILES[0] in record.files:
        flush = ("timeout", "60", "/usr/sbin/sendmail", "-C", DELIVERY_FILES[0], "-q")
        yield command(*flush, why="delivers what waits in the delivery queue")
        yield WaitFor(Awaited.HANDED_OVER, "what remains is named at the end", _HANDOVER_PATIENCE, needed=False)


def _disable(record: Record, units: Mapping[str, UnitFacts]) -> Iterator[RunProgram]:
    ours = [name for name, before in record.units.items() if before.enabled == "disabled" and name in units]
    if enabled := [name for name in ours if units[name].enabled == "enabled"]:
        yield command("systemctl", "disable", *enabled, why="as before setup")


def _files(record: Record) -> Iterator[Change]:
    paths = [*reversed(record.files)]  # the first file in a new folder has recorded that, and is the last to go
    yield from (RestoreFile(path, "as before setup") for path in paths)
    if any(path.startswith(f"{UNITS}/") for path in paths):
        yield command("systemctl", "daemon-reload", why="systemd reads the former units")


def _clamd(record: Record, units: Mapping[str, UnitFacts]) -> Iterator[RunProgram]:
    names = [name for name in (CLAMD_SOCKET, CLAMD) if name in record.units]
    if running := [name for name in names if record.units[name].active]:
        yield command("systemctl", "restart", *running, why="clamd reads its former settings")
    if stopped := [name for name in names if not record.units[name].active and units[name].active]:
        yield command("systemctl", "stop", *stopped, why="as before setup")
