"""The subjects of the comparison: milters, each a running program that asks the same clamd, and clamd without a milter.

Each starts with the configuration that its package recommends, with logs and counters on, and with private paths.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from miltscan import __version__
from miltscan.config.settings import Settings
from tests.bench import cpu, native
from tests.bench.load import Address
from tests.fakes.eicar import EICAR
from tests.fakes.mta import MTA, Message
from tests.harness import ports, programs
from tests.harness.clamav import Clamd
from tests.harness.milter import Milter
from tests.harness.processes import PATIENCE, Programs, wait_until

# All that miltscan does is on by default: log, metrics, policy, headers. Only tables that every version knows: another
# checkout gets the same text (`checkout`).
_MILTSCAN = """\
[milter]
socket = "unix:{socket}"
workers = {workers}
[spool]
directory = "{folder}"
[clamd]
servers = {servers}
[exporter]
listen = "127.0.0.1:{port}"
directory = "{folder}/metrics"
"""
# Debian's configuration with private paths
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
# Only the antivirus module, in the self-scanning proxy worker (a separate worker would cost more): no DNS, no Redis, no
# other rule, and a short list of domains, because compiling rspamd's own takes seconds at each start. By default rspamd
# passes a message whose scan failed; docs/lab/benchmark.md describes how that would show.
_RSPAMD = """\
options {{
  pidfile = "{folder}/pid"; tempdir = "{folder}"; hs_cache_dir = "{folder}"; cache_file = "{folder}/cache";
  history_file = "{folder}/history"; dynamic_conf = "{folder}/dynamic"; stats_file = "{folder}/stats";
  control_socket = "{folder}/control mode=0600"; url_tld = "{folder}/domains";
  filters = ""; task_timeout = 120s; max_message = 110Mb; dns {{ nameserver = ["127.0.0.1:{port}"]; }}
}}
logging {{ type = "file"; filename = "{folder}/rspamd.log"; level = "notice"; }}
worker "rspamd_proxy" {{
  bind_socket = "{socket} mode=0600"; milter = yes; timeout = 120s; count = {processors};
  upstream "local" {{ default = yes; self_scan = yes; }}
}}
modules {{ path = "/usr/share/rspamd/plugins/antivirus.lua"; }}
antivirus {{ clamav {{
  type = "clamav"; symbol = "CLAM_VIRUS"; servers = "{clamd}"; timeout = 60.0; max_size = 110000000;
  scan_mime_parts = false; action = "reject";
}} }}
actions {{ reject = 10; }}
"""


ACCEPT = "accept"
BASELINE = "baseline"
"""Another checkout of miltscan, measured in the same rounds."""
_WORKERS = Settings().milter.workers  # the default


class UnprovenError(Exception):
    """A filter that would be measured does not scan."""


@dataclass(frozen=True)
class Filter:
    """A running filter."""

    name: str
    version: str
    milter: Milter
    clamd: Clamd | None = None

    @property
    def socket(self) -> Path:
        """The socket on which it listens."""
        return self.milter.socket

    @property
    def address(self) -> Address:
        """The destination of its load."""
        return Address("milter", self.socket)

    @property
    def pids(self) -> list[int]:
        """All of its processes, the main one first; their CPU time is its cost."""
        return cpu.family(self.milter.running.pid)


@dataclass(frozen=True)
class RawClient:
    """No filter: the generator passes each message to clamd as a descriptor. Its CPU time is the cost."""

    clamd: Clamd
    name: str = "raw clamd client"
    version: str = "generator.c, IDSESSION, FILDES"

    @property
    def address(self) -> Address:
        """The destination of its load."""
        return Address("clamd", self.clamd.socket)


Compared = Filter | RawClient
Start = Callable[[Programs, Clamd], Filter]
"""Starts a filter that uses this clamd; it accepts mail on return. MissingProgramError if it is not installed."""


def prove(chosen: Filter) -> None:
    """Send the test signature. UnprovenError if the filter accepts it, because a filter that scans nothing is fast.

    The filter whose purpose is to accept everything is exempt.
    """
    if chosen.name == ACCEPT:
        return
    with MTA.open(f"unix:{chosen.socket}") as mta:
        result = mta.send_message(Message(body=EICAR + b"\r\n"))
    if result.accepted and result.quarantine is None:
        raise UnprovenError(f"{chosen.name} accepted the test signature")


def miltscan(owner: Programs, clamd: Clamd, socket: Path | None = None) -> Filter:
    """Start `miltscan run` with its defaults."""
    return replace(miltscan_as(owner, "miltscan", [f"unix:{clamd.socket}"], socket=socket), clamd=clamd)


def miltscan_as(  # noqa: PLR0913 - what differs from the usual
    owner: Programs,
    name: str,
    servers: Sequence[str],
    workers: int = _WORKERS,
    *,
    socket: Path | None = None,
    program: Sequence[str | Path] = (Path(sys.executable).with_name("miltscan"),),
    version: str = __version__,
    more: str = "",
) -> Filter:
    """Start miltscan under another name, with other servers or workers, `more` tables, or by another program."""
    template = _MILTSCAN + more.replace("{", "{{").replace("}", "}}")
    settings, socket = _prepare(owner, name, template, socket, servers=json.dumps(servers), workers=workers)
    command: list[str | Path] = [*program, "run", "--config", settings]
    return _started(Filter(name, version, Milter(owner, command, socket, name=name)))


def checkout(owner: Programs, clamd: Clamd, folder: Path) -> Filter:
    """Start the miltscan of another checkout with its own interpreter. UnprovenError if that would run other code.

    A .venv that was copied from elsewhere still points to the package that it was made for.
    """
    python = folder / ".venv" / "bin" / "python"
    code = "import miltscan; print(miltscan.__version__, miltscan.__file__)"
    version, _, module = _printed(python, "-P", "-c", code).partition(" ")
    if not Path(module).resolve().is_relative_to(folder.resolve()):
        raise UnprovenError(f"{python} runs {module}, not the code in {folder}: run `make clean environment` there")
    program = (python, python.with_name("miltscan"))
    started = miltscan_as(owner, BASELINE, [f"unix:{clamd.socket}"], program=program, version=version)
    return replace(started, clamd=clamd)


def clamav_milter(owner: Programs, clamd: Clamd, socket: Path | None = None) -> Filter:
    """Start Debian's clamav-milter, which tempfails until it has found clamd."""
    program = programs.find("clamav-milter")
    settings, socket = _prepare(owner, "clamav-milter", _CLAMAV_MILTER, socket, clamd=clamd.socket)
    command: list[str | Path] = [program, "--config-file", settings]
    milter = Milter(owner, command, socket, programs.environment(program), "clamav-milter")
    started = _started(Filter("clamav-milter", _printed(program, "--version").split()[1], milter, clamd))
    wait_until(lambda: _accepts(started), PATIENCE, "a clamav-milter that has found its clamd")
    return started


