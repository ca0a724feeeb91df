"""Counts in memory with a copy in a file: what no disk can do to them, and what the exporter reads."""

import errno
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict

from miltscan.errors import StartError
from miltscan.telemetry import countfile, folder
from miltscan.telemetry.countfile import FILES, CountFile, begin_files, begin_writing, empty, keep_all
from miltscan.telemetry.folder import claim_folder, reserved_space

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(autouse=True)
def _own_files() -> Iterator[None]:
    begin_files(None)
    begin_writing(later=False)
    yield
    begin_files(None)
    begin_writing(later=False)


def _read(path: Path) -> dict[str, float]:
    """Return what the exporter reads."""
    return {key: value for key, value, _, _ in MmapedDict.read_all_values_from_file(str(path))}  # type: ignore[no-untyped-call]


def _full(*_: object, **_options: object) -> int:
    raise FULL


def _in_child(work: Callable[[], object]) -> int:
    """Run `work` in a process of its own; return how it ended."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def test_the_format_is_that_of_prometheus_client(tmp_path: Path) -> None:
    """A key of any length can be read by prometheus_client's own code, which continues the file."""
    path = tmp_path / "counter_0.db"
    file = CountFile(str(path))
    keys = {"k" * length: float(length) for length in range(1, 40)}
    for key, value in keys.items():
        file.write_value(key, value, 0.0)
    assert _read(path) == keys
    theirs = MmapedDict(str(path))  # type: ignore[no-untyped-call]
    assert theirs.read_value("kk") == (2.0, 0.0)  # type: ignore[no-untyped-call]
    theirs.close()  # type: ignore[no-untyped-call]


def test_a_successor_continues_the_file(tmp_path: Path) -> None:
    """The next process of the slot goes on where the last one ended, and a new series begins at 0."""
    path = str(tmp_path / "counter_0.db")
    CountFile(path).write_value("a", 3.0, 1.5)
    file = CountFile(path)
    assert (file.read_value("a"), file.read_value("b")) == ((3.0, 1.5), (0.0, 0.0))
    assert _read(Path(path)) == {"a": 3.0, "b": 0.0}


@pytest.mark.parametrize("content", [b"", b"\1", b"\xff" * 100, bytes(5000)])
def test_a_broken_file_begins_at_zero(tmp_path: Path, content: bytes) -> None:
    """Any content that a crash or another program left in the file ends no process."""
    path = tmp_path / "counter_0.db"
    path.write_bytes(content)
    CountFile(str(path)).write_value("a", 1.0, 0.0)
    assert _read(path) == {"a": 1.0}


def test_a_full_disk_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting goes on in memory, the fault has a name, and everything is written when there is space."""
    path = tmp_path / "counter_0.db"
    file = CountFile(str(path))
    file.write_value("a", 1.0, 0.0)
    with monkeypatch.context() as broken:
        broken.setattr(os, "pwrite", _full)
        file.write_value("a", 2.0, 0.0)
        file.write_value("b", 1.0, 0.0)
        assert keep_all() == f"{tmp_path}: No space left on device"
    assert (_read(path), file.read_value("a")) == ({"a": 1.0}, (2.0, 0.0))
    assert keep_all() == ""
    assert _read(path) == {"a": 2.0, "b": 1.0}


def test_a_disk_that_takes_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If only the old part of the file has space, its series stay correct, and no new series is read incompletely."""
    path = tmp_path / "counter_0.db"
    file = CountFile(str(path))
    file.write_value("a", 1.0, 0.0)
    size = path.stat().st_size
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda number, data, at: real(number, data[: size - at], at))
    file.write_value("b", 1.0, 0.0)
    file.write_value("a", 2.0, 0.0)
    assert (_read(path), bool(keep_all())) == ({"a": 2.0}, True)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A process counts in memory where there is no folder, and writes when there is one."""
    blocked = tmp_path / "folder"
    blocked.touch()
    file = CountFile(str(blocked / "counter_0.db"))
    file.write_value("a", 1.0, 0.0)
    assert "Not a directory" in keep_all() or "File exists" in keep_all()
    blocked.unlink()
    assert keep_all() == ""
    assert _read(blocked / "counter_0.db") == {"a": 1.0}


def test_a_removed_file_is_written_again_but_not_by_an_orphan(tmp_path: Path) -> None:
    """A worker without its supervisor must not count in the files of a new service."""
    path = tmp_path / "counter_0.db"
    CountFile(str(path)).write_value("a", 1.0, 0.0)
    path.unlink()
    assert (keep_all(), _read(path)) == ("", {"a": 1.0})
    begin_files(os.getpid())  # which is not the parent of this process
    begin_writing(later=False)
    CountFile(str(path)).write_value("a", 2.0, 0.0)
    path.unlink()
    keep_all()
    assert not path.exists()


def test_a_thread_that_counts_does_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a worker, a disk that hangs holds up nothing but the main thread."""
    begin_writing(later=True)
    with monkeypatch.context() as broken:
        broken.setattr(os, "pwrite", _full)
        CountFile(str(tmp_path / "counter_0.db")).write_value("a", 1.0, 0.0)
        assert FILES[0].fault == ""
    keep_all()
    assert _read(tmp_path / "counter_0.db") == {"a": 1.0}


