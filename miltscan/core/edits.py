"""Header fields, and edits of them in the order in which the milter makes them. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Header = tuple[bytes, bytes]
"""One header field: name, and value with its leading space and its folds (a line feed and white space), unchanged."""


@dataclass(frozen=True, slots=True)
class RemoveHeader:
    """Removes the `index`-th header (from 1) of this name."""

    name: str
    index: int


@dataclass(frozen=True, slots=True)
class InsertHeader:
    """Inserts a header above all others; the value is ASCII, and its folds are a line feed and a tab."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class ChangeHeader:
    """Gives the `index`-th header (from 1) of this name another value; its folds are a line feed and white space."""

    name: str
    index: int
    value: str


HeaderEdit = RemoveHeader | InsertHeader | ChangeHeader

_X = (b"x", b"X")


def removals(headers: Sequence[Header], names: tuple[bytes, ...]) -> tuple[RemoveHeader, ...]:
    """Remove each header whose name begins, in any case, with one of `names`: lower case, and `x` is their first byte.

    The last comes first: removing one moves the index of those behind it.
    """
    # every message passes here: the first byte rules out most names
    found = [name for name, _ in headers if name[:1] in _X and name.lower().startswith(names)]
    if not found:
        return ()
    seen: Counter[bytes] = Counter()
    edits: list[RemoveHeader] = []
    for name in found:
        seen[name.lower()] += 1
        edits.append(RemoveHeader(name.decode("utf-8", "replace"), seen[name.lower()]))
    return tuple(reversed(edits))


def in_order(edits: Iterable[HeaderEdit]) -> tuple[HeaderEdit, ...]:
    """The edits of several proposers together: changes, each removal once, the last of a name first, then insertions.

    Their removals all count on the headers of the message as it was received.
    """
    given = [*edits]
    removed = {(edit.name.lower(), edit.index): edit for edit in given if isinstance(edit, RemoveHeader)}
    removing = [removed[key] for key in sorted(removed, key=lambda key: (key[0], -key[1]))]
    changing = (edit for edit in given if isinstance(edit, ChangeHeader))
    return (*changing, *removing, *(edit for edit in given if isinstance(edit, InsertHeader)))


def edited(headers: Sequence[Header], edits: Iterable[HeaderEdit]) -> list[Header]:
    """The headers after these edits, made one after the other; one that names no header changes nothing.

    The work is linear: a message may have thousands of headers that are removed.
    """
    fields = [[*header] for header in headers]
    by_name: defaultdict[bytes, list[list[bytes]]] = defaultdict(list)
    for field in fields:
        by_name[field[0].lower()].append(field)
    inserted: list[list[bytes]] = []
    for edit in edits:
        name = edit.name.encode("utf-8", "replace")
        alike = by_name[name.lower()]
        if isinstance(edit, InsertHeader):
            inserted.append([name, b" " + edit.value.encode("ascii", "replace")])
            alike.insert(0, inserted[-1])
        elif not 0 < edit.index <= len(alike):
            continue
        elif isinstance(edit, ChangeHeader):
            alike[edit.index - 1][1] = b" " + edit.value.encode()
        else:
            alike.pop(edit.index - 1).clear()
    return [(field[0], field[1]) for field in (*reversed(inserted), *fields) if field]
