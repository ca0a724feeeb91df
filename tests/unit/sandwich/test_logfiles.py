"""Reading logs: plain, rotated, compressed, broken, very long, and the journal."""

import bz2
import gzip
import lzma
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from miltscan.sandwich import logfiles
from miltscan.sandwich.logfiles import BLOCK, Logs
from miltscan.sandwich.logline import LINE_LIMIT

GOLDEN = Path(__file__).parents[2] / "corpus" / "logs"


def found(*files: Path, text: bytes = b"wanted", on_error: Callable[[str], None] | None = None) -> list[bytes]:
    """The lines that contain `text`; any error fails the test."""
    errors: list[str] = []
    lines = list(Logs(files, journal=False, on_error=on_error or errors.append).matching([text]))
    assert errors == []
    return lines


def aged(file: Path, content: bytes, days: int) -> Path:
    """A file that was changed so many days ago."""
    file.write_bytes(content)
    os.utime(file, (1_700_000_000 - days * 86_400,) * 2)
    return file


def test_rotated_files_come_first_oldest_first(tmp_path: Path) -> None:
    """All of logrotate's names are read, compressed or not; other files of the folder are not."""
    aged(tmp_path / "mail.log", b"wanted 5\n", 0)
    aged(tmp_path / "mail.log.1", b"wanted 4\nother\n", 1)
    aged(tmp_path / "mail.log.2.gz", gzip.compress(b"wanted 3\n"), 2)
    aged(tmp_path / "mail.log-20231111.bz2", bz2.compress(b"wanted 2\n"), 3)
    aged(tmp_path / "mail.log.10.xz", lzma.compress(b"wanted 1\n"), 10)
    for name in ("mail.log.bak", "mail.logs", "mail.log.1.gz.tmp", "other.log"):
        aged(tmp_path / name, b"wanted not\n", 1)
    assert found(tmp_path / "mail.log") == [f"wanted {number}".encode() for number in range(1, 6)]
    assert found(tmp_path / "mail.log.1") == [b"wanted 4"]


def test_a_name_with_wildcards_is_itself(tmp_path: Path) -> None:
    """A wildcard in a name matches no other file."""
    (tmp_path / "mail.log.1").write_bytes(b"wanted\n")
    (tmp_path / "*").write_bytes(b"wanted too\n")
    assert found(tmp_path / "*") == [b"wanted too"]


def test_a_dangling_link_among_rotated_files_is_named(tmp_path: Path) -> None:
    """The link is one error, and the other files are read."""
    (tmp_path / "mail.log").write_bytes(b"wanted\n")
    (tmp_path / "mail.log.1").symlink_to("absent")
    errors: list[str] = []
    assert found(tmp_path / "mail.log", on_error=errors.append) == [b"wanted"]
    assert len(errors) == 1


def test_a_compressed_file_is_known_by_its_content(tmp_path: Path) -> None:
    """A compressed file is recognized under any name."""
    file = tmp_path / "archive"
    file.write_bytes(gzip.compress(b"wanted\n" * 3))
    assert found(file) == [b"wanted"] * 3


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(os.urandom(BLOCK))[:-100_000],
        gzip.compress(b"line\n") + b"garbage",
        b"\x1f\x8bgarbage",
        b"\xfd7zXZgarbage",
        b"BZhgarbage",
        None,
    ],
    ids=["cut", "garbage behind", "gzip", "xz", "bzip2", "absent"],
)
def test_a_file_that_cannot_be_read_is_named_once(tmp_path: Path, content: bytes | None) -> None:
    """The other files are read in each reading."""
    broken, good = tmp_path / "broken", tmp_path / "good"
    if content is not None:
        broken.write_bytes(content)
    good.write_bytes(b"wanted at last\n")
    errors: list[str] = []
    logs = Logs([broken, good], journal=False, on_error=errors.append)
    for _ in range(2):
        assert list(logs.matching([b"wanted"])) == [b"wanted at last"]
    assert len(errors) == 1
    assert errors[0].startswith(f"{broken}: cannot be read: ")


PROGRAMS = {"zstd": ["zstd", "-qc"], "lz4": ["lz4", "-qc"]}


def packed(form: str, content: bytes) -> bytes:
    """The content as the program of this form writes it."""
    return subprocess.run(PROGRAMS[form], input=content, check=True, capture_output=True).stdout


