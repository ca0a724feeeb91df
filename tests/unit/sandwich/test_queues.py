"""Queues: what waits, in every layout that sendmail has, and what does not."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.sandwich import queues
from miltscan.sandwich.queues import Depth, File, depth, look


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], Depth(0, 0, None)),
        ([File("qfA", 10, 90), File("dfA", 100, 50)], Depth(1, 110, 50)),  # the qf is written anew at each attempt
        ([File("dfA", 100, 50), File("qfA", 10, 90), File("qfB", 1, 40)], Depth(2, 111, 40)),
        ([File("dfA", 100, 50)], Depth(0, 100, None)),  # being received
        ([File("hfA", 10, 1), File("QfB", 10, 1), File("tfC", 10, 1), File("xfD", 10, 1)], Depth(0, 0, None)),
        ([File("qf", 10, 1), File("df", 10, 1)], Depth(0, 0, None)),  # folders of that name
    ],
)
def test_depth(files: list[File], expected: Depth) -> None:
    """Messages are control files, their time is that of the data file."""
    assert depth(files) == expected


@given(st.lists(st.builds(File, st.text(max_size=4).map("qf{}".format) | st.text(), st.integers(0), st.floats(0, 9))))
def test_any_names_do(files: list[File]) -> None:
    """Whatever lies in a folder."""
    assert depth(files).entries <= len(files)


def _message(folder: Path, ident: str, came: int, *, split: bool = False) -> None:
    """A message in a queue: 10 bytes of control and 100 of data."""
    for kind, size, changed in (("qf", 10, came + 500), ("df", 100, came)):
        file = (folder / kind if split else folder) / f"{kind}{ident}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * size)
        os.utime(file, (changed, changed))


def test_a_plain_queue(tmp_path: Path) -> None:
    """All in one folder."""
    _message(tmp_path, "A", 1000)
    _message(tmp_path, "B", 2000)
    assert look(str(tmp_path)) == Depth(2, 220, 1000)


def test_groups_and_split_folders(tmp_path: Path) -> None:
    """Folders of groups, one of them a link to another disk, with qf, df and xf of their own."""
    _message(tmp_path / "mqueue" / "q1", "A", 1000, split=True)
    _message(tmp_path / "disk", "B", 2000)
    (tmp_path / "mqueue" / "q2").symlink_to(tmp_path / "disk")
    _message(tmp_path / "mqueue" / "slow", "C", 3000)
    assert look(f"{tmp_path}/mqueue") == Depth(3, 330, 1000)
    assert look(f"{tmp_path}/mqueue/q*") == Depth(2, 220, 1000)
    assert look(f"{tmp_path}/mqueue/s*") == Depth(1, 110, 3000)


def test_a_link_in_a_circle_ends(tmp_path: Path) -> None:
    """Two levels are looked at, whatever they are."""
    _message(tmp_path, "A", 1000)
    (tmp_path / "q1").symlink_to(tmp_path)
    assert look(str(tmp_path)).entries == 1


def test_a_look_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue of a million files costs no more than one of MOST_FILES."""
    monkeypatch.setattr(queues, "MOST_FILES", 5)
    for number in range(10):
        (tmp_path / f"qf{number}").touch()
    assert look(str(tmp_path)).entries == 5


def test_only_names_sizes_and_times_are_read(tmp_path: Path) -> None:
    """A queue whose files nobody may read can be measured."""
    _message(tmp_path, "A", 1000)
    for file in tmp_path.iterdir():
        file.chmod(0)
    assert look(str(tmp_path)) == Depth(1, 110, 1000)


def test_what_belongs_to_the_file_system_is_passed_over(tmp_path: Path) -> None:
    """A queue on a disk of its own has a folder that only root may list."""
    (tmp_path / "lost+found").mkdir()
    _message(tmp_path / "lost+found", "A", 1)
    _message(tmp_path, "B", 1000)
    assert look(str(tmp_path)).entries == 1


@pytest.mark.parametrize("path", ["/nonexistent/mqueue", "/nonexistent/q*", "/dev/null"])
def test_a_queue_that_cannot_be_read_raises(path: str) -> None:
    """The caller says so."""
    with pytest.raises(OSError, match=r"No such file|Not a directory"):
        look(path)
