"""Parses a sendmail .cf file: its options, daemons, filters and mailers. It opens no file and has no rules.

The syntax is that of the Sendmail Installation and Operation Guide, section 5 (version 8.14 to 8.18). The first letter
is the type of a line, a line that begins with a blank continues the line before, and only the first letter of the name
counts in a field `Name=value`. Rulesets, macros and headers are left out.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

_DEFAULTS = {
    "queuedirectory": "/var/spool/mqueue",
    "pidfile": "/var/run/sendmail.pid",
    "supersafe": "true",
    "deliverymode": "background",
    "inputmailfilters": "",
    "dontblamesendmail": "safe",
    "runasuser": "",
}
_SERVICES = {"smtp": 25, "mta": 25, "esmtp": 25, "smtps": 465, "submission": 587}
_FIELD = re.compile(r'(?:[^,"\\]|\\.|"(?:[^"\\]|\\.)*+(?:"|$))++')  # readcf.c, munchstring: "a,b" and a\,b
_ESCAPED = re.compile(r'\\(.)|"')
_BACKLOG = 10  # connections; sendmail's own
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class Daemon:
    """One DaemonPortOptions: where sendmail listens. An empty address means all of them; port 0 is an unknown name."""

    name: str
    address: str
    port: int
    backlog: int
    filters: str | None  # its own names; None means those of InputMailFilters
    inet6: bool = False
    tls: bool = False  # M=s: TLS from the first byte, as on port 465
    optional: bool = False  # M=O: sendmail starts without it
    refuse_la: str = ""  # its own RefuseLA

    @property
    def host(self) -> str:
        """The host at which a client on this host connects; `localhost` tries both families, as :: accepts both."""
        return self.address or ("localhost" if self.inet6 else "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Filter:
    """One X line, a milter: S=, F= (if empty, mail passes while the filter is down) and T= in seconds."""

    name: str
    socket: str
    fault: str
    times: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Mailer:
    """One M line: P=, F= and A=."""

    name: str
    program: str
    flags: str
    arguments: tuple[str, ...]

    @property
    def speaks_smtp(self) -> bool:
        """Whether sendmail itself opens a TCP connection for it."""
        return self.program in {"[IPC]", "[TCP]"}


@dataclass(frozen=True, slots=True)
class CfFile:
    """The content of a .cf file; option names are in lower case, as sendmail ignores their case."""

    options: Mapping[str, str]
    daemons: tuple[Daemon, ...]
    filters: Mapping[str, Filter]
    mailers: Mapping[str, Mailer]
    classes: Mapping[str, tuple[str, ...]]
    queues: tuple[str, ...]  # paths, the last part perhaps a pattern: that of QueueDirectory, and those of queue groups

    def filters_of(self, daemon: Daemon) -> list[Filter]:
        """The filters that this daemon asks, in order; sendmail ignores a name without an X line."""
        names = self.options["inputmailfilters"] if daemon.filters is None else daemon.filters
        return [self.filters[name] for name in re.split(r"[,;\s]+", names) if name in self.filters]

    def macros(self, stage: str) -> set[str]:
        """The macros that sendmail sends to filters at `stage` (connect, helo, envfrom, envrcpt, data, eoh, eom)."""
        return set(re.split(r"[,\s]+", self.options.get(f"milter.macros.{stage}", ""))) - {""}


def parse_cf(text: str) -> CfFile:
    """The configuration in the text of a .cf file; of two lines with the same name the last counts, as in sendmail."""
    lines = re.sub(r"\n[ \t]+", " ", text).splitlines()
    options = dict(_DEFAULTS)
    daemons = []
    for line in (line for line in lines if line.startswith("O ")):
        name, _, value = (part.strip() for part in line[2:].partition("="))
        options[name.lower()] = value
        if name.lower() == "daemonportoptions":
            daemons.append(_daemon(_fields(value)))
    filters = [_filter(line) for line in lines if line.startswith("X")]
    mailers = {}
    for name, fields in (_named(line) for line in lines if line.startswith("M")):
        mailers[name] = Mailer(name, fields.get("P", ""), fields.get("F", ""), tuple(fields.get("A", "").split()))
    classes: dict[str, tuple[str, ...]] = {}
    for name, words in re.findall(r"^C\{(\w+)\}(.*)", text, re.MULTILINE):  # long names only; F lines name files
        classes[name] = (*classes.get(name, ()), *words.split())
    return CfFile(
        options,
        tuple(daemons) or (_daemon({}),),
        {one.name: one for one in filters},
        mailers,
        classes,
        (options["queuedirectory"], *_group_paths(lines)),
    )


def _group_paths(lines: Iterable[str]) -> Iterator[str]:
    """P= of each Q line, a queue group; without it the group uses QueueDirectory."""
    for _, fields in (_named(line) for line in lines if line.startswith("Q")):
        if path := fields.get("P"):
            yield path


def _named(line: str) -> tuple[str, dict[str, str]]:
    name, _, rest = line[1:].partition(",")
    return name.strip(), _fields(rest)


def _fields(text: str) -> dict[str, str]:
    """The fields by their first letter, whose case counts (`c` is children, `q` queueLA)."""
    return {name: value.strip() for name, value in _exact_fields(text).items()}


def _exact_fields(text: str) -> dict[str, str]:
    """The same, but a blank at the end of a value is part of it, as in S=."""
    pairs = (field.lstrip().partition("=") for field in _FIELD.findall(text))
    return {name[0]: _ESCAPED.sub(r"\1", value.lstrip()) for name, _, value in pairs if name}


def _daemon(fields: Mapping[str, str]) -> Daemon:
    port, backlog = fields.get("P", "smtp"), fields.get("L", "")
    address = fields.get("A", "")
    return Daemon(
        fields.get("N", "Daemon0"),
        "" if address in {"0.0.0.0", "::"} else address,  # noqa: S104 - parsed, not bound
        int(port) if port.isdigit() else _SERVICES.get(port.lower(), 0),
        int(backlog) if backlog.isdigit() else _BACKLOG,
        fields.get("I"),
        fields.get("F", "").lower() == "inet6",
        "s" in fields.get("M", ""),
        "O" in fields.get("M", ""),
        fields.get("r", ""),
    )


def _filter(line: str) -> Filter:
    name, _, rest = line[1:].partition(",")
    fields = _exact_fields(rest)
    times = (one.strip().partition(":") for one in fields.get("T", "").split(";"))
    return Filter(
        name.strip(),
        fields.get("S", ""),
        fields.get("F", "").strip(),
        {key: seconds(value) for key, _, value in times if key},
    )


def seconds(text: str) -> float:
    """Seconds of a duration such as `1h30m` or `10` (seconds); 0, which no timeout may be, for any other text."""
    if not re.fullmatch(r"([0-9]+[smhdw]?)+", text.lower()):
        return 0
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)([smhdw]?)", text.lower()))
