"""The index of the quarantine: SQLite in its folder, or PostgreSQL, by the same code. It reads no entry's file.

It is a cache. What fails here never harms an entry: the files are read again. A SQLite file that was removed, moved or
replaced while it is open is noticed before the next use.
"""

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from sqlalchemy import Connection, Engine, bindparam, create_engine, delete, event, func, select, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from miltscan.errors import CorruptIndexError, StoreError
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

_PATIENCE = 10  # seconds for a lock of another process, or a connection
_DAMAGES = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT")
_PAGE = 500  # values in one statement


class AreaTotals(NamedTuple):
    """The entries of an area: number, bytes on disk, and the time of the oldest (epoch, seconds)."""

    area: str
    entries: int
    bytes: int
    oldest: float


class EntryIndex:
    """The index at `url`. Every method raises StoreError, CorruptIndexError if the tables are damaged or missing."""

    def __init__(self, url: str) -> None:
        try:
            self._url = make_url(url)
        except ArgumentError:
            raise StoreError("quarantine.index is not a URL of a database. Expected postgresql+psycopg://...") from None
        self.name = self._url.render_as_string(hide_password=True)
        self._engine: Engine | None = None
        self._inode = 0

    @property
    def file(self) -> Path | None:
        """The file of a SQLite index, None of another one."""
        if self._url.get_backend_name() == "sqlite" and self._url.database:
            return Path(self._url.database)
        return None

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def verify(self) -> None:
        """Raise CorruptIndexError unless the tables have our format and all entries were put into them."""
        with self._reading() as connection:
            for table in (ENTRIES, RECIPIENTS):
                connection.execute(select(table).limit(0))
            facts = {row.name: row.value for row in connection.execute(select(FACTS.c.name, FACTS.c.value))}
        if facts.get("format") != FORMAT:
            raise CorruptIndexError(f"index {self.name}: its tables are of another version")
        if "complete" not in facts:
            raise CorruptIndexError(f"index {self.name}: entries are missing")

    def move_damaged(self, now: float) -> Path | None:
        """Move a SQLite file that is damaged out of the way, and return its new name."""
        if self.file is None or not self.file.exists() or self._is_sound():
            return None
        self.close()
        target = self.file.with_name(f"{self.file.name}.damaged-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}")
        with self._failing():
            for end in ("-wal", "-shm"):
                self.file.with_name(f"{self.file.name}{end}").unlink(missing_ok=True)
            self.file.rename(target)
        return target

    def _is_sound(self) -> bool:
        """Whether SQLite finds no damage."""
        try:
            with self._reading() as connection:
                return connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() == "ok"
        except CorruptIndexError:
            return False

    def create(self) -> None:
        """Make the tables, in place of any there are; they are not complete then."""
        if self.file is not None:
            with self._failing():
                os.close(os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
        with self._writing() as connection:
            METADATA.drop_all(connection)
            METADATA.create_all(connection)
            connection.execute(FACTS.insert().values(name="format", value=FORMAT))

    def complete(self) -> None:
        """Note that all entries are in the tables."""
        with self._writing() as connection:
            connection.execute(delete(FACTS).where(FACTS.c.name == "complete"))
            connection.execute(FACTS.insert().values(name="complete", value="yes"))

    def save(self, found: Sequence[Stored]) -> None:
        """Write the rows of entries, in place of their former ones."""
        for start in range(0, len(found), _PAGE):
            with self._writing() as connection:
                _save(connection, sorted(found[start : start + _PAGE], key=lambda one: one.standing.entry.id))

    def forget(self, entry_ids: Sequence[str]) -> None:
        """Delete the rows of entries; what is a duplicate of one of them is none any more."""
        for start in range(0, len(entry_ids), _PAGE):
            ids = entry_ids[start : start + _PAGE]
            with self._writing() as connection:
                connection.execute(delete(RECIPIENTS).where(RECIPIENTS.c.entry_id.in_(ids)))
                connection.execute(delete(ENTRIES).where(ENTRIES.c.id.in_(ids)))
                connection.execute(update(ENTRIES).where(ENTRIES.c.duplicate_of.in_(ids)).values(duplicate_of=None))

    def rows(self, wanted: Selection, limit: int, after: str = "") -> list[Row]:
        """At most `limit` rows, newest first, from below the ID `after`."""
        older = ENTRIES.c.id < after if after else true()
        query = select(*COLUMNS).where(conditions(wanted), older).order_by(ENTRIES.c.id.desc()).limit(limit)
        with self._reading() as connection:
            rows = [row._asdict() for row in connection.execute(query)]
            recipients = _recipients(connection, [row["id"] for row in rows])
        return [Row(**{**row, "state": State(row["state"]), "recipients": recipients[row["id"]]}) for row in rows]

    def count(self, wanted: Selection) -> int:
        """The number of entries."""
        query = select(func.count()).select_from(ENTRIES).where(conditions(wanted))
        with self._reading() as connection:
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
        with self._reading() as connection:
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
        with self._reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def counts(self, wanted: Selection) -> dict[str, int]:
        """The number of entries in each area, without duplicates."""
        query = select(ENTRIES.c.area, func.count()).where(conditions(wanted), _first_copy()).group_by(ENTRIES.c.area)
        with self._reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def pages(self) -> Iterator[dict[str, int]]:
        """All IDs in their order, a page at a time, each with the number of its events."""
        last = ""
        while True:
            query = select(ENTRIES.c.id, ENTRIES.c.events).where(ENTRIES.c.id > last).order_by(ENTRIES.c.id)
            with self._reading() as connection:
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
        with self._reading() as connection:
            return [Oldest(*row) for row in connection.execute(query)]

    def _ids(self, condition: Condition, limit: int) -> list[str]:
        query = select(ENTRIES.c.id).where(condition).order_by(ENTRIES.c.id).limit(limit)
        with self._reading() as connection:
            return [*connection.execute(query).scalars()]

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._failing(), self._open().connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction; at SQLite it takes the lock at once, so that it cannot fail in its middle."""
        with (
            self._failing(),
            self._open().connect() as connection,
            connection.execution_options(writing=True).begin(),
        ):
            yield connection

    def _open(self) -> Engine:
        if self._engine is not None and self._inode != self._found():
            self.close()
        if self._engine is None:
            self._inode = self._found()
            frozen = self.file is not None and bool(os.statvfs(self.file).f_flag & os.ST_RDONLY)
            self._engine = _engine(self._url, frozen=frozen)
        return self._engine

    def _found(self) -> int:
        """The inode of a SQLite file; 0 for another database. Raises CorruptIndexError if the file is missing."""
        if self.file is None:
            return 0
        try:
            return self.file.stat().st_ino
        except FileNotFoundError:
            raise CorruptIndexError(f"index {self.file} does not exist") from None

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            line = str(error.orig).strip().partition("\n")[0]
            kind = CorruptIndexError if _is_damaged(error) else StoreError
            raise kind(f"index {self.name}: {line}") from error
        except OSError as error:
            raise StoreError(f"index {self.name}: {os.strerror(error.errno or 0)}") from error
        except (SQLAlchemyError, OverflowError) as error:
            raise StoreError(f"index {self.name}: {error}") from error


def _first_copy() -> Condition:
    return ENTRIES.c.duplicate_of.is_(None)


def _engine(url: URL, *, frozen: bool) -> Engine:
    """The engine; of a `frozen` SQLite file, on a file system that is read-only, it makes no files next to it."""
    try:
        if url.get_backend_name() != "sqlite":
            return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": _PATIENCE})
        if frozen:
            database = f"file:{quote(str(url.database))}"
            return create_engine(url.set(database=database, query={"mode": "ro", "immutable": "1", "uri": "true"}))
        engine = create_engine(url, connect_args={"timeout": _PATIENCE})
    except (ImportError, NoSuchModuleError):
        raise StoreError(
            f"quarantine.index needs the Python package of {url.drivername}. Use postgresql+psycopg:// and run: pip"
            " install --no-build-isolation --require-hashes -r deploy/requirements-quarantine.txt"
        ) from None
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions begin as _begin says
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")  # a row that a power loss takes is made again


def _begin(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _is_damaged(error: DBAPIError) -> bool:
    """Whether the database is no longer one, or has not our tables."""
    original = error.orig
    if isinstance(original, sqlite3.Error):
        name = getattr(original, "sqlite_errorname", "")
        return name.startswith(_DAMAGES) or "no such table" in str(original) or "no such column" in str(original)
    return getattr(original, "sqlstate", "") in {"42P01", "42703"}  # undefined table, undefined column


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
