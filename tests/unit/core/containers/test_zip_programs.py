"""Zips of 7-Zip and Info-ZIP, by every method that they have: each member is read whole."""

import shutil
import subprocess
from collections.abc import Sequence
from hashlib import shake_128
from pathlib import Path

import pytest

from miltscan.core.anomalies import ZipAnomaly
from miltscan.core.containers.budget import Budget, ContainerBounds
from miltscan.core.containers.decompress import Piece, decompress
from miltscan.core.containers.zip import read_zip

FILES = {
    "folder/noise": shake_128(b"noise").digest(70_000),
    "grüße.txt": "Grüße\n".encode() * 40,
    "text.txt": b"a line of text\n" * 9000,
}
SEVEN_ZIP = ["7zz", "a", "-tzip", "-bd"]
COMMANDS = {
    "stored": [*SEVEN_ZIP, "-mm=Copy", "../out.zip", "."],
    "deflate": [*SEVEN_ZIP, "-mm=Deflate", "../out.zip", "."],
    "bzip2": [*SEVEN_ZIP, "-mm=BZip2", "../out.zip", "."],
    "lzma": [*SEVEN_ZIP, "-mm=LZMA", "../out.zip", "."],
    "lzma with a large dictionary": [*SEVEN_ZIP, "-mm=LZMA", "-mx=9", "-md=128m", "../out.zip", "."],
    "xz": [*SEVEN_ZIP, "-mm=XZ", "../out.zip", "."],
    "info-zip": ["zip", "-qr", "../out.zip", "."],
    "info-zip, bzip2": ["zip", "-qr", "-Z", "bzip2", "../out.zip", "."],
    "info-zip, zip64": ["zip", "-qr", "-fz", "../out.zip", "."],
    "info-zip, into a pipe": ["sh", "-c", "zip -qr - . | cat >../out.zip"],
}
needs_programs = pytest.mark.skipif(not (shutil.which("7zz") and shutil.which("zip")), reason="7zip or zip is missing")


def made(folder: Path, command: Sequence[str]) -> bytes:
    """The archive that a command makes of FILES."""
    for name, data in FILES.items():
        file = folder / "in" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    subprocess.run(command, cwd=folder / "in", check=True, stdout=subprocess.DEVNULL)
    return (folder / "out.zip").read_bytes()


@needs_programs
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_an_archive_is_read_whole(tmp_path: Path, command: Sequence[str]) -> None:
    """One reading for each file, with its name and content, and nothing odd."""
    raw = made(tmp_path, command)
    archive = read_zip(raw)
    budget = Budget(ContainerBounds(), len(raw))
    found: dict[str, list[Piece]] = {}
    for member in archive.members:
        for reading in member.readings:
            found[member.names[-1].decode()] = [*decompress(reading, budget)]
    assert {name: b"".join(pieces) for name, pieces in found.items()} == FILES  # type: ignore[arg-type] # no fault
    assert archive.anomalies == frozenset()


@needs_programs
@pytest.mark.parametrize("method", ["PPMd", "Deflate64"])
def test_a_method_that_is_not_read_is_named(tmp_path: Path, method: str) -> None:
    """Another program has to read such members."""
    archive = read_zip(made(tmp_path, [*SEVEN_ZIP, f"-mm={method}", "../out.zip", "."]))
    assert archive.anomalies == {ZipAnomaly.METHOD_UNKNOWN}
    assert "text.txt" in [member.names[-1].decode() for member in archive.members if member.anomalies]


@needs_programs
@pytest.mark.parametrize("method", ["ZipCrypto", "AES256"])
def test_encryption_is_named(tmp_path: Path, method: str) -> None:
    """Of each member, by both methods."""
    archive = read_zip(made(tmp_path, [*SEVEN_ZIP, "-psecret", f"-mem={method}", "../out.zip", *FILES]))
    assert [member.encrypted for member in archive.members] == [True] * len(FILES)
    assert archive.anomalies == frozenset()
