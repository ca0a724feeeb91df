"""Whether miltscan itself can read its key file, of which `check` says whether others can. It reads no key."""

from collections.abc import Iterator
from os import stat_result
from pathlib import Path

from miltscan.config.settings import Settings
from miltscan.core.finding import Finding, error, ok
from miltscan.doctor.rights import Identity, identity, owner

_READ = 4


def key_findings(settings: Settings) -> Iterator[Finding]:
    """The user that miltscan runs as is the one that its spool folder belongs to."""
    if not settings.keys.file:
        return
    try:
        file, who = Path(settings.keys.file).stat(), identity(str(Path(settings.spool.directory).stat().st_uid))
    except OSError:  # `check` says so
        return
    if who is not None:
        yield key_finding(settings.keys.file, file, who)


def key_finding(path: str, status: stat_result, who: Identity) -> Finding:
    """Whether this user may read the file."""
    if who.may(status, _READ):
        return ok(f"keys {path}", f"{who.name} may read it")
    text = f"is of {owner(status)}: {who.name}, as which miltscan runs, cannot read it"
    return error(f"keys {path}", text, f"chown {who.name} {path}")
