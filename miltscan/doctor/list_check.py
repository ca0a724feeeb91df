"""The allow and deny lists for `miltscan check`: whether they can be read, and what an entry may do by mistake."""

import time
from collections.abc import Iterator
from pathlib import Path

from miltscan.core.finding import Finding, error, ok, warning
from miltscan.core.lists import ListName, described
from miltscan.doctor.topics import denied
from miltscan.errors import ListError
from miltscan.scanning.listfile import ListFile

_KEY = "lists.file"
_TEST = "eicar"  # in the name of the test signature, whatever the database (engines/clamd/canary.py)


def list_findings(path: str) -> Iterator[Finding]:
    """Whether the file can be read, has broken lines, or lets the test signature pass; none without a file."""
    if not path:
        return
    try:
        lists = ListFile(Path(path)).read()
    except ListError as problem:
        text, _, remedy = str(problem).partition("; ")
        yield error(_KEY, text, remedy).because(*denied(str(problem)))
        return
    now = time.time()
    entries = [one for one in lists.entries if one.is_in_force(now)]
    if lists.broken:
        text = f"{path}: {len(lists.broken)} lines cannot be read and are skipped, the first is line {lists.broken[0]}"
        yield warning(_KEY, text, "docs/runbook.md#miltscanlistsbroken")
    for one in entries:
        if one.list is ListName.ALLOW and _TEST in one.signature.lower():
            text = f"entry {one.id} allows the test signature: {described(one)}; a test with it proves nothing"
            yield warning(_KEY, text, f"run: miltscan lists remove {one.id} --reason TEXT")
    allowed = sum(one.list is ListName.ALLOW for one in entries)
    yield ok(_KEY, f"{path}: {allowed} entries allow, {len(entries) - allowed} deny")
