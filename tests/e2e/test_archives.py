"""Archives that clamd does not open, through both sendmails, with the real 7-Zip; and archives with a password."""

import bz2
import gzip
import io
import lzma
import shutil
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from hashlib import shake_128
from pathlib import Path
from struct import pack
from typing import NamedTuple

import psutil
import pytest

from miltscan.engines.clamd.canary import rar_sample
from tests.fakes.archives import (
    as_alone,
    as_ar,
    as_lzh,
    as_lzip,
    as_lzw,
    as_zstd,
    rewritten_7z,
    with_bzip2_header,
    zstd_zeros,
)
from tests.fakes.eicar import EICAR
from tests.harness import messages
from tests.harness.client import Reply, new_message_id
from tests.harness.jsonlog import LogLine
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import PATIENCE, wait_until

FILE = (
    b"The quick brown fox jumps over the lazy dog. " * 40
    + EICAR
    + b"The lazy dog jumps over the quick brown fox. " * 40
)
INFECTED = "550 5.7.1 Virus found: "
BEYOND = "550 5.7.1 Message not scanned: it exceeds a limit of the engine"
WORD = "Gruen-7!"
UMLAUTS = "Grün-7!"
pytestmark = pytest.mark.skipif(not shutil.which("7zz"), reason="7zip is missing")


def seven_zip(folder: Path, *arguments: str, content: bytes = FILE, files: Sequence[str] = ("file.bin",)) -> bytes:
    """An archive that 7-Zip makes."""
    (folder / "in").mkdir(exist_ok=True)
    (folder / "out.bin").unlink(missing_ok=True)
    for name in files:
        (folder / "in" / name).write_bytes(content)
    command = ["7zz", "a", "-bd", *arguments, "../out.bin", *files]
    subprocess.run(command, cwd=folder / "in", check=True, stdout=subprocess.DEVNULL)
    return (folder / "out.bin").read_bytes()


def tar_xz(content: bytes) -> bytes:
    """A compressed tar, as it is in a Debian package."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:xz") as tar:
        member = tarfile.TarInfo("./usr/bin/program")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def zipped(content: bytes) -> bytes:
    """A zip with this file."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.bin", content)
    return made.getvalue()


def with_wrong_checksum(data: bytes, header: bytes) -> tuple[bytes, bytes]:
    """The header of a 7z where FILE has another checksum; 7-Zip extracts it all the same."""
    return data, header.replace(pack("<I", zlib.crc32(FILE)), b"\1\2\3\4")


def without_checksum(folder: Path) -> bytes:
    """A 7z of two files with different passwords; WORD is not that of the infected one, which has no checksum."""
    (folder / "a").write_bytes(b"harmless")
    (folder / "b").write_bytes(FILE)
    for password, name in ((WORD, "a"), ("never-told", "b")):
        command = ["7zz", "a", "-bd", "-t7z", "-mhc=off", "-m0=Copy", f"-p{password}", "two.7z", name]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    known, hidden = (pack("<I", zlib.crc32(one)) for one in (b"harmless", FILE))
    both, first = b"\x0a\x01" + known + hidden, b"\x0a\0\x80" + known
    archive = (folder / "two.7z").read_bytes()
    assert both in archive
    return rewritten_7z(archive, lambda data, header: (data, header.replace(both, first)))


class Sent(NamedTuple):
    """The reply to a message, and its log line."""

    reply: Reply
    line: LogLine


