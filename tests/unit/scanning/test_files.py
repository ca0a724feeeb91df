"""The files in a message as rules see them: names, types, and those in zips."""

import base64
import io
import time
import tracemalloc
import zipfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from miltscan.core.containers.budget import Budget, ContainerBounds
from miltscan.core.file_types import FileType
from miltscan.core.mime.part import Bounds
from miltscan.core.mime.reader import read_message
from miltscan.scanning.files import MessageFiles, copy_part
from miltscan.scanning.spool import Spool

PE = b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0" + bytes(20)


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip with these files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def files_of(folder: Path, name: str, content: bytes) -> list[tuple[tuple[str, ...], FileType]]:
    """Names and types of the files in a mail with this one attachment."""
    made, data = message_files(folder, name, content)
    return [(one.names, one.type) for one in made.of(read_message(data, Bounds(time.thread_time)))]


def message_files(folder: Path, name: str, content: bytes) -> tuple[MessageFiles, bytes]:
    """A reader of a mail with this attachment, and the mail."""
    data = (
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n"
        + f'--b\r\nContent-Type: application/octet-stream; name="{name}"\r\n'.encode()
        + b"Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(content).replace(b"\n", b"\r\n")
        + b"--b--\r\n"
    )
    bounds = ContainerBounds()
    return MessageFiles(folder, 1000, bounds, Budget(bounds, len(data))), data


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("photo.png", PE, [(("photo.png",), FileType.EXE)]),
        ("a.zip", zipped({"b.exe": PE}), [(("a.zip",), FileType.ZIP), (("b.exe",), FileType.EXE)]),
        ("a.bin", zipped({"b.exe": PE}), [(("a.bin",), FileType.ZIP), (("b.exe",), FileType.EXE)]),
        (
            "a.zip",
            b"junk" * 100 + zipped({"b.exe": PE}, zipfile.ZIP_LZMA),
            [(("a.zip",), FileType.UNKNOWN), (("b.exe",), FileType.EXE)],
        ),
        (
            "a.zip",
            zipped({"b.zip": zipped({"c.exe": PE})}),
            [(("a.zip",), FileType.ZIP), (("b.zip",), FileType.ZIP), (("c.exe",), FileType.EXE)],
        ),
        (
            "a.docx",
            zipped({"[Content_Types].xml": b"<xml/>", "word/document.xml": b"<xml/>"}),
            [(("a.docx",), FileType.OOXML)],
        ),
    ],
    ids=["program", "zip", "zip by another name", "zip behind junk", "zip in a zip", "document"],
)
def test_the_files_in_a_message(
    tmp_path: Path, name: str, content: bytes, expected: list[tuple[tuple[str, ...], FileType]]
) -> None:
    """Text without a name is none; a zip has the files in it, also those of zips in it."""
    found = files_of(tmp_path, name, content)
    assert found[: len(expected)] == expected
    assert len(found) == len(expected) or expected[0][1] is FileType.OOXML


def test_zips_within_each_other_have_an_end(tmp_path: Path) -> None:
    """Names are looked for in four zips within each other."""
    content = PE
    for number in range(9):
        content = zipped({f"{number}.zip": content})
    assert len(files_of(tmp_path, "a.zip", content)) == 6


@pytest.mark.parametrize(("files", "unseen"), [(999, False), (1000, True)])
def test_what_rules_do_not_see_is_noted(tmp_path: Path, files: int, unseen: bool) -> None:  # noqa: FBT001 - a table
    """A rule can refuse a message of which a bound hides something; the zip itself is one of the files."""
    made, data = message_files(tmp_path, "a.zip", zipped({str(number): b"x" for number in range(files)}))
    assert len([*made.of(read_message(data, Bounds(time.thread_time)))]) == 1000
    assert made.unseen is unseen


def test_many_files_have_an_end(tmp_path: Path) -> None:
    """A message with thousands of them costs no more than with a thousand."""
    assert len(files_of(tmp_path, "a.zip", zipped({str(number): b"x" for number in range(1500)}))) == 1000


def test_a_large_part_is_not_copied_in_memory(tmp_path: Path) -> None:
    """What is not encoded goes from the message to its own file as it is."""
    content = memoryview(bytes(20 << 20))
    budget = Budget(ContainerBounds(), len(content))
    with closing(Spool(tmp_path, 1 << 20)) as spool:
        tracemalloc.start()
        try:
            _, fault = copy_part(iter((content,)), spool, budget)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert (fault, spool.size) == (None, len(content))
    assert peak < 1 << 20
