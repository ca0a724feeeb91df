"""clamav-milter.conf: every option of clamav-milter 1.4 and its counterpart. It opens no file.

Options, values and defaults are those of clamav-milter.conf(5) and `clamconf -g clamav-milter.conf`. An absent option
has clamav-milter's default, which may differ from miltscan's, so that each option has a row, set or not.
"""

from collections.abc import Sequence

from miltscan.core.action import ActionName
from miltscan.core.address import InetAddress, parse_address
from miltscan.core.clamav_conf import is_on, parse_clamav_size, read_options
from miltscan.core.milter_spec import write_milter_spec
from miltscan.migration.draft import Conversion, Draft, DraftRow, Fate, Rule, always, convert, if_used

_ACTIONS = {
    "accept": ActionName.ACCEPT,
    "reject": ActionName.REJECT,
    "defer": ActionName.TEMPFAIL,
    "blackhole": ActionName.DISCARD,
    "quarantine": ActionName.QUARANTINE,
}
_ALL_ADDRESSES = {"inet": "0.0.0.0", "inet6": "::"}  # noqa: S104 - where clamav-milter listens if no host is named
_LOOPBACK_NAMES = {"localhost", "ip6-localhost", "ip6-loopback"}
_LARGEST = 2 * 10**9  # bytes: the maximum of limits.message_size
_LONGEST = 240  # seconds: the maximum of limits.scan_timeout
_CLAMD_PORT = "3310"
_KEPT = (
    "clamav-milter leaves the message in sendmail's own queue, without end; miltscan keeps it in its quarantine, for "
    'quarantine.area.default.max_age, where `miltscan quarantine` lists and releases it; "hold" leaves it in the queue'
)
_SKIPS = "miltscan scans every message of every sender: mail that passes unscanned must be visible by its outcome"


def draft_clamav_milter(text: str) -> Draft:
    """The conversion of each option, in the order of OPTIONS, and a row for each unknown or repeated one."""
    given = read_options(text)
    rows = []
    for name, rule in OPTIONS.items():
        values = given.get(name, [*DEFAULTS.get(name, ())])
        if name not in _REPEATED:
            values = values[:1]  # clamav-milter uses the first one
        shown = f"{name} {' '.join(values)}".rstrip()
        if name not in given:
            shown = f"{shown} (its default)" if values else f"{shown} (not set)"
        rows.append(DraftRow(shown, convert(rule, values)))
    for name, values in given.items():
        if name not in OPTIONS:
            unknown = Conversion(Fate.UNKNOWN, "clamav-milter 1.4 has no such option")
            rows.append(DraftRow(f"{name} {' '.join(values)}".rstrip(), unknown))
        elif name not in _REPEATED:
            again = Conversion(Fate.UNUSED, "set twice: clamav-milter uses the first line")
            rows += [DraftRow(f"{name} {value}", again) for value in values[1:]]
    return Draft(tuple(rows))


def _socket(values: Sequence[str]) -> Conversion:
    if not values:
        raise ValueError("the option is mandatory; milter.socket keeps its default")
    kind, _, rest = values[0].partition(":")
    if kind not in _ALL_ADDRESSES:
        if not values[0].startswith(("/", "unix:/", "local:/")):
            raise ValueError("expected [unix:]/path, inet:PORT@HOST or inet6:PORT@ADDRESS")
        why = "milter.socket keeps its default: both filters can run until sendmail's INPUT_MAIL_FILTER line changes"
        return Conversion(Fate.CHANGED, why)
    port, _, host = rest.partition("@")
    if kind == "inet6" and host.lower().removesuffix(".") in _LOOPBACK_NAMES:
        host = "::1"  # a name is an IPv4 address for miltscan
    address = parse_address(f"inet:{port}@{host or _ALL_ADDRESSES[kind]}")
    assert isinstance(address, InetAddress)  # noqa: S101 - for mypy: `inet:` gives no other
    if (":" in address.host) is not (kind == "inet6"):
        raise ValueError(f"expected {'an IPv6' if kind == 'inet6' else 'an IPv4'} address after {kind}:PORT@")
    settings, spec = {"milter.socket": str(address)}, {"SITE_MILTER": write_milter_spec(address)}
    if address.host not in _ALL_ADDRESSES.values():
        why = "the port is free after clamav-milter has stopped; on one host a unix socket is much faster"
        return Conversion(Fate.SAME, why, settings, spec)
    # no client can connect to 0.0.0.0 or ::, so that sendmail gets the address of this host
    why = "any host may connect, as before; for an incoming sendmail on another host set SITE_MILTER to this host"
    return Conversion(Fate.CHANGED, why, settings, spec)


