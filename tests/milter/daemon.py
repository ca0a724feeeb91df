"""The real `miltscan run` as a subprocess in a private folder, for tests: started, watched from outside, ended by pid.

What a test can see is what an administrator can: the log, /metrics and the health pages, /proc. The engine behind it
is a fake clamd that lives in the test's process. Nothing of the product is imported or patched.
"""

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from typing import Any

import psutil

from tests.fakes.clamd import FakeClamd
from tests.fakes.mta import MTA, Message, Result
from tests.harness import ports
from tests.harness.activated import activated
from tests.harness.exposition import samples
from tests.harness.jsonlog import JsonLog, LogLine
from tests.harness.milter_settings import inline
from tests.harness.processes import PATIENCE, Program, Programs, children_named, wait_until

CHECKOUT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "miltscan", "run")
_CANARY = re.compile(rb"^Subject: miltscan (large-)?canary", re.MULTILINE)  # a probe also holds the test signature


@dataclass
class Daemon:
    """One service: its folder, its engine, and the settings that differ from `defaults` (dotted keys, TOML values).

    A server of clamd that is called OWN stands for the engine.
    """

    folder: Path
    clamd: FakeClamd
    settings: Mapping[str, object] = field(default_factory=dict)
    command: tuple[str, ...] = COMMAND
    port: int = field(default_factory=lambda: ports.choose().number)
    starts: int = 0
    passed: Mapping[str, socket] = field(default_factory=dict)  # as by a service manager: names and sockets

    def __post_init__(self) -> None:
        self.programs = Programs(self.folder)
        self.program: Program | None = None
        self._log = JsonLog(Path())

    @property
    def address(self) -> str:
        """The milter socket as the MTA names it."""
        return str(self.settings.get("milter.socket", f"unix:{self.folder}/sock"))

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "miltscan.toml"

    def defaults(self) -> dict[str, object]:
        """Settings that keep everything in the folder: one worker, and a spool that small messages pass."""
        for name in ("spool", "mqueue", "mqueuedelivery"):
            (self.folder / name).mkdir(exist_ok=True)
        return {
            "milter.socket": self.address,
            "milter.workers": 1,
            "spool.directory": str(self.folder / "spool"),
            "spool.memory": "64KiB",
            "mime.sample": 0,  # no additional scan of one message in so many, by chance
            "clamd.servers": [self.clamd.address],
            "clamd.canary_interval": "3s",  # below two seconds a server that is slow for one second counts as hung
            "exporter.listen": f"127.0.0.1:{self.port}",
            "exporter.directory": str(self.folder / "metrics"),
            "queues.incoming": str(self.folder / "mqueue"),
            "queues.delivery": str(self.folder / "mqueuedelivery"),
            "queues.interval": "1s",
            "limits.scan_timeout": "30s",
            "limits.message_size": "1MiB",
            "quarantine.directory": str(self.folder / "quarantine"),
            "lists.file": str(self.folder / "lists.jsonl"),
        }

    def write(self, **settings: object) -> None:
        """The configuration file with `settings` instead (two underscores stand for a dot)."""
        self.settings = {name.replace("__", "."): value for name, value in settings.items()}
        self.write_settings()

    def write_settings(self) -> None:
        """The configuration file."""
        settings = {**self.defaults(), **self.settings}
        if "engine" in settings:  # in place of [clamd]
            settings = {key: value for key, value in settings.items() if not key.startswith("clamd.")}
        lines = [f"{key} = {inline(value)}\n" for key, value in settings.items()]
        self.config.write_text("".join(lines).replace('"OWN"', json.dumps(self.clamd.address)))

    def reload(self, **settings: object) -> None:
        """As `write`, and let each worker use it: any message that begins from now on. No key may require a restart."""
        reads, uses, workers = len(self.logged("reload")), len(self.logged("reloaded")), len(self.workers())
        self.write(**settings)
        self.running.signal(signal.SIGHUP)
        assert self.wait_logged("reload", reads + 1)[-1]["needs_restart"] == []
        self.wait_logged("reloaded", uses + workers)

    def start(self, stdout: int | None = None) -> None:
        """Start it (again), with its log on the descriptor `stdout`; returns before it is ready."""
        self.write_settings()
        self.starts += 1
        command: list[str | Path] = [*self.command, "--config", self.config]
        if self.passed:
            command = activated(command, self.passed)
        descriptors = [one.fileno() for one in self.passed.values()]
        self.program = self.programs.start(f"run{self.starts}", command, None, stdout, descriptors)

    def wait_ready(self) -> None:
        """Until every process of it is ready."""
        self.running.wait_ready(lambda: self.logged("ready"), PATIENCE)

    @property
    def running(self) -> Program:
        """The started program."""
        assert self.program, "not started"
        return self.program

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        if self.running.alive:
            self.running.signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; the exit status."""
        try:
            return self.running.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"does not end: {self.running.tail()}") from None

    def end(self) -> None:
        """Kill what still runs."""
        for program in self.programs.running:
            program.kill()

    # The log

    def lines(self) -> list[LogLine]:
        """All that was logged since the start; each whole line has to be JSON."""
        if self._log.file != self.running.log:
            self._log = JsonLog(self.running.log)
        return self._log.lines()

    def all_lines(self) -> list[LogLine]:
        """All that was logged over all starts, by events alone: a service that was killed may leave half a line."""
        texts = [text for log in sorted(self.folder.glob("run*.log")) for text in log.read_text().split("\n")[:-1]]
        return [json.loads(text) for text in texts if text.startswith("{")]

    def logged(self, event: str, **fields: object) -> list[LogLine]:
        """The lines of this event with these fields."""
        return [line for line in self.lines() if line["event"] == event and fields.items() <= line.items()]

    def wait_logged(self, event: str, times: int = 1, **fields: object) -> list[LogLine]:
        """The same, once there are at least `times` of them."""
        what = f"{times} x {event} {fields}"
        return wait_until(
            lambda: found if len(found := self.logged(event, **fields)) >= times else None, PATIENCE, what
        )

    def line_of(self, queue_id: str) -> LogLine:
        """The one line of this message."""
        (line,) = self.wait_logged("message", queue_id=queue_id)
        return line

    # The exporter

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of the exporter."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def samples(self, *names: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Name, labels and value of the samples on /metrics, as `exposition.samples`."""
        return ((one.name, one.labels, one.value) for one in samples(self.get("/metrics")[1], *names))

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name with these labels."""
        return sum(value for found, has, value in self.samples(name) if found == name and labels.items() <= has.items())

    def wait_metric(self, name: str, expected: float, **labels: str) -> None:
        """Until the metric has this value."""
        wait_until(lambda: self.metric(name, **labels) == expected, PATIENCE, f"{name} {labels} = {expected}")

    def engines_up(self) -> bool:
        """Whether every server passes its canary."""
        states = [value for name, _labels, value in self.samples("engine_up") if name == "engine_up"]
        return bool(states) and all(states)

    def idle(self) -> bool:
        """Whether every server passes its canary, and no session and no transaction is open."""
        found = list(self.samples("engine_up", "sessions", "transactions_in_flight"))
        open_ = [value for name, _labels, value in found if name in {"sessions", "transactions_in_flight"}]
        up = [value for name, _labels, value in found if name == "engine_up"]
        return bool(up) and all(up) and not any(open_)

    # The processes

    def workers(self) -> list[psutil.Process]:
        """The worker processes."""
        return children_named(self.running.pid, "worker")

    def keepers(self) -> list[psutil.Process]:
        """The keeper, if there is one."""
        return children_named(self.running.pid, "keeper")

    def children(self) -> list[psutil.Process]:
        """Workers, exporter and keeper."""
        return psutil.Process(self.running.pid).children()

    def worker_fds(self) -> dict[str, str]:
        """The open descriptors of the only worker: number and what it is."""
        (worker,) = self.workers()
        return dict(_descriptors(Path(f"/proc/{worker.pid}/fd")))

    # Mail

    def mta(self, **options: Any) -> MTA:  # noqa: ANN401  handed through: offer, timeout
        """A new MTA connection."""
        return MTA.open(self.address, **options)

    def send(self, message: Message | None = None) -> Result:
        """One message over a separate connection."""
        with self.mta() as mta:
            return mta.send_message(message)


@contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """The process does nothing meanwhile: of two workers the other one accepts all connections."""
    process.suspend()
    try:
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED, PATIENCE, "a stopped process")
        yield
    finally:
        process.resume()


def _descriptors(folder: Path) -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        try:
            yield entry.name, str(entry.readlink())
        except FileNotFoundError:  # closed meanwhile
            continue


def scanned(clamd: FakeClamd) -> list[bytes]:
    """What a fake clamd was given to scan, without the canaries."""
    return [content for content in clamd.contents if not _CANARY.search(content[:4096])]
