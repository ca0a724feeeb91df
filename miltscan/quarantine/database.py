"""The database of the index: opened, closed, and examined for damage. It knows no tables.

A SQLite file that was removed, moved or replaced while it is open is noticed before the next use. One on a file system
that is read-only can be read: no files are made next to it.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from miltscan.errors import CorruptIndexError, StoreError

_PATIENCE = 10  # seconds for a lock of another process, or a connection
_DAMAGES = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT")


class Database:
    """The database at `url`. Every method raises StoreError, CorruptIndexError if it is damaged or missing."""

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

    def move_damaged(self, now: float) -> Path | None:
        """Move a SQLite file that is damaged out of the way, and return its new name."""
        if self.file is None or not self.file.exists() or self._is_sound():
            return None
        self.close()
        target = self.file.with_name(f"{self.file.name}.damaged-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}")
        with self.failing():
            for end in ("-wal", "-shm"):
                self.file.with_name(f"{self.file.name}{end}").unlink(missing_ok=True)
            self.file.rename(target)
        return target

    def _is_sound(self) -> bool:
        """Whether SQLite finds no damage."""
        try:
            with self.reading() as connection:
                return connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() == "ok"
        except CorruptIndexError:
            return False

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read with."""
        with self.failing(), self._open().connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction; at SQLite it takes the lock at once, so that it cannot fail in its middle."""
        with (
            self.failing(),
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
    def failing(self) -> Iterator[None]:
        """What goes wrong is a StoreError that names the index, a CorruptIndexError if the files must be read again."""
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
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # a row that a power loss takes is made again
    except sqlite3.Error:  # a damaged file: SQLAlchemy does not know the connection yet, so that nothing closes it
        connection.close()
        raise


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