Made = Callable[[Path], bytes]
ARCHIVES: dict[str, tuple[Made, str]] = {
    "7z, Deflate": (lambda folder: seven_zip(folder, "-t7z", "-m0=Deflate"), "2/7z:0"),
    "7z, Deflate64": (lambda folder: seven_zip(folder, "-t7z", "-m0=Deflate64"), "2/7z:0"),
    "7z, BZip2": (lambda folder: seven_zip(folder, "-t7z", "-m0=BZip2"), "2/7z:0"),
    "7z, Delta": (lambda folder: seven_zip(folder, "-t7z", "-m0=Delta:4", "-m1=LZMA"), "2/7z:0"),
    "7z, Swap": (lambda folder: seven_zip(folder, "-t7z", "-m0=Swap4", "-m1=LZMA"), "2/7z:0"),
    "7z, ARM64": (lambda folder: seven_zip(folder, "-t7z", "-m0=ARM64", "-m1=LZMA2"), "2/7z:0"),
    "7z, wrong checksum": (
        lambda folder: rewritten_7z(seven_zip(folder, "-t7z", "-mhc=off"), with_wrong_checksum),
        "2/7z:0",
    ),
    "7z, BZip2 for the list": (
        lambda folder: rewritten_7z(seven_zip(folder, "-t7z", "-mhc=off"), with_bzip2_header),
        "2/7z:0",
    ),
    "7z that extracts itself": (
        lambda folder: b"MZ" + bytes(70_000) + seven_zip(folder, "-t7z", "-m0=Deflate64"),
        "2/sfx:0/7z:0",
    ),
    "zip, PPMd": (lambda folder: seven_zip(folder, "-tzip", "-mm=PPMd"), "2/zip:0"),
    "zip, LZMA": (lambda folder: seven_zip(folder, "-tzip", "-mm=LZMA"), "2/zip:0"),
    "zip, xz": (lambda folder: seven_zip(folder, "-tzip", "-mm=XZ"), "2/zip:0"),
    "lzma": (lambda _: as_alone(FILE), "2/lzma:0"),
    "lzma -9": (lambda _: lzma.compress(FILE, lzma.FORMAT_ALONE, preset=9), "2/lzma:0"),
    "lz, in its second member": (lambda _: as_lzip(b"first", FILE), "2/lzma:0"),
    "zst": (lambda _: as_zstd(lzma.compress(FILE)), "2/zstd:0"),
    "Z": (lambda _: as_lzw(FILE), "2/z:0"),
    "deb": (lambda _: as_ar(b"2.0\n", tar_xz(b"control"), tar_xz(FILE)), "2/ar:2"),
    "bz2, in its second stream": (lambda _: bz2.compress(b"first") + bz2.compress(FILE), "2/bz2:0"),
    "lz in a tar.xz.gz": (lambda _: gzip.compress(tar_xz(as_lzip(FILE))), "2/gz:0/xz:0/tar:0/lzma:0"),
    "zst in a zip": (lambda _: zipped(as_zstd(lzma.compress(FILE))), "2/zip:0/zstd:0"),
    "7z in zst in lzma": (
        lambda folder: as_alone(as_zstd(seven_zip(folder, "-t7z", "-m0=BZip2"))),
        "2/lzma:0/zstd:0/7z:0",
    ),
}
"""How each is made, and the part in which EICAR is found."""
BCJ2 = ("-m0=BCJ2", "-m1=LZMA", "-m2=LZMA", "-m3=LZMA", "-mb0:1", "-mb0s1:2", "-mb0s2:3")
OPENED_BY_CLAMD: dict[str, Made] = {
    "7z, LZMA2": lambda folder: seven_zip(folder, "-t7z", "-m0=LZMA2"),
    "7z, PPMd": lambda folder: seven_zip(folder, "-t7z", "-m0=PPMd"),
    "7z, BCJ2": lambda folder: seven_zip(folder, "-t7z", *BCJ2),
    "wim": lambda folder: seven_zip(folder, "-twim"),
    "gz": lambda folder: seven_zip(folder, "-tgzip"),
    "lzh": lambda _: as_lzh(lzma.compress(FILE)),
}
PASSWORDS: dict[str, tuple[str, ...]] = {
    "zip, ZipCrypto": ("-tzip",),
    "zip, AES": ("-tzip", "-mem=AES256"),
    "7z": ("-t7z",),
    "7z, with an encrypted list": ("-t7z", "-mhe=on"),
}


def sent(sandwich: ScanningSandwich, content: bytes, text: str = "See the file.", kind: str = "plain") -> Sent:
    """Send a message with an attachment."""
    mail = messages.with_attachment("A file", content)
    body = mail.get_body(("plain",))
    assert body is not None
    body.set_content(text, subtype=kind)
    del mail["Message-ID"]
    mail["Message-ID"] = name = new_message_id()
    return Sent(sandwich.send(messages.as_wire(mail)), sandwich.miltscan.wait_for_message(message_id=name))


@pytest.mark.parametrize("name", ARCHIVES)
def test_what_is_within_is_found(sandwich: ScanningSandwich, tmp_path: Path, name: str) -> None:
    """Though clamd replies OK to the message; the log names the part."""
    make, part = ARCHIVES[name]
    reply, line = sent(sandwich, make(tmp_path))
    assert str(reply).startswith(INFECTED)
    assert line["part"] == part


@pytest.mark.parametrize("name", OPENED_BY_CLAMD)
def test_what_clamd_opens_is_left_to_it(sandwich: ScanningSandwich, tmp_path: Path, name: str) -> None:
    """It finds EICAR in the message as it is. Where it no longer does, the list of such methods is wrong."""
    reply, line = sent(sandwich, OPENED_BY_CLAMD[name](tmp_path))
    assert str(reply).startswith(INFECTED)
    assert line["part"] is None


@pytest.mark.parametrize("name", PASSWORDS)
@pytest.mark.parametrize(
    ("text", "kind"),
    [(f"Ihr Passwort lautet: {WORD}", "plain"), (f"<p>Passwort:</p><p><b>{WORD}</b></p>", "html")],
    ids=["text", "html"],
)
def test_a_password_in_the_text(sandwich: ScanningSandwich, tmp_path: Path, name: str, text: str, kind: str) -> None:
    """It opens the archive: a virus is found, and what is clean is not unscanned any more."""
    infected = sent(sandwich, seven_zip(tmp_path, *PASSWORDS[name], f"-p{WORD}"), text, kind)
    assert str(infected.reply).startswith(INFECTED)
    assert infected.line["part"].startswith("2/")
    clean = sent(sandwich, seven_zip(tmp_path, *PASSWORDS[name], f"-p{WORD}", content=b"harmless"), text, kind)
    assert (clean.reply.code, clean.line["outcome"]) == (250, "clean")