def _group(values: Sequence[str]) -> Conversion:
    if not values:
        return Conversion(Fate.UNUSED)
    if values[0] == "clamav":
        why = "left out: the socket has the group of miltscan's process (smmsp), which is sendmail's own"
        return Conversion(Fate.CHANGED, why)
    why = "miltscan's user must be a member of this group, too"
    return Conversion(Fate.CHANGED, why, {"milter.socket_group": values[0]})


def _mode(values: Sequence[str]) -> Conversion:
    if not values:
        return Conversion(Fate.CHANGED, "milter.socket_mode is 0660 by default and does not depend on the umask")
    why = "any user of this host may connect; 0660 is enough" if values[0].endswith(("6", "7")) else ""
    return Conversion(Fate.SAME, why, {"milter.socket_mode": values[0].rjust(4, "0")})


def _timeout(values: Sequence[str]) -> Conversion:
    seconds = int(values[0]) if values[0].isdecimal() else -1
    if seconds < 0:
        raise ValueError("expected seconds")
    why = "it limited each wait for clamd, and now limits the whole scan; clamd's MaxScanTime must be shorter"
    if not 0 < seconds <= _LONGEST:
        why += "; this is the maximum, as sendmail gives up after five minutes"
        seconds = _LONGEST
    return Conversion(Fate.CHANGED, why, {"limits.scan_timeout": f"{seconds}s"})


def _spool(values: Sequence[str]) -> Conversion:
    if not values or values[0] in {"/tmp", "/var/tmp"}:  # noqa: S108 - named to be avoided
        return Conversion(Fate.CHANGED, "spool.directory keeps its default, a folder that no other user can read")
    why = "the folder must belong to miltscan's user, with mode 0700; add it to ReadWritePaths= of miltscan.service"
    return Conversion(Fate.CHANGED, why, {"spool.directory": values[0]})


def _servers(values: Sequence[str]) -> Conversion:
    if not values:
        raise ValueError("the option is mandatory; clamd.servers keeps its default")
    servers = []
    for value in values:
        kind, _, rest = value.partition(":")
        if kind == "tcp":  # tcp:HOST[:PORT], where the host may be an IPv6 address
            host, _, port = rest.rpartition(":") if ":" in rest else (rest, ":", _CLAMD_PORT)
            servers.append(str(parse_address(f"inet:{port}@{host}")))
        else:
            servers.append(str(parse_address(value)))
    why = "used in rotation; each must pass a self-test every clamd.canary_interval"
    return Conversion(Fate.SAME, why, {"clamd.servers": [*dict.fromkeys(servers)]})


def _size(values: Sequence[str]) -> Conversion:
    size = min(parse_clamav_size(values[0]), _LARGEST)
    why = (
        "clamav-milter scans only the first part of a larger message and reports it as clean; miltscan still accepts "
        'it, but counts it as unscanned, and marks it if headers.mode is "replace"; consider '
        'policy.on_unscanned.too_large = "reject" and a larger limit'
    )
    return Conversion(
        Fate.CHANGED,
        why,
        {"limits.message_size": size, "policy.on_unscanned.too_large": "accept"},
        {"SITE_MESSAGE_SIZE": "0"},  # sendmail must not reject what miltscan accepts
    )


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
    if action is ActionName.QUARANTINE:
        why = f'{_KEPT}; miltscan\'s own default is "reject", which informs the sender at once'
        return Conversion(Fate.CHANGED, why, {"policy.on_infected": action})
    return Conversion(Fate.SAME, settings={"policy.on_infected": action})


