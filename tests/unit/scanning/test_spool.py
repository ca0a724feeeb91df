"""The bytes of a message in memory and on disk."""

import os
import resource
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.errors import SpoolError
from miltscan.scanning import spool as spools
from miltscan.scanning.spool import Spool, on_disk

KIB = 1024


@contextmanager
def _limited(what: int, soft: int) -> Iterator[None]:
    """This process has less of something for a while."""
    before, hard = resource.getrlimit(what)
    resource.setrlimit(what, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (before, hard))


@pytest.fixture(autouse=True)
def _none_kept() -> Iterator[None]:
    """Each test begins and ends without kept files."""
    _forget()
    yield
    _forget()


def _forget() -> None:
    while spools._kept:  # noqa: SLF001 - a test must not use what another one left
        os.close(spools._kept.pop()[0])  # noqa: SLF001 - as above


def _write(spool: Spool, sizes: Iterable[int]) -> None:
    for size in sizes:
        spool.write(b"x" * size)


def _content(spool: Spool) -> bytes:
    return os.pread(spool.fileno(), spool.size + 1, 0)


def _on_disk(spool: Spool) -> bool:
    return "/memfd:" not in str(Path(f"/proc/self/fd/{spool.fileno()}").readlink())


def _descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def _pattern(size: int) -> bytes:
    return bytes(i % 251 for i in range(size))


@pytest.mark.parametrize(
    ("sizes", "on_disk"),
    [
        ([0], False),
        ([1], False),
        ([100], False),
        ([50, 50], False),
        ([50, 51], True),
        ([100, 0], False),
        ([100, 1], True),
        ([101], True),
        ([99, 99, 99], True),
        ([101, 1], True),
    ],
)
def test_moves_to_disk_past_the_memory_size(tmp_path: Path, sizes: list[int], on_disk: bool) -> None:  # noqa: FBT001
    """In memory up to and with 100 bytes, then on disk, with every byte."""
    spool = Spool(tmp_path, 100)
    expected = b""
    for size in sizes:
        chunk = _pattern(size)
        spool.write(chunk)
        expected += chunk
    assert (_on_disk(spool), spool.size) == (on_disk, len(expected))
    assert _content(spool) == expected
    spool.close()


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=12), st.integers(0, 200))
def test_byte_true(chunks: list[bytes], memory: int) -> None:
    """With any chunks and memory size, the bytes read are those written, and no descriptor stays."""
    before = _descriptors()
    spool = Spool(Path("/tmp"), memory)  # noqa: S108 - the file has no name
    for chunk in chunks:
        spool.write(chunk)
    assert _content(spool) == b"".join(chunks)
    spool.close()
    assert _descriptors() == before


def test_large_message(tmp_path: Path) -> None:
    """More than the kernel copies in one piece."""
    spool = Spool(tmp_path, 8 * KIB * KIB)
    chunk = os.urandom(KIB * KIB)
    for _ in range(9):
        spool.write(chunk)
    assert _on_disk(spool)
    assert _content(spool) == chunk * 9
    spool.close()


def test_nothing_is_to_be_seen_in_the_folder(tmp_path: Path) -> None:
    """The file has no name, so a killed worker leaves nothing behind."""
    spool = Spool(tmp_path, 0)
    spool.write(b"x")
    assert list(tmp_path.iterdir()) == []
    spool.close()


def test_nothing_is_open_before_the_first_write(tmp_path: Path) -> None:
    """A transaction without a message costs no descriptor."""
    assert Spool(tmp_path, 100).fileno() == -1


def test_close_may_come_twice(tmp_path: Path) -> None:
    """The second close does not close a descriptor of another spool."""
    spool = Spool(tmp_path, 100)
    spool.write(b"x")
    spool.close()
    other = os.open(os.devnull, os.O_RDONLY)
    spool.close()
    os.close(other)
    assert spool.fileno() == -1


def test_descriptor_is_not_inherited(tmp_path: Path) -> None:
    """No program that we start gets mail to read."""
    for memory in (0, 100):
        spool = Spool(tmp_path, memory)
        spool.write(b"x")
        assert not os.get_inheritable(spool.fileno())
        spool.close()


