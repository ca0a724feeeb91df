"""The index of the quarantine: SQLite in its folder, or PostgreSQL, by the same code. It reads no entry's file.

It is a cache. What fails here never harms an entry: the files are read again.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, case, delete, func, select, true, update
from sqlalchemy.dialects import postgresql, sqlite

from miltscan.errors import CorruptIndexError
from miltscan.quarantine.database import Database
from miltscan.quarantine.entry import LENGTH, State
from miltscan.quarantine.retention import Oldest
from miltscan.quarantine.selection import Condition, Selection, conditions
from miltscan.quarantine.tables import (
    COLUMNS,
    ENTRIES,
    FACTS,
    FORMAT,
    METADATA,
    RECIPIENTS,
    RecipientRow,
    Row,
    Stored,
    entry_row,
    recipient_rows,
)
from miltscan.quarantine.writing import FILE_MODE

_PAGE = 500  # values in one statement


class AreaTotals(NamedTuple):
    """The entries of an area: number, bytes on disk, and the time of the oldest (epoch, seconds)."""

    area: str
    entries: int
    bytes: int
    oldest: float


class StateTotals(NamedTuple):
    """The entries of an area in a state, and those of them whose last release failed."""

    area: str
    state: State
    entries: int
    failed: int


class EntryIndex(Database):
    """The index at `url`. Every method raises StoreError, CorruptIndexError if the tables are damaged or missing."""

    def verify(self) -> None:
        """Raise CorruptIndexError unless the tables have our format and all entries were put into them."""
        with self.reading() as connection:
            for table in (ENTRIES, RECIPIENTS):
                connection.execute(select(table).limit(0))
            facts = {row.name: row.value for row in connection.execute(select(FACTS.c.name, FACTS.c.value))}
        if facts.get("format") != FORMAT:
            raise CorruptIndexError(f"index {self.name}: its tables are of another version")
        if "complete" not in facts:
            raise CorruptIndexError(f"index {self.name}: entries are missing")

    def create(self) -> None:
        """Make the tables, in place of any there are; they are not complete then."""
        if self.file is not None:
            with self.failing():
                os.close(os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
        with self.writing() as connection:
            METADATA.drop_all(connection)
            METADATA.create_all(connection)
            connection.execute(FACTS.insert().values(name="format", value=FORMAT))

    def complete(self) -> None:
        """Note that all entries are in the tables."""
        with self.writing() as connection:
            connection.execute(delete(FACTS).where(FACTS.c.name == "complete"))
            connection.execute(FACTS.insert().values(name="complete", value="yes"))

    def save(self, found: Sequence[Stored]) -> None:
        """Write the rows of entries, in place of their former ones."""
        for start in range(0, len(found), _PAGE):
            with self.writing() as connection:
                _save(connection, sorted(found[start : start + _PAGE], key=lambda one: one.standing.entry.id))

    def forget(self, entry_ids: Sequence[str]) -> None:
        """Delete the rows of entries; what is a duplicate of one of them is none any more."""
        for start in range(0, len(entry_ids), _PAGE):
            ids = entry_ids[start : start + _PAGE]
            with self.writing() as connection:
                connection.execute(delete(RECIPIENTS).where(RECIPIENTS.c.entry_id.in_(ids)))
                connection.execute(delete(ENTRIES).where(ENTRIES.c.id.in_(ids)))
                connection.execute(update(ENTRIES).where(ENTRIES.c.duplicate_of.in_(ids)).values(duplicate_of=None))

    def rows(self, wanted: Selection, limit: int, after: str = "") -> list[Row]:
        """At most `limit` rows, newest first, from below the ID `after`."""
        older = ENTRIES.c.id < after if after else true()
        query = select(*COLUMNS).where(conditions(wanted), older).order_by(ENTRIES.c.id.desc()).limit(limit)
        with self.reading() as connection:
            rows = [row._asdict() for row in connection.execute(query)]
            recipients = _recipients(connection, [row["id"] for row in rows])
        return [Row(**{**row, "state": State(row["state"]), "recipients": recipients[row["id"]]}) for row in rows]

    def count(self, wanted: Selection) -> int:
        """The number of entries."""
        query = select(func.count()).select_from(ENTRIES).where(conditions(wanted))
        with self.reading() as connection:
            return connection.execute(query).scalar_one()

    def beginning_with(self, prefix: str, limit: int) -> list[str]:
        """The first IDs that begin with `prefix`."""
        last = prefix.ljust(LENGTH, "z")
        return self._ids(ENTRIES.c.id.between(prefix, last), limit)

    def totals(self) -> list[AreaTotals]:
        """The entries of each area that has any, by its name."""
        columns = ENTRIES.c
        query = select(columns.area, func.count(), func.sum(columns.disk), func.min(columns.id)).group_by(columns.area)
        oldest = select(columns.time).where(columns.id == bindparam("id"))
        with self.reading() as connection:
            found = connection.execute(query.order_by(columns.area)).all()
            return [
                AreaTotals(area, count, int(size), connection.execute(oldest, {"id": first}).scalar_one())
                for area, count, size, first in found
            ]

    def addressees(self, wanted: Selection, areas: Iterable[str], directions: Iterable[str]) -> dict[str, int]:
        """The number of entries of each recipient (in lower case) in these areas and directions, without duplicates."""
        entries, address = ENTRIES.c, RECIPIENTS.c.address_key
        query = select(address, func.count(RECIPIENTS.c.entry_id.distinct())).group_by(address)
        query = query.join(ENTRIES, RECIPIENTS.c.entry_id == entries.id).where(
            conditions(wanted), entries.area.in_([*areas]), entries.direction.in_([*directions]), _first_copy()
        )
        with self.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def counts(self, wanted: Selection) -> dict[str, int]:
        """The number of entries in each area, without duplicates."""
        query = select(ENTRIES.c.area, func.count()).where(conditions(wanted), _first_copy()).group_by(ENTRIES.c.area)
        with self.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def states(self) -> list[StateTotals]:
        """The entries of each area and state that has any."""
        columns = ENTRIES.c
        waits = columns.state.in_((str(State.STORED), str(State.CLEARED)))
        failed = func.sum(case((waits & (columns.reply != ""), 1), else_=0))
        query = select(columns.area, columns.state, func.count(), failed).group_by(columns.area, columns.state)
        with self.reading() as connection:
            found = connection.execute(query.order_by(columns.area, columns.state)).all()
        return [StateTotals(area, State(state), count, int(rest)) for area, state, count, rest in found]

    def pages(self) -> Iterator[dict[str, int]]:
        """All IDs in their order, a page at a time, each with the number of its events."""
        last = ""
        while True:
            query = select(ENTRIES.c.id, ENTRIES.c.events).where(ENTRIES.c.id > last).order_by(ENTRIES.c.id)
            with self.reading() as connection:
                page = {row.id: row.events for row in connection.execute(query.limit(10_000))}
            if not page:
                return
            yield page
            last = max(page)

    def oldest(self, area: str, limit: int, before: str = "") -> list[Oldest]:
        """The oldest entries of an area; those in release are left out."""
        columns = ENTRIES.c
        ours = (columns.area == area) & (columns.state != str(State.RELEASING))
        if before:
            ours &= columns.id < before
        query = select(columns.id, columns.disk, columns.queue_id).where(ours).order_by(columns.id).limit(limit)
        with self.reading() as connection:
            return [Oldest(*row) for row in connection.execute(query)]

    def _ids(self, condition: Condition, limit: int) -> list[str]:
        query = select(ENTRIES.c.id).where(condition).order_by(ENTRIES.c.id).limit(limit)
        with self.reading() as connection:
            return [*connection.execute(query).scalars()]


def _first_copy() -> Condition:
    return ENTRIES.c.duplicate_of.is_(None)


def _save(connection: Connection, found: Sequence[Stored]) -> None:
    rows = [entry_row(one) for one in found]
    _mark_duplicates(connection, rows)
    insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(ENTRIES)
    replaced = {column.name: insert.excluded[column.name] for column in ENTRIES.c if column.name != "id"}
    connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=replaced), rows)
    connection.execute(delete(RECIPIENTS).where(RECIPIENTS.c.entry_id.in_([row["id"] for row in rows])))
    recipients = [recipient for one in found for recipient in recipient_rows(one.standing)]
    if recipients:
        connection.execute(RECIPIENTS.insert(), recipients)


def _mark_duplicates(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Set `duplicate_of` to the earliest entry with the same message and envelope: the row is of a client's retry."""
    columns = ENTRIES.c
    query = select(columns.digest, columns.envelope, func.min(columns.id).label("id"))
    query = query.where(columns.digest.in_({row["digest"] for row in rows})).group_by(columns.digest, columns.envelope)
    first = {(row.digest, row.envelope): row.id for row in connection.execute(query)}
    for row in rows:  # in the order of their IDs
        original = min(first.get((row["digest"], row["envelope"]), row["id"]), row["id"])
        first[row["digest"], row["envelope"]] = original
        row["duplicate_of"] = None if original == row["id"] else original


def _recipients(connection: Connection, entry_ids: Sequence[str]) -> dict[str, tuple[RecipientRow, ...]]:
    columns = RECIPIENTS.c
    found: dict[str, list[RecipientRow]] = {entry_id: [] for entry_id in entry_ids}
    for start in range(0, len(entry_ids), _PAGE):
        query = select(columns.entry_id, columns.address, columns.state)
        query = query.where(columns.entry_id.in_(entry_ids[start : start + _PAGE]))
        for entry_id, address, state in connection.execute(query.order_by(columns.entry_id, columns.position)):
            found[entry_id].append(RecipientRow(address, State(state)))
    return {entry_id: tuple(recipients) for entry_id, recipients in found.items()}