@pytest.mark.parametrize("name", PASSWORDS)
def test_no_password_in_the_text(sandwich: ScanningSandwich, tmp_path: Path, name: str) -> None:
    """The message stays unscanned, with the reason `encrypted`."""
    archive = seven_zip(tmp_path, *PASSWORDS[name], f"-p{WORD}")
    reply, line = sent(sandwich, archive, "Das Passwort ist wie immer.")
    assert (reply.code, line["outcome"], line["reason"]) == (250, "unscanned", "encrypted")


def test_a_password_that_nothing_proves(sandwich: ScanningSandwich, tmp_path: Path) -> None:
    """It opens a 7z in which a file has no checksum only seemingly: the message stays unscanned."""
    reply, line = sent(sandwich, without_checksum(tmp_path), f"Passwort: {WORD}")
    assert (reply.code, line["outcome"], line["reason"]) == (250, "unscanned", "encrypted")


def test_a_rar_that_clamd_does_not_open(sandwich: ScanningSandwich) -> None:
    """Without libclamunrar its reply is OK; miltscan does not believe it, wherever the rar is."""
    rar = rar_sample(EICAR)
    for archive, part in ((rar, "2"), (gzip.compress(rar), "2/gz:0"), (b"MZ" + bytes(70_000) + rar, "2")):
        reply, line = sent(sandwich, archive)
        if line["outcome"] == "infected":
            pytest.skip("this clamd has libclamunrar")
        assert str(reply).startswith(BEYOND)
        assert line["engines"][0]["detail"].startswith(f"part {part}: a rar, which clamd at ")


BOMBS: dict[str, Made] = {
    "zst of 1 GB": lambda _: zstd_zeros(1 << 30),
    "zst of 1 GB in a zip": lambda _: zipped(zstd_zeros(1 << 30)),
    "zst of 1 GB in a 7z": lambda folder: seven_zip(folder, "-t7z", "-m0=BZip2", content=zstd_zeros(1 << 30)),
    "7z of 300 MB": lambda folder: seven_zip(folder, "-t7z", "-m0=LZMA:d=64m:a=0", content=bytes(300 << 20)),
    "lzma of 300 MB": lambda _: lzma.compress(bytes(300 << 20), lzma.FORMAT_ALONE, preset=0),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_bounded(sandwich: ScanningSandwich, tmp_path: Path, name: str) -> None:
    """The message exceeds a limit, and the next one is scanned."""
    assert str(sent(sandwich, BOMBS[name](tmp_path)).reply).startswith(BEYOND)
    assert sent(sandwich, b"harmless").reply.code == 250


@pytest.mark.parametrize(
    ("method", "part"), [("LZMA2", None), ("BZip2", "2/7z:0-599")], ids=["opened by clamd", "not opened by clamd"]
)
def test_an_archive_of_many_files(sandwich: ScanningSandwich, tmp_path: Path, method: str, part: str | None) -> None:
    """There may be more than mime.parts, clean or not."""
    names = [f"{number}" for number in range(600)]
    make = partial(seven_zip, tmp_path, "-t7z", f"-m0={method}", files=names)
    assert sent(sandwich, make(content=b"harmless")).reply.code == 250
    reply, line = sent(sandwich, make())
    assert str(reply).startswith(INFECTED)
    assert line["part"] == part


@pytest.mark.parametrize("code", ["utf-8", "cp1252", "cp850", "7z"])
def test_a_password_with_umlauts(sandwich: ScanningSandwich, tmp_path: Path, code: str) -> None:
    """Of a zip it is in any of the codes that programs use (7-Zip itself makes no such zip)."""
    if code == "7z":
        archive = seven_zip(tmp_path, "-t7z", f"-p{UMLAUTS}")
    else:
        (tmp_path / "file.bin").write_bytes(FILE)
        command = [b"zip", b"-q", b"-P", UMLAUTS.encode(code), b"out.zip", b"file.bin"]
        subprocess.run(command, cwd=tmp_path, check=True)
        archive = (tmp_path / "out.zip").read_bytes()
    reply, _ = sent(sandwich, archive, f"<b>Passwort:</b> {UMLAUTS.replace('ü', '&uuml;')}", "html")
    assert str(reply).startswith(INFECTED)


def test_a_killed_program_costs_one_message(sandwich: ScanningSandwich, tmp_path: Path) -> None:
    """Its part is not scanned, and the log has the reason; the next archive is opened by another process."""
    slow = seven_zip(tmp_path, "-t7z", "-m0=BZip2", content=shake_128(b"noise").digest(16 << 20))

    def killed() -> bool:
        for child in (child for worker in sandwich.miltscan.workers() for child in worker.children()):
            with suppress(psutil.NoSuchProcess):
                if "-so" in child.cmdline():  # it writes the content, which takes a second
                    child.kill()
                    return True
        return False

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(sent, sandwich, slow)
        wait_until(killed, PATIENCE, "7-Zip at work")
        reply, line = sending.result()
    assert str(reply).startswith(BEYOND)
    assert line["engines"][0]["detail"] == "part 2: 7-Zip was ended by signal 9"
    assert sent(sandwich, slow).line["outcome"] == "clean"
