"""What the commands on the allow and deny lists share: opening the file as its owner, and how an entry is shown."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import typer

from miltscan.commands.dropping import become_owner
from miltscan.commands.tables import counted, time_text, wrapped
from miltscan.commands.terminal import complain
from miltscan.config.ownership import service_user
from miltscan.config.settings import Settings
from miltscan.config.units import parse_duration
from miltscan.core.lists import ListEntry, Lists, described
from miltscan.core.text import readable
from miltscan.errors import ConfigError, ListError, MiltscanError
from miltscan.scanning.listfile import ListFile
from miltscan.telemetry.audit import write_audit

_FOLDER_MODE = 0o700
_INDENT = " " * 10
_LIMITS = {"Heuristics.Limits.Exceeded": "limits", "Heuristics.Encrypted": "encrypted"}


def list_file(settings: Settings) -> ListFile:
    """The file of the lists; from here on the command runs as its owner. Raises ConfigError, ListError, StartError."""
    if not settings.lists.file:
        raise ConfigError('lists.file is "": there are no lists; set it to the path of a file')
    path = Path(settings.lists.file)
    if os.geteuid() == 0:
        _make_folder(path.parent, service_user(settings))
    become_owner(settings, path.parent)
    return ListFile(path)


def _make_folder(folder: Path, owner: int) -> None:
    """Make the folder of the service, where its first start has not done that. Raises ListError."""
    try:
        folder.mkdir(mode=_FOLDER_MODE)
    except FileExistsError:
        return
    except OSError as error:
        raise ListError(f"{folder}: {error.strerror}; lists.file must be in a folder of miltscan's user") from None
    with suppress(OSError):
        os.chown(folder, owner, -1)


def lists_now(settings: Settings) -> Lists:
    """The allow and deny lists; none where they cannot be read, after a line that says so."""
    if not settings.lists.file:
        return Lists()
    file = Path(settings.lists.file)
    try:
        become_owner(settings, file.parent)
        return ListFile(file).read()
    except MiltscanError as error:
        complain(f"lists not asked: {error}")
        return Lists()


def expiry(text: str, now: float) -> float | None:
    """The time that `text` names: a duration from now, the end of a local day, or a local time; None if empty."""
    if not text:
        return None
    end: float | None = None
    try:
        end = now + parse_duration(text)
    except ValueError:
        try:
            day = datetime.fromisoformat(text)
            end = (day if "T" in text or " " in text else day + timedelta(days=1)).timestamp()
        except (ValueError, OverflowError, OSError):
            expected = "expected a duration such as 30d, or a time such as 2026-12-31 or 2026-12-31T18:00"
            raise typer.BadParameter(expected, param_hint="--until") from None
    if end <= now:
        raise typer.BadParameter(f"expected a time in the future, got {time_text(end)}", param_hint="--until")
    return end


def refuse_limit_name(signature: str) -> None:
    """Raise ListError for a name that clamd gives to a limit, which is a reason and not a detection."""
    for start, reason in _LIMITS.items():
        if signature.startswith(start):
            raise ListError(
                f"{readable(signature, 100)}: is no detection, but the reason {reason} of an unscanned message; "
                f"use policy.on_unscanned.{reason}"
            )


def add_entry(settings: Settings, entry: ListEntry) -> ListEntry:
    """Add the entry as the owner of the file, with its line in the log; return it. Raises MiltscanError."""
    added = list_file(settings).add(entry)
    audit_change("list_added", added, added.by, added.reason)
    return added


def added_text(entry: ListEntry) -> str:
    """The line about an addition."""
    end = "" if entry.until is None else f", until {time_text(entry.until)}"
    return f"added {entry.id}: {entry.list} {described(entry)}{end}"


def audit_change(event: str, entry: ListEntry, by: str, reason: str) -> None:
    """Write the line of an addition or a removal to syslog."""
    until = "" if entry.until is None else time_text(entry.until, seconds=True)
    fields = {"id": entry.id, "list": entry.list, "what": described(entry), "until": until, "by": by, "reason": reason}
    write_audit(event, "info", fields)


def entry_lines(entry: ListEntry, width: int, hits: int | None = None) -> Iterator[str]:
    """An entry in lines of at most `width` columns: what it names, then who added it, when, until when, and why."""
    first, *more = wrapped(described(entry), width - len(_INDENT) - 7)
    yield f"{entry.id}  {entry.list:<5}  {first}"
    for line in more:
        yield f"{_INDENT}{'':7}{line}"
    facts = f"added {time_text(entry.added)} by {entry.by}, {_until(entry)}"
    if hits is not None:
        facts += f", applied to {counted(hits, 'message')}"
    for text in (facts, entry.reason):
        for line in wrapped(text, width - len(_INDENT)):
            yield f"{_INDENT}{line}"


def _until(entry: ListEntry) -> str:
    return "without end" if entry.until is None else f"until {time_text(entry.until)}"


def list_fields(entry: ListEntry, hits: int | None = None) -> Mapping[str, object]:
    """An entry as a JSON object; what it does not name is null."""
    return {
        "id": entry.id,
        "list": entry.list,
        "signature": entry.signature or None,
        "sha256": entry.digest or None,
        "sender": entry.sender or None,
        "recipient": entry.recipient or None,
        "client": str(entry.client) if entry.client else None,
        "authenticated": entry.authenticated,
        "added": entry.added,
        "by": entry.by,
        "until": entry.until,
        "reason": entry.reason,
        "hits": hits,
    }
