"""The windows over a message: together they are the message, and a search in them finds what a search in it does."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.mime import octets
from miltscan.core.mime.octets import Octets, blocks, windows

SIZE = 8
text = st.lists(st.sampled_from([b"\n", b"=", b"a", b"--b", b"=3D", b"\r\n"]), max_size=40).map(b"".join)


@pytest.fixture(autouse=True, scope="module")
def small_windows() -> Iterator[None]:
    """Windows of a few bytes, so that their ends are everywhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(octets, "WINDOW", SIZE)
        patch.setattr(octets, "PIECE", SIZE)
        patch.setattr(octets, "_FIRST", 3)
        yield


@given(text)
def test_windows_are_the_whole(data: bytes) -> None:
    """Nothing is lost or repeated, and no window is larger than the size."""
    found = list(windows(memoryview(data)))
    assert b"".join(found) == data
    assert all(len(window) <= SIZE for window in found)


@given(text)
def test_blocks_are_whole_lines(data: bytes) -> None:
    """A block ends with its line, unless the line is longer than a window; no escape is divided."""
    found = list(blocks(memoryview(data)))
    assert b"".join(found) == data
    for block in found[:-1]:
        assert 0 < len(block) <= SIZE
        assert block.endswith(b"\n") or b"\n" not in block
    assert sum(block.count(b"=3D") for block in found) == data.count(b"=3D")


@given(text, st.sampled_from([b"\n--b", b"=", b"a\r\n", b"--b--b--b"]), st.integers(0, 60), st.integers(0, 60))
def test_a_search_in_windows_finds_the_same(data: bytes, needle: bytes, start: int, end: int) -> None:
    """The first place, or none, as in bytes."""
    end = min(end, len(data))
    view = Octets(memoryview(data))
    assert view.find(needle, start, end) == Octets(data).find(needle, start, end) == data.find(needle, start, end)


def test_a_small_view_is_copied_once() -> None:
    """A search in bytes is faster than one in windows."""
    octets_of_view = Octets(memoryview(b"abc"))
    assert octets_of_view.piece(1, 3) == b"bc"
    assert isinstance(octets_of_view.view.obj, bytes)
