"""Builds sdist and wheel of the project in the working folder: `python distributions.py FOLDER`.

Their bytes depend only on the files and SOURCE_DATE_EPOCH. setuptools heeds it for a wheel; an sdist is a tar with the
times, owners and modes of this checkout, so it is written again.
"""
# ruff: noqa: INP001  a script of deploy/release, which works in another folder

import gzip
import io
import os
import sys
import tarfile
from pathlib import Path

from setuptools import build_meta  # type: ignore[import-untyped]  # it ships no types


def build(folder: Path) -> list[Path]:
    """Build both into the folder; returns their paths."""
    sdist = folder / build_meta.build_sdist(str(folder))
    _normalise(sdist, int(os.environ["SOURCE_DATE_EPOCH"]))
    return [sdist, folder / build_meta.build_wheel(str(folder))]


def _normalise(sdist: Path, time: int) -> None:
    """Write the archive again: sorted, by root, with one time."""
    plain = io.BytesIO()
    with tarfile.open(sdist) as old, tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda one: one.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = time, 0, 0, "root", "root"
            member.pax_headers = {}
            member.mode = 0o755 if member.isdir() else 0o644
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    sdist.write_bytes(gzip.compress(plain.getvalue(), mtime=time))


if __name__ == "__main__":
    for path in build(Path(sys.argv[1]).resolve()):
        print(path.name)  # noqa: T201 - for the person at the terminal