def _accepts(chosen: Filter) -> bool:
    with MTA.open(f"unix:{chosen.socket}") as mta:
        return mta.send_message(Message()).accepted


def rspamd(owner: Programs, clamd: Clamd) -> Filter:
    """Start Debian's rspamd with only its antivirus module, and one proxy worker for each processor."""
    program = programs.find("rspamd")
    settings, socket = _prepare(owner, "rspamd", _RSPAMD, None, clamd=clamd.socket)
    settings.with_name("domains").write_text("com\nnet\norg\ntest\n")
    command: list[str | Path] = [
        program,
        "--no-fork",
        "--insecure",
        "--config",
        settings,
    ]  # insecure: workers run as root
    milter = Milter(owner, command, socket, programs.environment(program), "rspamd")
    return _started(Filter("rspamd", _printed(program, "--version").split()[-1], milter, clamd))


def accept(owner: Programs, _clamd: Clamd) -> Filter:
    """Start a milter in C that receives the whole message and accepts it unread."""
    socket = owner.folder / "accept.sock"
    milter = Milter(owner, [native.accept(owner.folder), f"unix:{socket}"], socket, name="accept")
    return _started(Filter(ACCEPT, "accept.c", milter))


FILTERS: Mapping[str, Start] = {
    ACCEPT: accept,
    "miltscan": miltscan,
    "clamav-milter": clamav_milter,
    "rspamd": rspamd,
}


def _prepare(owner: Programs, name: str, text: str, socket: Path | None, **more: object) -> tuple[Path, Path]:
    """Write its configuration to a new folder; return the file and the socket, which is in that folder by default."""
    folder = owner.folder / name
    folder.mkdir()
    socket = socket or folder / "socket"
    places = {"folder": folder, "socket": socket, "port": ports.choose().number}
    settings = folder / "settings"
    settings.write_text(text.format(**places, **more, processors=cpu.processors()))
    return settings, socket


def _started(chosen: Filter) -> Filter:
    chosen.milter.start()
    chosen.milter.wait_ready()
    return chosen


def _printed(program: Path, *arguments: str) -> str:
    environment = programs.environment(program) or None
    ended = subprocess.run([program, *arguments], capture_output=True, text=True, check=True, env=environment)
    return ended.stdout.strip()
