"""The configuration of a running clamd, and where its limits are below miltscan's. It sends clamd no command.

The file is the one that clamd's command line names; the kernel names the process at the other end of its unix socket
(SO_PEERCRED, unix(7)). Otherwise it is the default file, if that names the socket. `clamconf` of ClamAV prints the
effective values with the defaults of the installed version; without it the file and the defaults of 1.4 count.
"""

import re
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from miltscan.config.settings import ClamdEngineSettings, EngineTable, LimitSettings, Settings
from miltscan.config.units import show_duration, show_size
from miltscan.core.address import Address, UnixAddress
from miltscan.core.arguments import option_value
from miltscan.core.clamav_conf import ON, parse_clamav_size, read_options

DEFAULT_FILE = Path("/etc/clamav/clamd.conf")
_DEFAULTS = {
    "StreamMaxLength": "100M",
    "MaxScanSize": "400M",
    "MaxFileSize": "100M",
    "MaxScanTime": "120000",
    "MaxThreads": "10",
    "MaxQueue": "100",
    "AlertExceedsMax": "no",
    "AlertEncrypted": "no",
}
"""clamd.conf(5) of ClamAV 1.4."""
_CLAMCONF_TIMEOUT = 5.0  # seconds; it takes 0.03
_WAITING_PER_THREAD = 4  # more messages than this for one clamd thread spend their scan_timeout in clamd's queue


@dataclass(frozen=True, slots=True)
class Mismatch:
    """An option of clamd that allows less than miltscan's settings, why that matters, and the line to write.

    `silent` means that clamd reports mail as clean that it did not scan completely.
    """

    key: str
    why: str
    line: str
    silent: bool = False


def clamd_servers(settings: Settings) -> Iterator[tuple[ClamdEngineSettings, Address]]:
    """Each server of each engine of type clamd."""
    for engine in settings.engines:
        if isinstance(engine, ClamdEngineSettings):
            yield from ((engine, server) for server in engine.servers)


def file_of(server: Address) -> Path | None:
    """The configuration file of the clamd at `server`; None if it is unknown, for instance on another host."""
    if isinstance(server, UnixAddress) and (named := _file_of_listener(server.path)):
        return named
    try:
        options = read_options(DEFAULT_FILE.read_text(errors="replace"))
    except OSError:
        return None
    if isinstance(server, UnixAddress):
        sockets = options.get("LocalSocket", [""])
        serves = Path(sockets[0]).resolve() == Path(server.path).resolve()
    else:
        serves = server.is_loopback and options.get("TCPSocket") == [str(server.port)]
    return DEFAULT_FILE if serves else None


def _file_of_listener(path: str) -> Path | None:
    """The file that the process at the other end of the unix socket names; None if this user cannot see it."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            connection.connect(path)
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        process = Path(f"/proc/{struct.unpack('3i', credentials)[0]}")
        named = named_file((process / "cmdline").read_bytes().decode(errors="surrogateescape").split("\0"))
        return (process / "cwd").readlink() / named if named else None
    except OSError:
        return None


def named_file(arguments: list[str]) -> str:
    """The configuration file that clamd's command line names; empty if it names none.

    Also empty for another program: if systemd opened the socket, systemd is the peer.
    """
    return option_value(arguments, "-c", "--config-file") if "clamd" in Path(arguments[0]).name else ""


def effective_options(file: Path) -> dict[str, str]:
    """The options that clamd uses with this file: the defaults of 1.4, the file's own, and what `clamconf` prints.

    clamconf comes last, as it knows the defaults of the installed version. A line "disabled" does not count: clamconf
    prints it both for MaxScanTime 0 and for an absent one, which is 120 s (clamd's log has the value). Raises OSError
    if the file is not readable.
    """
    own = read_options(file.read_text(errors="replace"))
    return _DEFAULTS | {name: values[0] for name, values in own.items()} | _clamconf(file)


def _clamconf(file: Path) -> dict[str, str]:
    """What `clamconf` prints; empty if it is not installed, takes too long, or rejects the file (and exits with 0)."""
    program = shutil.which("clamconf")
    if program is None:
        return {}
    with suppress(OSError, subprocess.TimeoutExpired), tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "clamd.conf").symlink_to(file.resolve())  # it only reads a file of this name
        printed = subprocess.run(  # noqa: S603 - a fixed command without a shell
            [program, f"--config-dir={folder}"],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_CLAMCONF_TIMEOUT,
        ).stdout.decode(errors="replace")
        return dict(re.findall(r'^(\w+) = "([^"]*)"', printed, re.MULTILINE))
    return {}


def mismatches(clamd: Mapping[str, str], engine: EngineTable, limits: LimitSettings) -> Iterator[Mismatch]:
    """Where the options of clamd (by `effective_options`) allow less than miltscan's settings."""
    largest = min(limits.message_size, engine.skip_above or limits.message_size)
    for key in ("StreamMaxLength", "MaxScanSize", "MaxFileSize"):
        if 0 < (size := _number(clamd[key])) < largest:  # 0 means no limit
            why = f"{show_size(size)} is below limits.message_size = {show_size(limits.message_size)}"
            line = f"{key} {-(-largest // 2**20)}M"
            yield Mismatch(key, f"{why}: clamd does not scan larger messages completely", line)
    patience = min(limits.scan_timeout, engine.timeout or limits.scan_timeout)
    if not 0 < (seconds := _number(clamd["MaxScanTime"]) / 1000) < patience:
        given = show_duration(seconds) if seconds else "no limit"
        why = f"{given} is not below limits.scan_timeout = {show_duration(patience)}: clamd scans beyond the timeout"
        yield Mismatch("MaxScanTime", why, f"MaxScanTime {round(patience * 900)}")
    hidden = {
        "AlertExceedsMax": "clamd reports a message above one of its limits as clean, though it did not scan all of it",
        "AlertEncrypted": "clamd reports encrypted content as clean, though it cannot scan it",
    }
    for key, why in hidden.items():
        if clamd[key].lower() not in ON:
            yield Mismatch(key, f"off: {why}", f"{key} yes", silent=True)
    threads, queue, scans = _number(clamd["MaxThreads"]), _number(clamd["MaxQueue"]), limits.concurrent_scans
    if scans > threads * _WAITING_PER_THREAD:
        why = f"{threads} threads for limits.concurrent_scans = {scans}: most messages wait inside clamd"
        yield Mismatch("MaxThreads", why, f"MaxThreads {-(-scans // _WAITING_PER_THREAD)}")
    if scans * 2 > queue:
        why = f"{queue} is below twice limits.concurrent_scans = {scans}: clamd may stop accepting connections"
        yield Mismatch("MaxQueue", why, f"MaxQueue {scans * 2}")


def _number(text: str) -> int:
    """A number or a size; 0, which means no limit, for a value with which clamd does not start."""
    try:
        return parse_clamav_size(text)
    except ValueError:
        return 0
