"""The real miltscan in a sandwich: its configuration, its log lines, its metrics and its processes.

What miltscan decides is left to the tests.
"""

import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.harness import ports
from tests.harness.clamav import Clamd
from tests.harness.client import Reply
from tests.harness.exposition import samples
from tests.harness.jsonlog import JsonLog, LogLine
from tests.harness.milter import Milter
from tests.harness.milter_settings import inline
from tests.harness.processes import PATIENCE, Programs, children_named, wait_until
from tests.harness.sandwich import Sandwich
from tests.harness.sendmail import queue_folder

Tables = Mapping[str, Mapping[str, Any]]


class Miltscan(Milter):
    """`miltscan run`, which asks `servers`; `tables` of its configuration replace the defaults.

    The table of the empty name holds what stands above all tables: `engine`, a list of tables.
    """

    def __init__(  # noqa: PLR0913 - the last two have defaults
        self,
        owner: Programs,
        socket: Path,
        servers: Sequence[str],
        tables: Tables,
        *,
        incoming_port: int = 0,
        delivery_port: int = 0,
    ) -> None:
        self._ports = {"incoming_port": incoming_port, "delivery_port": delivery_port}
        self.configuration = owner.folder / "miltscan.toml"
        super().__init__(owner, [sys.executable, "-m", "miltscan", "run", "--config", self.configuration], socket)
        self.servers = list(servers)
        self.exporter_port = ports.choose().number
        self._log = JsonLog(owner.folder / f"{self.name}.log")
        self.configure(tables)

    def configure(self, tables: Tables) -> None:
        """Writes the configuration again; `reload_and_wait` or a start lets it take effect."""
        folder = self.programs.folder
        (folder / "spool").mkdir(exist_ok=True)
        ours: Tables = {
            "milter": {"socket": f"unix:{self.socket}", "workers": 2},  # so that one may die
            "spool": {"directory": str(folder / "spool")},
            "mime": {"sample": 0},  # no additional scan of one message in so many, by chance
            "quarantine": {"directory": str(folder / "quarantine")},
            "lists": {"file": str(folder / "lists.jsonl")},
            "delivery": {"server": f"inet:{self._ports['delivery_port'] or 19000}@127.0.0.1"},
            "queues": {name: str(queue_folder(folder, name)) for name in ("incoming", "delivery")}
            | {"interval": "1s", **self._ports},
            "clamd": {"servers": self.servers, "canary_interval": "5s"},
            "exporter": {"listen": f"127.0.0.1:{self.exporter_port}", "directory": str(folder / "metrics")},
        }
        whole = {name: {**ours.get(name, {}), **tables.get(name, {})} for name in {"": {}, **ours, **tables}}
        if "engine" in whole[""]:  # in place of [clamd]
            del whole["clamd"]
        texts = [(f"[{name}]\n" if name else "") + _lines(table) for name, table in whole.items()]
        self.configuration.write_text("".join(texts))

    def reload_and_wait(self) -> None:
        """SIGHUP; returns when each worker uses the configuration, or when it was refused."""
        reloads, reads = self._reloads(), len(self.events("reload"))
        expected = len(self.events("reloaded")) + len(self.workers())
        self.reload()
        wait_until(lambda: self._reloads() > reloads, PATIENCE, "the end of the reload")
        if len(self.events("reload")) > reads:
            wait_until(lambda: len(self.events("reloaded")) >= expected, PATIENCE, "a reload of each worker")

    def _reloads(self) -> int:
        return len(self.events("reload")) + len(self.events("reload_failed"))

    def events(self, name: str, **fields: object) -> list[LogLine]:
        """The log lines of an event so far, over all starts, that have these fields."""
        return [line for line in self._log.lines() if line["event"] == name and fields.items() <= line.items()]

    def wait_for_message(self, **fields: object) -> LogLine:
        """The first log line of a message with these fields; ProgramError if none is written in time."""
        return wait_until(lambda: self.events("message", **fields), PATIENCE, f"a log line with {fields}")[0]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples `miltscan_NAME` that have these labels."""
        found = samples(self.get("/metrics"), name)
        return sum(one.value for one in found if one.name == name and labels.items() <= one.labels.items())

    def wait_for_engines(self, up: int) -> None:
        """Returns when so many servers pass their canary."""
        wait_until(lambda: self.metric("engine_up") == up, PATIENCE, f"{up} engines that are up")

    @property
    def started(self) -> bool:
        """Whether all workers of the last start are ready: /readyz does not wait for those that have just been made."""
        seen = [line["event"] for line in self._log.lines() if line["event"] in {"start", "ready"}]
        return seen[-1:] != ["start"]

    @property
    def ready(self) -> bool:
        """Whether /readyz answers ok; False before the exporter listens."""
        try:
            return self.get("/readyz") == "ok\n"
        except urllib.error.URLError as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            return False

    def get(self, path: str) -> str:
        """What the exporter answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.exporter_port}{path}", timeout=30) as response:
            text: str = response.read().decode()
            return text

    def workers(self) -> list[psutil.Process]:
        """The processes that serve mail."""
        return children_named(self.running.pid, "worker")


