"""The whole sandwich: the cost of a scanner between the first connection of a client and the mailbox.

There are four: no filter, miltscan, clamav-milter, and an SMTP relay between the two sendmails (clamsmtp), the design
that a milter replaces. Clients (smtplib) and mailbox are in Python. Their CPU time is not counted, but they use part of
the machine.
"""

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.bench import cpu, filters, handoff
from tests.harness import ports, programs
from tests.harness.clamav import Clamd
from tests.harness.client import new_message_id, text_message
from tests.harness.processes import PATIENCE, Program, wait_until
from tests.harness.sandwich import Sandwich, private_folder

_BODY = b"A line of seventy-two characters, again and again, as text in mail has.\r\n" * 40  # 3 KB
_BYSTANDERS = frozenset({"mailbox", "syslog"})
_LOOK, _REST = 0.2, 0.02  # seconds, and the share of a processor below which a process is idle
_RELAY = """\
Listen: 127.0.0.1:{port}
OutAddress: 127.0.0.1:{delivery}
ClamAddress: {clamd}
TempDirectory: {folder}
"""


@dataclass(frozen=True, slots=True)
class Whole:
    """One round: messages accepted and delivered a second, and the CPU of all processes in milliseconds a message."""

    accepted: float
    delivered: float
    cpu: float


@dataclass(frozen=True, slots=True)
class WholeLoad:
    """A number of messages of 3 KB over concurrent sessions, one message in each session."""

    messages: int
    sessions: int


class _Bench(Sandwich):
    """A sandwich whose clamd knows only the test signature, and its scanner. `start_scanner` runs before any mail."""

    def __init__(self, folder: Path, scanner: "Callable[[_Bench, Clamd], None] | None", *, milter: bool) -> None:
        super().__init__(folder, folder / "run" / "scanner.sock" if milter else None)
        self._scanner = scanner

    def _start(self) -> None:
        super()._start()
        if self._scanner:
            self.clamd = Clamd.prepare(self.programs, test_database=True)
            self.clamd.start()
            self.clamd.wait_ready()
            self._scanner(self, self.clamd)


def _miltscan(sandwich: _Bench, clamd: Clamd) -> None:
    filters.miltscan(sandwich.programs, clamd, sandwich.milter_socket)


def _clamav_milter(sandwich: _Bench, clamd: Clamd) -> None:
    filters.clamav_milter(sandwich.programs, clamd, sandwich.milter_socket)


def _relay(sandwich: _Bench, clamd: Clamd) -> None:
    """Start a relay to the delivery sendmail, and let incoming hand over to it by the port of incoming's mailers."""
    program, port = programs.find("clamsmtpd"), ports.choose().number
    folder = sandwich.folder / "relay"
    folder.mkdir()
    places = {"port": port, "delivery": sandwich.delivery.port, "clamd": clamd.socket, "folder": folder}
    (folder / "settings").write_text(_RELAY.format(**places))
    command: list[str | Path] = [program, "-d", "1", "-f", folder / "settings"]
    relay = sandwich.programs.start("clamsmtp", command, programs.environment(program))
    relay.wait_ready(lambda: ports.is_open(port))
    _hand_over_to(sandwich, port)


def _hand_over_to(sandwich: Sandwich, port: int) -> None:
    file = sandwich.incoming.configuration
    text, changed = re.subn(
        rf"(A=TCP \S+) {sandwich.delivery.port}$", rf"\1 {port}", file.read_text(), flags=re.MULTILINE
    )
    assert changed, f"{file} has no mailer for the delivery sendmail"
    file.write_text(text)
    sandwich.incoming.stop()
    sandwich.incoming.start()
    sandwich.incoming.wait_ready()


SCANNERS: dict[str, tuple[Callable[[_Bench, Clamd], None] | None, bool]] = {
    "no filter": (None, False),
    "miltscan": (_miltscan, True),
    "clamav-milter": (_clamav_milter, True),
    "clamsmtp as relay": (_relay, False),
}
"""By name what starts the scanner, and whether it is a milter."""


def rounds(load: WholeLoad, count: int, names: Sequence[str] = tuple(SCANNERS)) -> dict[str, list[Whole]]:
    """Send the load through a new sandwich of each kind in turn; each round begins with a different kind."""
    handoff.adopt_orphans()
    measured: dict[str, list[Whole]] = {name: [] for name in names}
    for number in range(count):
        turn = number % len(names)
        for name in [*names[turn:], *names[:turn]]:
            measured[name].append(_measured(name, load))
    return measured


def _measured(name: str, load: WholeLoad) -> Whole:
    scanner, milter = SCANNERS[name]
    with private_folder() as folder:
        with _Bench(folder, scanner, milter=milter) as sandwich:
            daemons = [sandwich.incoming.running.pid, sandwich.delivery.running.pid]
            others = [one for one in sandwich.programs.running if one.pid not in daemons and one.alive]
            scanning = [one.pid for one in others if one.name not in _BYSTANDERS]
            _wait_for_rest(scanning)
            before = handoff.ended_children() + cpu.seconds(daemons) + _families(scanning)
            accepted, delivered = _deliver(sandwich, load)
            used = _families(scanning) - before + handoff.ended_children()
            _end(others)
            before = handoff.ended_children()
        handoff.reap()  # sendmail delivers in children of its children; their time is known when all have ended
    used += handoff.ended_children() - before
    return Whole(load.messages / accepted, load.messages / delivered, used * 1000 / load.messages)


def _families(pids: Sequence[int]) -> float:
    return sum(cpu.seconds(cpu.family(pid)) for pid in pids)


def _wait_for_rest(pids: Sequence[int]) -> None:
    """Wait until the processes are idle, because the start of a scanner is not part of a message."""

    def resting() -> bool:
        before = _families(pids)
        time.sleep(_LOOK)
        return _families(pids) - before < _REST * _LOOK

    wait_until(resting, PATIENCE, "scanners at rest")


def _end(programs: Sequence[Program]) -> None:
    for one in reversed(programs):
        one.terminate()


def _deliver(sandwich: Sandwich, load: WholeLoad) -> tuple[float, float]:
    """Return the seconds until every client has its 250, and until all mail is in the mailbox."""
    messages = [text_message(new_message_id(), _BODY) for _ in range(load.messages)]
    began = time.monotonic()
    with ThreadPoolExecutor(load.sessions) as pool:
        replies = {reply.code for reply in pool.map(sandwich.send, messages)}
    assert replies == {250}, replies
    accepted = time.monotonic() - began
    new = sandwich.mailbox.maildir / "new"
    wait_until(lambda: len([*new.iterdir()]) == load.messages, 2 * PATIENCE, "all messages in the mailbox")
    delivered = time.monotonic() - began
    sandwich.wait_until_empty()
    return accepted, delivered
