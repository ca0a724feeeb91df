"""clamav-milter.conf: every option of clamav-milter 1.4 and what becomes of it. It opens no file.

Options, values and defaults are those of clamav-milter.conf(5) and `clamconf -g clamav-milter.conf`. An option that the
file does not set has its default there, which may differ from ours: so each option has a row, set or not.
"""

import re
from collections.abc import Iterator, Sequence

from miltscan.core.action import ActionName
from miltscan.core.address import parse_address
from miltscan.core.clamav_conf import is_on, read_options
from miltscan.migration.draft import Conversion, Draft, Fate, Row, Rule, always, convert, if_used

_ACTIONS = {
    "accept": ActionName.ACCEPT,
    "reject": ActionName.REJECT,
    "defer": ActionName.TEMPFAIL,
    "blackhole": ActionName.DISCARD,
    "quarantine": ActionName.HOLD,
}
_ALL_CLIENTS = {"inet": "0.0.0.0", "inet6": "::"}  # noqa: S104 - what clamav-milter listens on if no host is named
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_LARGEST = 2 * 10**9  # bytes: the most that limits.message_size takes
_LONGEST = 240  # seconds: the most that limits.scan_timeout takes
_CLAMD_PORT = "3310"
_SKIPS = "every message is scanned, whoever sends it: mail that is let through unscanned has to be told by its outcome"


def draft_clamav_milter(text: str) -> Draft:
    """What becomes of each option, in the order of OPTIONS, and of what is none."""
    given = read_options(text)
    known = [Row(_shown(name, given), convert(rule, _values(name, given))) for name, rule in OPTIONS.items()]
    return Draft((*known, *_surplus(given)))


def _values(name: str, given: dict[str, list[str]]) -> Sequence[str]:
    """All values of an option that may be repeated, else the first one, which is what clamav-milter takes."""
    values = given.get(name, [*DEFAULTS.get(name, ())])
    return values if name in _REPEATED else values[:1]


def _shown(name: str, given: dict[str, list[str]]) -> str:
    values = " ".join(_values(name, given))
    if name in given:
        return f"{name} {values}".rstrip()
    return f"{name} {values} (its default)" if values else f"{name} (not set)"


def _surplus(given: dict[str, list[str]]) -> Iterator[Row]:
    for name, values in given.items():
        if name not in OPTIONS:
            outcome = Conversion(Fate.UNKNOWN, "clamav-milter 1.4 has no such option")
            yield Row(f"{name} {' '.join(values)}".rstrip(), outcome)
        elif name not in _REPEATED:
            again = Conversion(Fate.UNUSED, "given again: clamav-milter takes the first")
            yield from (Row(f"{name} {value}", again) for value in values[1:])


def _socket(values: Sequence[str]) -> Conversion:
    if not values:
        raise ValueError("it is mandatory: milter.socket keeps its default")
    kind, _, rest = values[0].partition(":")
    if kind in _ALL_CLIENTS:
        return _inet_socket(rest, _ALL_CLIENTS[kind])
    if not values[0].startswith(("/", "unix:/", "local:/")):
        raise ValueError("expected [unix:]/path or inet:PORT@HOST")
    why = "milter.socket keeps its default: both can run until sendmail's INPUT_MAIL_FILTER line changes"
    return Conversion(Fate.CHANGED, why)


def _inet_socket(text: str, all_clients: str) -> Conversion:
    port, _, host = text.partition("@")
    listen = str(parse_address(f"inet:{port}@{host or all_clients}"))
    settings = {"milter.socket": listen}
    if host.strip("[]") not in {"", "0.0.0.0", "::"}:  # noqa: S104 - these three cannot be connected to
        why = "the port is free once clamav-milter has ended; on one host a unix socket is much faster"
        return Conversion(Fate.SAME, why, settings, {"SITE_MILTER": listen})
    why = "every host may connect, as before; an incoming sendmail elsewhere has this host's address in SITE_MILTER"
    return Conversion(Fate.CHANGED, why, settings, {"SITE_MILTER": str(parse_address(f"inet:{port}@127.0.0.1"))})


def _group(values: Sequence[str]) -> Conversion:
    if not values:
        return Conversion(Fate.UNUSED)
    if values[0] == "clamav":
        return Conversion(
            Fate.CHANGED, "left out: the socket has the group that miltscan runs in (smmsp), as sendmail does"
        )
    why = "miltscan's user has to be in this group, too"
    return Conversion(Fate.CHANGED, why, {"milter.socket_group": values[0]})