@pytest.mark.parametrize("form", PROGRAMS)
def test_a_program_reads_what_python_cannot(tmp_path: Path, form: str) -> None:
    """Each reading is complete, reports progress and may end early; the name of the file is no argument."""
    content = b"".join(b"line %d\n" % number for number in range(200_000)) + b"wanted\n" * 3
    file = tmp_path / "-rf maillog"
    file.write_bytes(packed(form, content))
    logs = Logs([file], journal=False, on_error=pytest.fail)
    progress: list[int] = []
    logs.on_progress = progress.append
    for _ in range(2):
        assert list(logs.matching([b"wanted"])) == [b"wanted"] * 3
    assert progress[-1] == logs.size
    lines = logs.matching([b"line 7"])
    assert next(iter(lines)) == b"line 7"
    lines.close()  # type: ignore[attr-defined]  # an Iterator that is a generator


def test_old_compress_is_read(tmp_path: Path) -> None:
    """A file of compress(1), which no test host has, is read by a program that is part of gzip."""
    content = b"wanted\n"  # each byte is a code of nine bits, the lowest bit first
    codes = sum(byte << 9 * place for place, byte in enumerate(content))
    file = tmp_path / "maillog.0.Z"
    file.write_bytes(b"\x1f\x9d\x90" + codes.to_bytes((9 * len(content) + 7) // 8, "little"))
    assert found(file) == [b"wanted"]


@pytest.mark.parametrize("form", PROGRAMS)
def test_a_cut_file_of_a_program_is_named(tmp_path: Path, form: str) -> None:
    """The readable part is read, and the status of the program becomes one line."""
    file = tmp_path / "maillog"
    file.write_bytes(packed(form, b"wanted\n" + os.urandom(1_000_000))[:-1000])
    errors: list[str] = []
    logs = Logs([file], journal=False, on_error=errors.append)
    for _ in range(2):
        list(logs.matching([b"wanted"]))
    assert len(errors) == 1
    assert errors[0].startswith(f"{file}: compressed by {form}, cannot be read to its end: {form} exited with status ")


@pytest.mark.parametrize(
    ("begin", "words"),
    [
        (b"\x28\xb5\x2f\xfd", "compressed by zstd, cannot be read: install zstd"),
        (b"\x50\x2a\x4d\x18", "compressed by zstd, cannot be read: install zstd"),
        (b"\x04\x22\x4d\x18", "compressed by lz4, cannot be read: install lz4"),
        (b"\x1f\x9d", "compressed by compress, cannot be read: install uncompress"),
        (b"LZIP", "compressed by lzip, cannot be read: install lzip"),
        (b"PK\x03\x04", "compressed by zip, cannot be read: install funzip"),
        (b"7z\xbc\xaf\x27\x1c", "compressed by 7z, cannot be read: unpack it"),
    ],
)
def test_a_form_without_its_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: bytes, words: str) -> None:
    """A file that cannot be read is named with the remedy, and the other files are read."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "maillog.0").write_bytes(begin + b"rest")
    (tmp_path / "maillog").write_bytes(b"wanted\n")
    errors: list[str] = []
    assert found(tmp_path / "maillog", on_error=errors.append) == [b"wanted"]
    assert errors == [f"{tmp_path}/maillog.0: {words}"]


def test_a_pipe_is_refused() -> None:
    """A pipe can be read once only, and a trace reads its logs several times."""
    reading, writing = os.pipe()
    errors: list[str] = []
    assert found(Path(f"/dev/fd/{reading}"), on_error=errors.append) == []
    os.close(reading)
    os.close(writing)
    assert [": is not a regular file, " in error for error in errors] == [True]


def test_files_that_are_not_read_are_known(tmp_path: Path) -> None:
    """A file that has not the name of a rotated log is not read, and is known by its name."""
    for name in ("maillog", "maillog.0", "maillog.bak", "other"):
        (tmp_path / name).write_bytes(b"wanted\n")
    assert Logs([tmp_path / "maillog"], journal=False).passed_over == [tmp_path / "maillog.bak"]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the list of the folder no rotated file is found, so one line reports it."""
    (tmp_path / "maillog").write_bytes(b"wanted\n")

    def refused(_folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    errors: list[str] = []
    assert found(tmp_path / "maillog", on_error=errors.append) == [b"wanted"]
    assert errors == [f"{tmp_path}: rotated files cannot be found: Permission denied"]


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    """The rotated file is found with its log."""
    for name in ("maillog", "maillog.0"):
        (tmp_path / name).write_bytes(b"wanted\n")
    assert found(tmp_path / "maillog", tmp_path / "maillog.0") == [b"wanted"] * 2


def test_lines_over_block_borders(tmp_path: Path) -> None:
    """Each line is found once and complete across block borders; the last one may lack its end."""
    file = tmp_path / "log"
    lines = [b"wanted %d " % number + b"x" * (number % 3000) for number in range(3000)]
    file.write_bytes(b"\n".join(lines))
    assert file.stat().st_size > 3 * BLOCK
    assert found(file) == lines


def test_the_rest_of_a_long_line_is_left_out(tmp_path: Path) -> None:
    """The rest of a line that is too long is not a separate line."""
    file = tmp_path / "log"
    file.write_bytes(b"x" * (BLOCK + LINE_LIMIT) + b"wanted forged\nwanted\n")
    assert found(file) == [b"wanted"]


def test_progress_is_in_bytes_of_the_files(tmp_path: Path) -> None:
    """Each reading reports the bytes of the files from 0 to their size."""
    (tmp_path / "log").write_bytes(b"line\n" * 1_000_000)
    (tmp_path / "log.1").write_bytes(gzip.compress(b"line\n" * 1_000_000))
    logs = Logs([tmp_path / "log"], journal=False)
    progress: list[int] = []
    logs.on_progress = progress.append
    for _ in range(2):
        progress.clear()
        assert list(logs.matching([b"none"])) == []
        assert progress == sorted(progress)
        assert progress[-1] == logs.size


def test_exported_entries_are_lines() -> None:
    """An export may be a file; a line feed within a message does not begin a line."""
    lines = found(GOLDEN / "journal.export", text=b"6AMG9FSt004502: ")
    assert len(lines) == 2
    assert lines[0].startswith(b"2026-11-22T16:16:40.543894+00:00 mx sm-mta[4502]: 6AMG9FSt004502: from=")
    assert lines[1].endswith(b"Sent \x1b[31m caf\xe9 Nov 22 16:09:15 mx sm-mta[1]: 6AMG9FSt004502: forged")


def test_a_cut_export_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """An export that begins anywhere is read to its end."""
    file = tmp_path / "export"
    for cut in range(0, 2600, 97):
        file.write_bytes((GOLDEN / "journal.export").read_bytes()[-cut:])
        found(file, text=b"6AMG")


def test_the_journal_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journalctl prints the mail facility and miltscan's own lines, and ends when the reading ends early."""
    program = tmp_path / "journalctl"
    program.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\ncat {GOLDEN}/journal.export\nexec sleep 600\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    lines = Logs([], journal=True).matching([b"6AMG9F89004499: from="])
    assert next(iter(lines)).endswith(b"relay=localhost [127.0.0.1]")
    lines.close()  # type: ignore[attr-defined]  # an Iterator that is a generator
    asked = (tmp_path / "asked").read_text().split()
    assert {"--output=export", "SYSLOG_FACILITY=2", "SYSLOG_IDENTIFIER=miltscan", "+"} < {*asked}


def test_without_journalctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing journalctl is one error, and no line is read."""
    monkeypatch.setenv("PATH", str(tmp_path))
    errors: list[str] = []
    assert list(Logs([], journal=True, on_error=errors.append).matching([b"x"])) == []
    assert errors == ["journalctl: cannot be started: No such file or directory"]
    assert not logfiles.has_journal()


def test_a_journal_without_a_readable_file_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without files is no journal, and neither is one whose files this user may not read."""
    monkeypatch.setattr(logfiles, "JOURNALS", (tmp_path / "absent", tmp_path))
    monkeypatch.setattr(shutil, "which", str)
    machine = tmp_path / "0123"
    machine.mkdir()
    (machine / "user-1000.journal").touch()
    assert not logfiles.has_journal()
    (machine / "system.journal").touch()
    assert logfiles.has_journal()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert not logfiles.has_journal()


MEASURED = """
import resource, sys
from miltscan.sandwich.logfiles import Logs
from miltscan.trace.follow import find
from datetime import UTC, datetime
from pathlib import Path
found = find("6AMG4FAU000007", Logs([Path(sys.argv[1])], journal=False).matching, datetime.now(UTC)).traces
print(len(found), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_memory_does_not_grow_with_the_log(tmp_path: Path, *, compressed: bool) -> None:
    """The trace of a message in 50 MB takes at most 8 MiB more than in 1 MB."""
    line = (
        "Nov 22 16:04:15 mx incoming[1]: 6AMG4FAU{:06}: from=<a@b>, size=1, class=0, nrcpts=1, msgid=<x{}@y>, relay=z\n"
    )
    kilobytes = []
    for lines in (10_000, 500_000):
        file = tmp_path / f"log{lines}"
        with gzip.open(file, "wt", compresslevel=1) if compressed else file.open("w") as output:
            output.writelines(line.format(number, number) for number in range(lines))
        result = subprocess.run([sys.executable, "-c", MEASURED, file], check=True, capture_output=True, text=True)
        number, used = result.stdout.split()
        assert number == "1"
        kilobytes.append(int(used))
        file.unlink()
    assert kilobytes[1] - kilobytes[0] < 8 * 1024
