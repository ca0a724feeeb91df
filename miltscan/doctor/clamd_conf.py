"""The configuration of a running clamd, and where its limits do not fit ours; asks clamd nothing.

Which file it is: the process at the other end of the unix socket (SO_PEERCRED, unix(7)) tells by its command line; else
it is the default file, if that names the socket. Keys and defaults are those of clamd.conf(5) of ClamAV 1.4.
"""

import re
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from miltscan.config.settings import Settings
from miltscan.config.units import show_duration, show_size
from miltscan.core.address import Address, UnixAddress

DEFAULT_FILE = Path("/etc/clamav/clamd.conf")
_DEFAULTS = {
    "streammaxlength": "100M",
    "maxscansize": "400M",
    "maxfilesize": "100M",
    "maxscantime": "120000",
    "maxthreads": "10",
    "maxqueue": "100",
    "alertexceedsmax": "no",
    "alertencrypted": "no",
}
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_WAITING_PER_THREAD = 4  # more messages than this for one clamd thread spend their scan_timeout in clamd's queue


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A setting of clamd that does not fit ours, why that matters, and the line that it should be.

    `silent` says that mail passes for clean which was not scanned wholly.
    """

    key: str
    why: str
    wanted: str
    silent: bool = False


def file_of(server: Address) -> Path | None:
    """The configuration file of the clamd behind `server`; None where it is not known (another host)."""
    if isinstance(server, UnixAddress) and (named := _file_of_process(_peer(server.path))):
        return named
    return DEFAULT_FILE if _serves(DEFAULT_FILE, server) else None


def _serves(file: Path, server: Address) -> bool:
    """Whether a clamd with this configuration would listen at `server`."""
    try:
        clamd = parse_clamd_conf(file.read_text(errors="replace"))
    except OSError:
        return False
    if isinstance(server, UnixAddress):
        return Path(clamd.get("localsocket", "")).resolve() == Path(server.path).resolve()
    return server.host in _LOOPBACK and clamd.get("tcpsocket") == str(server.port)


def _peer(path: str) -> int:
    """The process that listens at the unix socket; 0 if there is none, or none that we can see."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            connection.connect(path)
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError:
        return 0
    return int(struct.unpack("3i", credentials)[0])


def _file_of_process(pid: int) -> Path | None:
    process = Path(f"/proc/{pid}")
    try:
        arguments = (process / "cmdline").read_bytes().decode(errors="surrogateescape").split("\0")
        named = named_file(arguments)
        return named and (process / "cwd").readlink() / named
    except OSError:
        return None


def named_file(arguments: list[str]) -> Path | None:
    """The configuration file that clamd's command line names.

    None if it names none, or is another program's: of a socket that systemd opened, systemd is the peer.
    """
    if "clamd" not in Path(arguments[0]).name:
        return None
    for here, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if here in {"-c", "--config-file"}:
            return Path(following)
        if here.startswith("--config-file="):
            return Path(here.partition("=")[2])
    return None


def parse_clamd_conf(text: str) -> dict[str, str]:
    """The keys (in lower case) and values of a clamd.conf, with clamd's defaults for absent ones."""
    found = re.findall(r"^[ \t]*([A-Za-z]\w*)[ \t]+(\S.*?)[ \t]*$", text, re.MULTILINE)
    return _DEFAULTS | {key.lower(): value.strip('"') for key, value in found}


def mismatches(clamd: Mapping[str, str], settings: Settings) -> Iterator[Mismatch]:
    """Where `clamd` (as of `parse`) does less than `settings` promise."""
    yield from _sizes(clamd, settings.limits.message_size)
    yield from _time(clamd, settings.limits.scan_timeout)
    yield from _alerts(clamd)
    yield from _queue(clamd, settings.limits.concurrent_scans)


def _sizes(clamd: Mapping[str, str], message_size: int) -> Iterator[Mismatch]:
    for key in ("StreamMaxLength", "MaxScanSize", "MaxFileSize"):
        limit = _number(clamd[key.lower()])
        if 0 < limit < message_size:  # 0 is no limit
            why = f"{show_size(limit)} is below limits.message_size = {show_size(message_size)}"
            yield Mismatch(key, f"{why}: larger messages are not scanned wholly", f"{key} {_mebibytes(message_size)}M")


def _time(clamd: Mapping[str, str], scan_timeout: float) -> Iterator[Mismatch]:
    limit = _number(clamd["maxscantime"]) / 1000
    if not 0 < limit < scan_timeout:
        given = show_duration(limit) if limit else "no limit"
        why = (
            f"{given} is not below limits.scan_timeout = {show_duration(scan_timeout)}: clamd goes on after we gave up"
        )
        yield Mismatch("MaxScanTime", why, f"MaxScanTime {round(scan_timeout * 900)}")


def _alerts(clamd: Mapping[str, str]) -> Iterator[Mismatch]:
    hidden = {
        "AlertExceedsMax": "a message that passes a limit of clamd is called clean though it was not scanned wholly",
        "AlertEncrypted": "encrypted content, which nobody can scan, is called clean",
    }
    for key, why in hidden.items():
        if clamd[key.lower()].lower() not in {"yes", "true", "1"}:
            yield Mismatch(key, f"off: {why}", f"{key} yes", silent=True)


def _queue(clamd: Mapping[str, str], concurrent_scans: int) -> Iterator[Mismatch]:
    threads, queue = _number(clamd["maxthreads"]), _number(clamd["maxqueue"])
    if concurrent_scans > threads * _WAITING_PER_THREAD:
        why = f"{threads} threads for limits.concurrent_scans = {concurrent_scans}: most of them wait inside clamd"
        yield Mismatch("MaxThreads", why, f"MaxThreads {-(-concurrent_scans // _WAITING_PER_THREAD)}")
    if concurrent_scans * 2 > queue:
        why = f"{queue} is below twice limits.concurrent_scans = {concurrent_scans}: clamd may stop to accept"
        yield Mismatch("MaxQueue", why, f"MaxQueue {concurrent_scans * 2}")


def _number(text: str) -> int:
    """A number or size as clamd writes it; 0, its word for no limit, where clamd would refuse to start."""
    found = re.fullmatch(r"([0-9]+)([kmg]?)", text.lower())
    return int(found[1]) * _UNITS[found[2]] if found else 0


def _mebibytes(size: int) -> int:
    return -(-size // 2**20)