def _on_fail(values: Sequence[str]) -> Conversion:
    action = _action(values)
    keys = ("policy.on_error", "policy.on_unscanned.timeout", "policy.on_unscanned.no_engine")
    settings = dict.fromkeys(keys, str(action))
    if action is ActionName.QUARANTINE:
        return Conversion(Fate.CHANGED, f"{_KEPT}; tempfail lets the sender try again while clamd is down", settings)
    why = "mail passes unscanned while clamd is down; tempfail loses no mail" if action is ActionName.ACCEPT else ""
    return Conversion(Fate.SAME, why, settings)


def _headers(values: Sequence[str]) -> Conversion:
    value = values[0].lower()
    if value == "add":
        why = "miltscan removes the sender's own X-Virus-* headers, so that only its own remain"
        return Conversion(Fate.CHANGED, why, {"headers.mode": "replace"})
    mode = "replace" if value == "replace" or is_on(value) else "none"
    why = "" if mode == "replace" else 'mail that is accepted unscanned has no mark; "replace" adds one'
    return Conversion(Fate.SAME, why, {"headers.mode": mode})


def _verbose(values: Sequence[str]) -> Conversion:
    return Conversion(Fate.SAME, settings={"log.level": "debug" if is_on(values[0]) else "info"})


def _stale(values: Sequence[str]) -> Conversion:
    why = "miltscan removes the socket file of a service that crashed, but not of one that runs"
    return Conversion(Fate.BUILT_IN if is_on(values[0]) else Fate.CHANGED, why)


_LOG = "the log is JSON lines on standard output, for the journal or for MILTSCAN_LOG of deploy/sysv/miltscan-sandwich"
OPTIONS: dict[str, Rule] = {
    "Example": if_used(Fate.BUILT_IN, "a file needs no such line: every key has a default"),
    "MilterSocket": _socket,
    "MilterSocketGroup": _group,
    "MilterSocketMode": _mode,
    "FixStaleSocket": _stale,
    "User": if_used(
        Fate.ELSEWHERE, "User= of deploy/systemd/miltscan.service, MILTSCAN_USER of deploy/sysv/miltscan-sandwich"
    ),
    "ReadTimeout": _timeout,
    "Foreground": always(
        Fate.BUILT_IN, "miltscan stays in the foreground: the program that starts it also supervises it"
    ),
    "Chroot": if_used(Fate.NONE, "deploy/systemd/miltscan.service confines it instead (ProtectSystem=, PrivateTmp=)"),
    "PidFile": if_used(
        Fate.ELSEWHERE, "not needed with systemd; without it MILTSCAN_PID of deploy/sysv/miltscan-sandwich"
    ),
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
    "ReportHostname": if_used(Fate.NONE, "X-Virus-Scanned contains the host's own name"),
    "VirusAction": if_used(
        Fate.NONE,
        "miltscan starts no program while a client waits: use the log line of the message or miltscan_messages_total",
    ),
    "LogFile": if_used(Fate.ELSEWHERE, _LOG),
    "LogFileUnlock": if_used(Fate.NONE, "miltscan locks no log file"),
    "LogFileMaxSize": if_used(Fate.ELSEWHERE, "for the journal SystemMaxUse= of journald.conf; for a file logrotate"),
    "LogTime": always(Fate.BUILT_IN, "each line has a time"),
    "LogSyslog": if_used(
        Fate.ELSEWHERE, "the journal can forward lines to a syslog daemon (ForwardToSyslog= of journald.conf)"
    ),
    "LogFacility": if_used(Fate.NONE, "a line is identified by its fields, and in the journal by its unit"),
    "LogVerbose": _verbose,
    "LogRotate": if_used(Fate.ELSEWHERE, "for a file logrotate; the journal rotates by itself"),
    "LogInfected": always(Fate.BUILT_IN, "one line per message, with queue ID, verdict and signature"),
    "LogClean": always(Fate.BUILT_IN, 'one line per message; log.level = "warning" suppresses it'),
    "SupportMultipleRecipients": always(Fate.BUILT_IN, "one line per message names its recipients, at most 20"),
    "MaxThreads": if_used(Fate.NONE, "limits.concurrent_scans limits the scans of all processes"),
}
"""Every option, in the order of the manual page, then those that only clamconf prints."""
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
