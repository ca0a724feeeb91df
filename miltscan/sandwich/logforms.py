r"""The forms in which a line of a log is kept: who wrote it and when, and the program's own text. It reads no file.

    Nov 27 10:00:01 mx sm-mta[17]: TEXT                     RFC 3164, as most daemons and journalctl -o short write it
    Nov 27 10:00:01 <mail.info> mx sm-mta[17]: TEXT         syslogd -vv of FreeBSD and NetBSD; -v: <2.6>
    Nov 27 10:00:01 mx mail:info sm-mta[17]: TEXT           AIX
    Nov 27 10:00:01 mx sm-mta[17]: [ID 801593 mail.info] TEXT    Solaris
    2026-11-27T10:00:01.123456+00:00 mx sm-mta[17]: TEXT    rsyslog, OpenBSD's syslogd -Z, journalctl -o short-iso
    <22>1 2026-11-27T10:00:01.123456Z mx sm-mta 17 - [x y="z"] TEXT    RFC 5424; NetBSD without <22>1
    {"log":"LINE\n","stream":"stdout","time":"..."}         Docker's json-file
    2026-11-27T10:00:01.123456789Z stdout F LINE            CRI, the logs of Kubernetes
    {"MESSAGE":"TEXT","__REALTIME_TIMESTAMP":"...", ...}    journalctl -o json
    FILE:LINE, FILE:12:LINE, 12-LINE                        grep, with colours as well
    NAME | LINE, [pod/NAME/NAME] LINE                       docker compose logs, kubectl logs --prefix

LINE is a line in one of the other forms. What a client can choose comes after the head, so a head is looked for at the
begin of a line only, and after a prefix that contains neither a blank nor a character of an address.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice

from miltscan.core.text import readable

QUEUE_ID = re.compile(r"[0-9A-Za-z]{3,10}\d{5,10}")
"""sendmail/queue.c, assign_queueid: 8 characters of time and counter, then the process ID with at least 6 digits."""
_NESTED = 4  # a line of a container that grep found has three forms around it
_PREFIX_LIMIT = 4096  # characters: PATH_MAX
_SEPARATORS = 100  # in such a prefix

_CLASSIC = r"(?:\d{4} )?[A-Z][a-z]{2} [ \d]\d (?:\d{4} )?\d\d:\d\d:\d\d(?:\.\d+)?"
_ISO = r"(?:[A-Z][a-z]{2} )?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?Z| ?[+-]\d\d:?\d\d| [A-Z]{3,5}(?= ))?"
_EPOCH = r"\d{9,11}\.\d{1,9}"
_ADDRESS = r"[0-9A-Fa-f]*:[0-9A-Fa-f:.]+(?:%\w+)?"  # a host that syslogd -n names by its IPv6 address
_BSD = re.compile(
    rf"(?:\\ufeff)?(?:<\d{{1,3}}>)?(?P<time>{_CLASSIC}|{_ISO}|{_EPOCH}|\[ *\d+\.\d+\]) "
    rf"(?:<[\w.]+> )?(?:(?P<host>[^\s:\[]+|{_ADDRESS}) )?(?:Message forwarded from [^\s:]+: )?(?:[a-z]\w*[:.|][a-z]+ )?"
    r"(?P<program>[^\s:\[\]]+)(?:\[(?P<pid>\d{1,10})\])?: (?:\[ID \d+ [\w.]+\] )?(?:\\ufeff)?"
)
_RFC5424 = re.compile(
    rf"(?:\\ufeff)?(?:\d{{1,5}} )?(?:<\d{{1,3}}>1 |1 )?(?P<time>{_ISO}|-) (?P<host>\S+) (?P<program>\S+) (?P<pid>\S+) "
    r'\S+ (?:-|(?:\[(?:[^\]"\\]|"(?:[^"\\]|\\.)*+")*+\])++)(?: |$)(?:\\ufeff|BOM)?'
)
_STAMPED = re.compile(rf"(?P<time>{_ISO}) (?:(?:stdout|stderr) [FP](?::\S+)? )?")  # CRI; docker logs -t
# the last two are journalctl -o json-seq and json-sse
_PASSED_ON = re.compile(r"[\w.-]{1,128} {1,64}\| |\[pod/[^\]\s]+\] |(?:\\x1e|data: )(?=\{)")
_PREFIX = re.compile(rf'[^\s<>"={{}}]{{1,{_PREFIX_LIMIT}}}')
_BEGINS = re.compile(rf"{QUEUE_ID.pattern}(?:\[\d{{1,3}}\])?: |NOQUEUE: ")
# of `grep --color=always` anywhere; around the line those of `docker compose logs` and `podman-compose logs`
_COLOUR = re.compile(rb"\x1b\[[\d;]*m\x1b\[K|^\x1b\[[\d;]*[mK]|\x1b\[0m(?=\r?\n?\Z)")


@dataclass(frozen=True, slots=True)
class Head:
    """Who wrote a line and when, as it is written there, and the text of the program; None for what is not there."""

    text: str
    time: str | None = None
    host: str | None = None
    program: str | None = None
    pid: str | None = None


def split_head(line: bytes | str, limit: int) -> Head:
    """The head and the text of any line, both printable; of an unknown form all of it is text."""
    if isinstance(line, bytes):
        line = _COLOUR.sub(b"", line) if b"\x1b[" in line else line
        return _split(readable(line.rstrip(b"\r\n"), limit), _NESTED)
    return _split(readable(line.rstrip("\r\n"), limit), _NESTED)


def _split(line: str, depth: int) -> Head:
    if _BEGINS.match(line):
        return Head(line)
    return _known(line, depth) or (_after_a_name(line, depth) if depth else None) or Head(line)


def _known(line: str, depth: int) -> Head | None:
    """The head of a line that begins with it."""
    head = _of_syslog(line)
    if head or depth == 0:
        return head
    if line.startswith("{"):
        return _object(line, depth)
    if found := _PASSED_ON.match(line):
        return _split(line[found.end() :], depth - 1)
    if found := _STAMPED.match(line):
        return _inner(line[found.end() :], found["time"], depth)
    return None


def _of_syslog(line: str) -> Head | None:
    """The head in one of the forms of syslog."""
    if found := _BSD.match(line):
        if QUEUE_ID.fullmatch(found["program"]) and not found["pid"]:  # docker logs -t: no program, but a queue ID
            return Head(line[found.start("program") :], found["time"], found["host"])
        return Head(line[found.end() :], found["time"], found["host"], found["program"], found["pid"])
    if found := _RFC5424.match(line):
        return Head(line[found.end() :], *(None if name == "-" else name for name in found.groups()))
    return None


def _inner(line: str, time: str | None, depth: int) -> Head:
    """The head of a line within another form, whose `time` counts if the line has none."""
    head = _split(line, depth - 1)
    return head if head.time else replace(head, time=time)


def _after_a_name(line: str, depth: int) -> Head | None:
    """The head after the name of a file, a line number, or both, which grep writes."""
    found = _PREFIX.match(line)
    for separator in islice(re.finditer("[:-]", found[0]), _SEPARATORS) if found else ():
        rest = line[separator.end() :]
        if head := _known(rest, depth - 1):
            return head
        if _BEGINS.match(rest):
            return Head(rest)
    return None


def _object(line: str, depth: int) -> Head | None:
    """The line in an object of Docker or of the journal; None for any other text."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or "event" in fields:  # miltscan's own lines
        return None
    if isinstance(inner := fields.get("log"), str) and {"time", "stream"} & fields.keys():
        return _inner(readable(inner.rstrip("\r\n"), len(line)), str(fields.get("time")), depth)
    if "MESSAGE" in fields and "__REALTIME_TIMESTAMP" in fields:
        return _of_the_journal(fields, len(line))
    return None


def _of_the_journal(fields: Mapping[str, object], limit: int) -> Head:
    """An entry of `journalctl -o json`, in which a value that is not UTF-8 is a list of bytes."""

    def text(name: str) -> str:
        value = fields.get(name)
        if isinstance(value, list):
            value = bytes(one for one in value if isinstance(one, int) and 0 <= one < 256).decode("utf-8", "replace")  # noqa: PLR2004 - a byte
        return readable(str(value or "").replace("\n", " "), limit)

    pid = text("SYSLOG_PID") or text("_PID")
    time = journal_time(text("__REALTIME_TIMESTAMP"))
    return Head(text("MESSAGE"), time, text("_HOSTNAME") or None, text("SYSLOG_IDENTIFIER") or None, pid or None)


def journal_time(microseconds: bytes | str) -> str:
    """The ISO time of a journal's entry; the epoch for any text that is not a number."""
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(microseconds))).isoformat()
    except (ValueError, OverflowError):
        return "1970-01-01T00:00:00+00:00"
