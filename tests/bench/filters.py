"""The two filters that are compared, each a running program that asks the same clamd."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from miltscan import __version__
from tests.bench import cpu
from tests.harness import ports, programs
from tests.harness.clamav import Clamd
from tests.harness.milter import Milter
from tests.harness.processes import Programs

# all that miltscan does is on by default: log, metrics, policy, headers
_MILTSCAN = """\
[milter]
socket = "unix:{socket}"
[spool]
directory = "{folder}"
[clamd]
servers = ["unix:{clamd}"]
[exporter]
listen = "127.0.0.1:{port}"
directory = "{folder}/metrics"
"""
# what Debian's own configuration says, with private places
_CLAMAV_MILTER = """\
MilterSocket unix:{socket}
FixStaleSocket true
ReadTimeout 120
Foreground true
MaxFileSize 25M
ClamdSocket unix:{clamd}
OnClean Accept
OnInfected Quarantine
OnFail Defer
AddHeader Replace
LogSyslog false
LogInfected Off
LogClean Off
LogTime true
LogFile {folder}/clamav-milter.log
TemporaryDirectory {folder}
"""


@dataclass(frozen=True)
class Filter:
    """A filter that runs."""

    name: str
    version: str
    milter: Milter

    @property
    def socket(self) -> Path:
        """Where it answers."""
        return self.milter.socket

    @property
    def pids(self) -> list[int]:
        """All of its processes, the first one first: its CPU time is theirs."""
        return cpu.family(self.milter.running.pid)


def miltscan(owner: Programs, clamd: Clamd) -> Filter:
    """Start `miltscan run`, every process of it; it takes mail on return."""
    folder, settings = _prepare(owner, "miltscan", _MILTSCAN, clamd, port=ports.choose().number)
    command: list[str | Path] = [Path(sys.executable).with_name("miltscan"), "run", "--config", settings]
    milter = Milter(owner, command, folder / "socket", name="miltscan")
    return _started(Filter(milter.name, __version__, milter))


def clamav_milter(owner: Programs, clamd: Clamd) -> Filter:
    """Start Debian's clamav-milter; it takes mail on return. MissingProgramError where it is not installed."""
    program = programs.find("clamav-milter")
    folder, settings = _prepare(owner, "clamav-milter", _CLAMAV_MILTER, clamd)
    environment = programs.environment(program)
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    milter = Milter(owner, [program, "--config-file", settings], folder / "socket", environment, "clamav-milter")
    return _started(Filter(milter.name, told.stdout.split()[1], milter))


def _prepare(owner: Programs, name: str, text: str, clamd: Clamd, **more: int) -> tuple[Path, Path]:
    folder = owner.folder / name
    folder.mkdir()
    settings = folder / "settings"
    settings.write_text(text.format(folder=folder, socket=folder / "socket", clamd=clamd.socket, **more))
    return folder, settings


def _started(chosen: Filter) -> Filter:
    chosen.milter.start()
    chosen.milter.wait_ready()
    return chosen