class ScanningSandwich(Sandwich):
    """A sandwich with a real clamd and the real miltscan. `servers` replaces the clamd; `site` as in Sandwich."""

    clamd: Clamd

    def __init__(
        self,
        folder: Path,
        tables: Tables | None = None,
        servers: Sequence[str] = (),
        *,
        site: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder, folder / "run" / "miltscan.sock", site=site)
        self._tables = tables or {}
        self._servers = servers

    def _start(self) -> None:
        super()._start()
        if not self._servers:
            self._servers = [f"unix:{self.start_clamd().socket}"]
        assert self.milter_socket is not None
        delivery = 0 if self.site.get("SITE_HANDOFF") == "program" else self.delivery.port
        self.miltscan = Miltscan(
            self.programs,
            self.milter_socket,
            self._servers,
            self._tables,
            incoming_port=self.incoming.port,
            delivery_port=delivery,
        )
        self.start_miltscan()

    def run_with(self, tables: Tables) -> None:
        """Makes miltscan run with this configuration, by a new start where that is necessary."""
        before = self.miltscan.configuration.read_text()
        self.miltscan.configure(tables)
        needs_restart = not self.miltscan.running.alive
        if not needs_restart and self.miltscan.configuration.read_text() != before:
            self.miltscan.reload_and_wait()
            needs_restart = bool(self.miltscan.events("reload")[-1]["needs_restart"])
        if needs_restart:
            self.miltscan.stop()
            self.start_miltscan()
        self._wait_ready()

    def start_miltscan(self) -> None:
        """Starts miltscan; returns when each worker is ready and has an engine that is up."""
        self.miltscan.start()
        self.miltscan.wait_ready()
        self._wait_ready()

    def _wait_ready(self) -> None:
        wait_until(lambda: self.miltscan.started and self.miltscan.ready, PATIENCE, "workers with an engine that is up")

    def retry(self, message: bytes) -> Reply:
        """As `send`, again and again as a client that keeps its message does, until it is accepted."""
        return wait_until(lambda: reply if (reply := self.send(message)).code == 250 else None, PATIENCE, "a 250")

    def repair(self) -> None:
        """Undo what a test has stopped, paused, killed or configured: everything runs as in the beginning."""
        self.clamd.resume()
        if not self.clamd.running.alive:
            self.clamd.start()
        for sendmail in (self.delivery, self.incoming):
            if not sendmail.running.alive:
                sendmail.start(self.queue_interval)
        for part in (self.clamd, self.delivery, self.incoming):
            part.wait_ready()
        self.miltscan.servers = list(self._servers)
        self.run_with(self._tables)


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {inline(value)}\n" for key, value in table.items())