@pytest.mark.parametrize("first", [b"", b"x" * 100], ids=["at once", "on the way"])
def test_missing_folder(tmp_path: Path, first: bytes) -> None:
    """The error names the folder and the reason; no descriptor is left."""
    before = _descriptors()
    spool = Spool(tmp_path / "gone", 100)
    spool.write(first)
    with pytest.raises(SpoolError, match=r"spool directory .*/gone: No such file or directory"):
        spool.write(b"x" * 101)
    spool.close()
    assert _descriptors() == before


@pytest.mark.parametrize("sizes", [(65 * KIB,), (10 * KIB, 65 * KIB), (60 * KIB, 10 * KIB)])
@pytest.mark.parametrize("memory", [0, 50 * KIB])
def test_full_disk(tmp_path: Path, sizes: tuple[int, ...], memory: int) -> None:
    """Wherever the room ends (here: no file may pass 64 KiB), it is a SpoolError, and no descriptor is left."""
    before = _descriptors()
    spool = Spool(tmp_path, memory)
    with _limited(resource.RLIMIT_FSIZE, 64 * KIB), pytest.raises(SpoolError, match="File too large"):
        _write(spool, sizes)
    spool.close()
    assert _descriptors() == before


@pytest.mark.parametrize("memory", [0, 100])
def test_no_descriptor_left(tmp_path: Path, memory: int) -> None:
    """Running out of descriptors tempfails the message, nothing more."""
    spool = Spool(tmp_path, memory)
    with _limited(resource.RLIMIT_NOFILE, 0), pytest.raises(SpoolError, match="Too many open files"):
        spool.write(b"x")


def test_what_is_on_disk_is_known(tmp_path: Path) -> None:
    """Files and bytes of the spools that are open; what is in memory does not count."""
    small, large = Spool(tmp_path, memory=100), Spool(tmp_path, memory=100)
    _write(small, [10])
    _write(large, [50, 60, 70])
    assert on_disk() == (1, 180)
    _write(small, [91])
    assert on_disk() == (2, 281)
    for spool in (small, large, large):
        spool.close()
    assert on_disk() == (0, 0)


def test_an_announced_size_above_memory_goes_to_disk_at_once(tmp_path: Path) -> None:
    """Nothing is copied from memory later, also if the message is smaller than announced."""
    for expected, announced in ((101, True), (100, False)):
        spool = Spool(tmp_path, 100)
        spool.expected = expected
        _write(spool, [10])
        assert _on_disk(spool) is announced
        assert _content(spool) == b"x" * 10
        spool.close()


def test_a_recycled_file_holds_the_next_message_only(tmp_path: Path) -> None:
    """The next message may be shorter, longer, on disk or empty."""
    spool = Spool(tmp_path, 1000)
    spool.write(b"a" * 500)
    first = os.fstat(spool.fileno()).st_ino
    spool.recycle()
    assert spool.fileno() == -1
    for length in (10, 700, 500):
        spool = Spool(tmp_path, 1000)
        spool.write(b"b" * length)
        assert os.fstat(spool.fileno()).st_ino == first
        assert _content(spool) == b"b" * length
        assert os.fstat(spool.fileno()).st_size == length
        spool.recycle()
    spool = Spool(tmp_path, 1000)
    _write(spool, [400, 601])
    assert _on_disk(spool)
    assert _content(spool) == b"x" * 1001
    spool.recycle()
    Spool(tmp_path, 1000).recycle()
    assert not spools._kept  # noqa: SLF001 - what is on disk, or was moved there, is not kept


def test_a_retained_file_does_not_serve_again(tmp_path: Path) -> None:
    """Another process still reads the file, so it must neither change nor become shorter."""
    spool = Spool(tmp_path, 1000)
    spool.write(b"a" * 500)
    reader = os.dup(spool.fileno())
    spool.retain()
    spool.recycle()
    after = Spool(tmp_path, 1000)
    after.write(b"b")
    after.close()
    assert os.pread(reader, 1000, 0) == b"a" * 500
    os.close(reader)


def test_few_and_small_files_are_kept(tmp_path: Path) -> None:
    """The process keeps eight files of at most 1 MiB, and closes the others."""
    before = _descriptors()
    for size, kept in ((1, 8), (2**20, 8), (2**20 + 1, 0)):
        open_at_once = [Spool(tmp_path, 2**30) for _ in range(10)]
        for spool in open_at_once:
            spool.write(bytes(size))
        for spool in open_at_once:
            spool.recycle()
        assert _descriptors() - before == kept, size
        _forget()