def _mode(values: Sequence[str]) -> Conversion:
    if not values:
        return Conversion(Fate.CHANGED, "milter.socket_mode is 0660 by default, whatever the umask")
    why = "everybody on this host may ask; 0660 will do" if values[0].endswith(("6", "7")) else ""
    return Conversion(Fate.SAME, why, {"milter.socket_mode": values[0].rjust(4, "0")})


def _timeout(values: Sequence[str]) -> Conversion:
    seconds = int(values[0]) if values[0].isdecimal() else -1
    if seconds < 0:
        raise ValueError("expected seconds")
    why = "it was for each wait for clamd, and is now for all of a scan; MaxScanTime of clamd has to be below"
    if not 0 < seconds <= _LONGEST:
        why += "; no longer, because sendmail gives up after five minutes"
        seconds = _LONGEST
    return Conversion(Fate.CHANGED, why, {"limits.scan_timeout": f"{seconds}s"})


def _spool(values: Sequence[str]) -> Conversion:
    if not values or values[0] in {"/tmp", "/var/tmp"}:  # noqa: S108 - named to be avoided
        return Conversion(Fate.CHANGED, "spool.directory keeps its default: a folder that nobody else can read")
    why = "the folder has to be miltscan's own, mode 0700, and in ReadWritePaths= of deploy/systemd/miltscan.service"
    return Conversion(Fate.CHANGED, why, {"spool.directory": values[0]})


def _servers(values: Sequence[str]) -> Conversion:
    if not values:
        raise ValueError("it is mandatory: clamd.servers keeps its default")
    servers = [*dict.fromkeys(_server(value) for value in values)]
    why = "asked by turns; each has to find a test signature every clamd.canary_interval"
    return Conversion(Fate.SAME, why, {"clamd.servers": servers})


def _server(value: str) -> str:
    kind, _, rest = value.partition(":")
    if kind != "tcp":
        return str(parse_address(value))
    host, _, port = rest.rpartition(":") if ":" in rest else (rest, ":", _CLAMD_PORT)
    return str(parse_address(f"inet:{port}@{host}"))


def _size(values: Sequence[str]) -> Conversion:
    size = min(clamav_size(values[0]), _LARGEST)
    why = (
        "clamav-milter calls a larger message clean after a look at its first part; it is still accepted, but counted "
        'as unscanned, and marked if headers.mode is "replace"; consider policy.on_unscanned.too_large = "reject" '
        "and a larger limit"
    )
    return Conversion(Fate.CHANGED, why, {"limits.message_size": size, "policy.on_unscanned.too_large": "accept"})


def clamav_size(text: str) -> int:
    """Bytes of a size with the units k, m or g (powers of 1024); ValueError."""
    found = re.fullmatch(r"([0-9]{1,15})([kmg]?)b?", text.lower(), re.ASCII)
    if found is None:
        raise ValueError("expected a size such as 25M")
    return int(found[1]) * _UNITS[found[2]]


def _action(values: Sequence[str]) -> ActionName:
    if values[0].lower() not in _ACTIONS:
        raise ValueError("expected one of Accept, Reject, Defer, Blackhole, Quarantine")
    return _ACTIONS[values[0].lower()]


def _on_clean(values: Sequence[str]) -> Conversion:
    if _action(values) is ActionName.ACCEPT:
        return Conversion(Fate.BUILT_IN, "a clean message is accepted")
    return Conversion(Fate.NONE, "a clean message is always accepted")


def _on_infected(values: Sequence[str]) -> Conversion:
    action = _action(values)
    why = 'miltscan\'s own default is "reject": its sender is told at once' if action is ActionName.HOLD else ""
    return Conversion(Fate.SAME, why, {"policy.on_infected": action})


def _on_fail(values: Sequence[str]) -> Conversion:
    action = _action(values)
    keys = ("policy.on_error", "policy.on_unscanned.timeout", "policy.on_unscanned.no_engine")
    why = "mail passes unscanned while clamd is down; tempfail loses none" if action is ActionName.ACCEPT else ""
    return Conversion(Fate.SAME, why, dict.fromkeys(keys, str(action)))


def _headers(values: Sequence[str]) -> Conversion:
    value = values[0].lower()
    if value == "add":
        why = "the sender's own X-Virus-* headers are removed: only ours may say what was scanned"
        return Conversion(Fate.CHANGED, why, {"headers.mode": "replace"})
    mode = "replace" if value == "replace" or is_on(value) else "none"
    why = "" if mode == "replace" else 'mail accepted unscanned has no mark; "replace" gives it one'
    return Conversion(Fate.SAME, why, {"headers.mode": mode})


