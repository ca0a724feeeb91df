"""The depth of queues in every layout of sendmail."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.sandwich import queues
from miltscan.sandwich.queues import Depth, File, depth_of, read_depth


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], Depth(0, 0, None)),
        ([File("qfA", 10, 90), File("dfA", 100, 50)], Depth(1, 110, 50)),  # each attempt writes the qf again
        ([File("dfA", 100, 50), File("qfA", 10, 90), File("qfB", 1, 40)], Depth(2, 111, 40)),
        ([File("dfA", 100, 50)], Depth(0, 100, None)),  # being received
        ([File("hfA", 10, 1), File("QfB", 10, 1), File("tfC", 10, 1), File("xfD", 10, 1)], Depth(0, 0, None)),
        ([File("qf", 10, 1), File("df", 10, 1)], Depth(0, 0, None)),  # folders of that name
    ],
)
def test_depth(files: list[File], expected: Depth) -> None:
    """A control file is a message, and its data file has the time of the arrival."""
    assert depth_of(files) == expected


@given(st.lists(st.builds(File, st.text(max_size=4).map("qf{}".format) | st.text(), st.integers(0), st.floats(0, 9))))
def test_any_names_are_counted(files: list[File]) -> None:
    """A queue never has more messages than files, with any names."""
    assert depth_of(files).entries <= len(files)


def _message(folder: Path, ident: str, came: int, *, split: bool = False) -> None:
    """Write a message of 10 bytes of control and 100 bytes of data."""
    for kind, size, changed in (("qf", 10, came + 500), ("df", 100, came)):
        file = (folder / kind if split else folder) / f"{kind}{ident}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * size)
        os.utime(file, (changed, changed))


def test_a_plain_queue(tmp_path: Path) -> None:
    """All files may be in one folder."""
    _message(tmp_path, "A", 1000)
    _message(tmp_path, "B", 2000)
    assert read_depth(str(tmp_path)) == Depth(2, 220, 1000)


def test_groups_and_split_folders(tmp_path: Path) -> None:
    """Queue groups may be links to another disk, and may have folders for qf, df and xf files."""
    _message(tmp_path / "mqueue" / "q1", "A", 1000, split=True)
    _message(tmp_path / "disk", "B", 2000)
    (tmp_path / "mqueue" / "q2").symlink_to(tmp_path / "disk")
    _message(tmp_path / "mqueue" / "slow", "C", 3000)
    assert read_depth(f"{tmp_path}/mqueue") == Depth(3, 330, 1000)
    assert read_depth(f"{tmp_path}/mqueue/q*") == Depth(2, 220, 1000)
    assert read_depth(f"{tmp_path}/mqueue/s*") == Depth(1, 110, 3000)


def test_a_link_in_a_circle_ends(tmp_path: Path) -> None:
    """Only two levels of folders are read, even in a circle of links."""
    _message(tmp_path, "A", 1000)
    (tmp_path / "q1").symlink_to(tmp_path)
    assert read_depth(str(tmp_path)).entries == 1


def test_the_number_of_files_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue of a million files costs as much as one of MOST_FILES."""
    monkeypatch.setattr(queues, "MOST_FILES", 5)
    for number in range(10):
        (tmp_path / f"qf{number}").touch()
    assert read_depth(str(tmp_path)).entries == 5


def test_only_names_sizes_and_times_are_read(tmp_path: Path) -> None:
    """Only names, sizes and times are read, so that the files may be unreadable."""
    _message(tmp_path, "A", 1000)
    for file in tmp_path.iterdir():
        file.chmod(0)
    assert read_depth(str(tmp_path)) == Depth(1, 110, 1000)


def test_folders_of_the_file_system_are_left_out(tmp_path: Path) -> None:
    """A queue with its own file system has a folder that only root can list."""
    (tmp_path / "lost+found").mkdir()
    _message(tmp_path / "lost+found", "A", 1)
    _message(tmp_path, "B", 1000)
    assert read_depth(str(tmp_path)).entries == 1


@pytest.mark.parametrize("path", ["/nonexistent/mqueue", "/nonexistent/q*", "/dev/null"])
def test_a_queue_that_cannot_be_read_raises(path: str) -> None:
    """A missing queue raises OSError, which the caller reports."""
    with pytest.raises(OSError, match=r"No such file|Not a directory"):
        read_depth(path)