def test_an_emptied_file_keeps_its_space(tmp_path: Path) -> None:
    """The live gauges of a dead worker end, and its successor finds the space that was reserved."""
    path = tmp_path / "gauge_livesum_0.db"
    CountFile(str(path)).write_value("a", 1.0, 0.0)
    size = path.stat().st_size
    empty(path)
    assert (_read(path), path.stat().st_size) == ({}, size)
    CountFile(str(path)).write_value("b", 1.0, 0.0)
    assert _read(path) == {"b": 1.0}


def test_space_is_reserved(tmp_path: Path) -> None:
    """Every file of every slot has its blocks before the service starts."""
    claim_folder(tmp_path, ["0", "1"]).release()
    allocated = sum(file.stat().st_blocks * 512 for file in tmp_path.glob("*.db"))
    assert allocated >= reserved_space(["0", "1"]) > 2 * 2**16


def test_a_file_system_that_cannot_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service starts on a file system that cannot reserve space."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    claimed = claim_folder(tmp_path, ["0"])
    assert (claimed.path, claimed.fault) == (tmp_path, "")
    claimed.release()


def test_a_full_folder_is_replaced_by_one_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service removes its folder in memory at its end; if memory is full, too, each process counts for itself."""
    monkeypatch.setattr(os, "posix_fallocate", _full)
    monkeypatch.setattr(folder, "_MEMORY", tmp_path)
    claimed = claim_folder(tmp_path / "metrics", ["0"])
    assert claimed.path.parent == tmp_path
    assert (claimed.path.stat().st_mode & 0o777, claimed.fault) == (
        0o700,
        f"{tmp_path}/metrics: No space left on device",
    )
    abandoned = tmp_path / "miltscan-metrics-abandoned"
    abandoned.mkdir()
    assert _in_child(lambda: claim_folder(tmp_path / "other", ["0"])) == 0  # which ends without removing its own
    assert claimed.path.exists()
    assert not abandoned.exists()
    claimed.release()
    assert not claimed.path.exists()
    claim_folder(tmp_path / "metrics", ["0"]).release()
    assert [*tmp_path.glob("miltscan-metrics-*")] == []
    monkeypatch.setattr(tempfile, "mkdtemp", _full)
    claimed = claim_folder(tmp_path / "metrics", ["0"])
    assert (claimed.path, bool(claimed.fault)) == (tmp_path / "metrics", True)
    claimed.release()
    assert claimed.path.exists()


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """The line names folder and owner; a lock file that a dead service left is no lock."""
    (tmp_path / "lock").write_text("123\n")
    claimed = claim_folder(tmp_path, ["0"])
    text = f"exporter.directory {tmp_path}: in use by another miltscan (pid {os.getpid()}). Stop it first"

    def second() -> None:
        with pytest.raises(StartError, match=re.escape(text)):
            claim_folder(tmp_path, ["0"])

    assert _in_child(second) == 0
    claimed.release()
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o666
    assert countfile.FILES == []
