"""Makes docs/logging.md from the events of the log; `python -m docs.generator.log_page` prints it."""

import sys

from docs.generator.log_events import DECISION_ENTRY, ENGINE_ENTRY, EVENTS, EVERY_LINE
from docs.generator.log_fields import Field
from miltscan.telemetry.log_line import LINE_LIMIT
from miltscan.telemetry.output import BUFFER


def documentation() -> str:
    """Return the content of docs/logging.md."""
    events = [f"| [`{event.name}`](#{event.name}) | {', '.join(event.levels)} | {event.meaning} |" for event in EVENTS]
    tables = [
        line for event in EVENTS for line in (f"### `{event.name}`", "", event.meaning, "", *_table(event.fields), "")
    ]
    fields = _table(EVERY_LINE)
    entry = ["### An entry of `engines`", "", *_table(ENGINE_ENTRY), ""]
    entry += ["### An entry of `decisions`", "", *_table(DECISION_ENTRY), ""]
    return "\n".join([_HEAD, *fields, _EVENTS_HEAD, *events, "", "## Fields", "", *tables, *entry, _TAIL])


def _table(fields: tuple[Field, ...]) -> list[str]:
    lines = ["| field | type | bound | meaning |", "| --- | --- | --- | --- |"]
    for field in fields:
        kind = field.type.value + (" or null" if field.null else "") + (" (may be missing)" if field.optional else "")
        bound = ", ".join(f"`{value}`" for value in field.values) or field.bound
        lines.append(f"| `{field.name}` | {kind} | {bound} | {field.meaning} |")
    return lines


_HEAD = f"""\
# Log lines

Each line that miltscan logs, with its fields. miltscan writes one event per line to stdout; journald, a container
runtime or a file keeps it.

    journalctl -u miltscan -o cat | jq 'select(.outcome == "infected")'
    miltscan trace QUEUE-ID                                              # one message through all logs: trace.md

`[log] format = "json"` is for machines, `"console"` for people; `level` is the lowest level that is written.
[log-tools.md](log-tools.md) is about programs that read the log (rsyslog, Vector, logcheck, Fail2ban) and about traces.

- A line has at most {LINE_LIMIT:,} bytes and is one write, so lines of several workers never mix on a pipe.
- A text that would make the line longer is cut and ends with `…` (bound: the line).
- Characters of a message that are not printable are shown as escapes (`\\x1b`, `\\u202e`).
- The log never fails or delays a message. While the reader is slow, lines wait in each process, up to
  {BUFFER // 2**20} MiB. Lines beyond that, and lines that the system refuses (disk full, reader gone), are lost and
  counted (`miltscan_log_lines_lost_total`). Later `log_lines_lost` stands where they are missing.
- Fields are in the order of the tables.

This page is generated from the code, and tests compare it with the lines of a running service:

    python -m docs.generator.log_page >docs/logging.md

## Every line
"""

_EVENTS_HEAD = """
## Events

| event | level | meaning |
| --- | --- | --- |"""

_TAIL = """\
The sender of a message chooses its Message-ID, client name, sender, recipients, and in part signature and detail.
A program that looks for a field must parse the line, or match it from its beginning, string by string: a sender can
contain the text `"client_address":"192.0.2.1"`, which is logged as `\\"client_address\\":\\"192.0.2.1\\"`.
"""


if __name__ == "__main__":
    sys.stdout.write(documentation())