def _verbose(values: Sequence[str]) -> Conversion:
    return Conversion(Fate.SAME, settings={"log.level": "debug" if is_on(values[0]) else "info"})


def _stale(values: Sequence[str]) -> Conversion:
    why = "the socket file that a crash left is removed, one that is served never"
    return Conversion(Fate.BUILT_IN if is_on(values[0]) else Fate.CHANGED, why)


_LOG = (
    "the log is JSON lines on standard output: the journal keeps it, or MILTSCAN_LOG of deploy/sysv/miltscan-sandwich"
)
OPTIONS: dict[str, Rule] = {
    "Example": if_used(Fate.BUILT_IN, "a file needs no such mark: every key has a default"),
    "MilterSocket": _socket,
    "MilterSocketGroup": _group,
    "MilterSocketMode": _mode,
    "FixStaleSocket": _stale,
    "User": if_used(
        Fate.ELSEWHERE, "User= of deploy/systemd/miltscan.service, MILTSCAN_USER of deploy/sysv/miltscan-sandwich"
    ),
    "ReadTimeout": _timeout,
    "Foreground": always(Fate.BUILT_IN, "it stays in the foreground: who starts it also watches it"),
    "Chroot": if_used(Fate.NONE, "deploy/systemd/miltscan.service shuts it in instead (ProtectSystem=, PrivateTmp=)"),
    "PidFile": if_used(Fate.ELSEWHERE, "systemd knows the process; MILTSCAN_PID of deploy/sysv/miltscan-sandwich"),
    "TemporaryDirectory": _spool,
    "ClamdSocket": _servers,
    "LocalNet": if_used(Fate.NONE, _SKIPS),
    "AllowList": if_used(Fate.NONE, _SKIPS),
    "Whitelist": if_used(Fate.NONE, f"(older name of AllowList) {_SKIPS}"),
    "SkipAuthenticated": if_used(Fate.NONE, _SKIPS),
    "MaxFileSize": _size,
    "OnClean": _on_clean,
    "OnInfected": _on_infected,
    "OnFail": _on_fail,
    "RejectMsg": if_used(Fate.NONE, "the reply is always 550 5.7.1 with the name of the virus and the queue ID"),
    "AddHeader": _headers,
    "ReportHostname": if_used(Fate.NONE, "X-Virus-Scanned names the host by its own name"),
    "VirusAction": if_used(
        Fate.NONE,
        "no program runs while a client waits: act on the log line of the message or on miltscan_messages_total",
    ),
    "LogFile": if_used(Fate.ELSEWHERE, _LOG),
    "LogFileUnlock": if_used(Fate.NONE, "no log file is locked"),
    "LogFileMaxSize": if_used(Fate.ELSEWHERE, "of the journal: SystemMaxUse= of journald.conf; of a file: logrotate"),
    "LogTime": always(Fate.BUILT_IN, "each line has its time"),
    "LogSyslog": if_used(
        Fate.ELSEWHERE, "the journal hands lines on to a syslog daemon (ForwardToSyslog= of journald.conf)"
    ),
    "LogFacility": if_used(Fate.NONE, "a line is told by its fields, and in the journal by its unit"),
    "LogVerbose": _verbose,
    "LogRotate": if_used(Fate.ELSEWHERE, "the journal does it; of a file: logrotate"),
    "LogInfected": always(Fate.BUILT_IN, "one line per message, with queue ID, verdict and signature"),
    "LogClean": always(Fate.BUILT_IN, 'one line per message; log.level = "warning" leaves it out'),
    "SupportMultipleRecipients": always(Fate.BUILT_IN, "one line per message names all its recipients, 20 at most"),
    "MaxThreads": if_used(Fate.NONE, "limits.concurrent_scans bounds the scans of all processes"),
}
"""Every option, in the order of the manual page, and those that only clamconf names."""
DEFAULTS: dict[str, tuple[str, ...]] = {
    "FixStaleSocket": ("yes",),
    "ReadTimeout": ("120",),
    "Foreground": ("no",),
    "MaxFileSize": ("100M",),
    "OnClean": ("Accept",),
    "OnInfected": ("Quarantine",),
    "OnFail": ("Defer",),
    "AddHeader": ("no",),
    "LogFileMaxSize": ("1M",),
    "LogVerbose": ("no",),
}
_REPEATED = {"ClamdSocket", "LocalNet"}
