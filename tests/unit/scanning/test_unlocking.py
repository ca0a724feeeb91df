"""Messages with archives that another program opens: which verdict remains, and what rules see of them."""

import base64
import io
import os
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import pytest

from miltscan.core.containers.tar import as_tar
from miltscan.core.file_types import FileType
from miltscan.core.message import PREFACE, Message
from miltscan.core.verdict import Limit, Verdict
from miltscan.engines.base import Tick
from miltscan.errors import MtaGoneError
from miltscan.scanning.spool import Spool
from miltscan.scanning.unpacking import Unpacking
from miltscan.scanning.unwrapping import Unwrapped, Unwrapping
from miltscan.unpacker import seven_zip
from tests.fakes.archives import as_zstd
from tests.fakes.messages import message
from tests.fakes.seven_zip import RULER, WRONG, FakeSevenZip, Played, listed
from tests.fakes.zips import Fields, central, closed, local

CLEAN = Verdict.clean("fake")
SEALED = Verdict.unscanned("fake", Limit.ENCRYPTED, "Heuristics.Encrypted.Zip")
INFECTED = Verdict.infected("fake", "Test.Virus")
SEALED_MARK = base64.b64encode(b"PK\3")
"""How a zip in a message often begins."""
FIELDS = Fields(flags=1, packed=20, size=8)
ZIP = closed(local(FIELDS) + b"sealed by a password", central(FIELDS))
OPENED = {("t", "geheim"): Played(), ("l", "geheim"): listed(8)}


class SealedScanner:
    """An engine that sees no further than a zip, and finds a word in what it is given."""

    name = "fake"
    required = True

    def scan(self, mail: Message, _deadline: float, _tick: Tick) -> Verdict:
        """By the bytes as they are, or in base64."""
        data = os.pread(mail.content.fileno(), 1 << 20, 0)
        if b"VIRUS" in data:
            return INFECTED
        return SEALED if any(one in data for one in (b"PK\3\4", b"SEALED", SEALED_MARK)) else CLEAN


@pytest.fixture
def scanned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Unwrapped]]:
    """A function that makes a message of a text and attachments, to be opened by a script."""
    spools: list[Spool] = []

    def made(
        text: bytes,
        *attachments: bytes,
        plays: object = OPENED,
        passwords: int = 20,
        most: int = 50,
        subject: bytes = b"",
    ) -> Unwrapped:
        monkeypatch.setattr(seven_zip, "Sandboxed", FakeSevenZip(plays))  # type: ignore[arg-type]
        parts = [b"Content-Type: text/plain\r\n\r\n" + text]
        for one in attachments:
            encoded = base64.encodebytes(one).replace(b"\n", b"\r\n")
            parts.append(b"Content-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n" + encoded)
        head = b"Subject: " + subject + b"\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        data = head + b"".join(b"--b\r\n" + one + b"\r\n" for one in parts) + b"--b--\r\n"
        spool = Spool(tmp_path, 1 << 20)
        spools.append(spool)
        spool.write(PREFACE + data)
        unpacking = Unpacking("7zz", tmp_path, 1 << 20)
        unwrapping = Unwrapping(tmp_path, 1 << 20, most, 1 << 20, 0, True, unpacking, passwords)  # noqa: FBT003
        return Unwrapped(unwrapping, message(content=spool, size=len(data)), sampled=False)

    yield made
    for spool in spools:
        spool.close()


def verdict(mail: Unwrapped) -> Verdict:
    """The verdict on it."""
    return mail.scan(SealedScanner(), time.monotonic() + 60, lambda: None)


def test_what_a_word_opens_is_scanned(scanned: Callable[..., Unwrapped]) -> None:
    """If all of it is clean so is the message, and rules know that it was encrypted."""
    mail = scanned(b"Passwort: geheim", ZIP, plays={**OPENED, ("x", "geheim"): Played([b"harmless"])})
    assert verdict(mail) == CLEAN
    assert mail.structure
    assert (mail.structure.encrypted, mail.structure.plain) == (True, False)
    assert "2/zip:0" in [one.path for one in mail.structure.scans]
    assert verdict(mail) == CLEAN  # of the next engine


def test_a_word_of_the_subject_opens(scanned: Callable[..., Unwrapped]) -> None:
    """It may be encoded."""
    plays = {**OPENED, ("x", "geheim"): Played([b"harmless"])}
    assert verdict(scanned(b"see the subject", ZIP, plays=plays, subject=b"=?utf-8?q?PIN:_geheim?=")) == CLEAN
    assert verdict(scanned(b"see the subject", ZIP, plays=plays)).reason is Limit.ENCRYPTED


MANY = {f"{number}.txt": b"%d" % number for number in range(50)}


def zipped(members: Mapping[str, bytes]) -> bytes:
    """A zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


@pytest.mark.parametrize(
    ("members", "words", "most", "part"),
    [
        ({"a.zip": ZIP}, b"geheim", 50, None),
        ({"a.zip": ZIP, "b.txt": b"a text"}, b"geheim", 50, None),
        ({"a.zip": ZIP, "b.pdf": b"SEALED"}, b"geheim", 50, "2/zip:1"),
        ({"a.zip": ZIP}, b"no word helps", 50, ""),
        ({"a.zip": ZIP, **MANY}, b"geheim", 99, "2"),
        ({"a.zip": ZIP, "b.txt": b"a text", "c.txt": b"another text"}, b"geheim", 3, "2"),
        ({"b.pdf": b"SEALED"}, b"geheim", 50, ""),
    ],
)
def test_an_encrypted_zip_in_a_zip(
    scanned: Callable[..., Unwrapped], members: Mapping[str, bytes], words: bytes, most: int, part: str | None
) -> None:
    """Of a zip of few files each tells by itself, so that what a word opens does not count."""
    plays = {**OPENED, ("x", "geheim"): Played([b"harmless"])}
    found = verdict(scanned(words, zipped(members), plays=plays, most=most))
    assert (found.reason, found.part) == ((None, "") if part is None else (Limit.ENCRYPTED, part))


@pytest.mark.parametrize(("data", "part"), [(b"harmless", ""), (b"a VIRUS!", "2/tar:0/zip:0")])
def test_an_encrypted_zip_in_a_tar(scanned: Callable[..., Unwrapped], data: bytes, part: str) -> None:
    """As in a zip."""
    tar = b"".join(as_tar([memoryview(ZIP), memoryview(b"a text")]))
    plays = {**OPENED, ("x", "geheim"): Played([data])}
    found = verdict(scanned(b"geheim", tar, plays=plays, subject=SEALED_MARK))
    assert (found.reason, found.part) == (None, part)


def test_what_is_in_an_encrypted_zip_in_a_zip_is_scanned(scanned: Callable[..., Unwrapped]) -> None:
    """If a word opens it."""
    plays = {**OPENED, ("x", "geheim"): Played([b"a VIRUS!"])}
    assert verdict(scanned(b"Passwort: geheim", zipped({"a.zip": ZIP}), plays=plays)).part == "2/zip:0/zip:0"


def test_a_detection_names_the_part(scanned: Callable[..., Unwrapped]) -> None:
    """It is one of the message."""
    found = verdict(scanned(b"Passwort: geheim", ZIP, plays={**OPENED, ("x", "geheim"): Played([b"a VIRUS!"])}))
    assert (found.signature, found.part) == ("Test.Virus", "2/zip:0")


@pytest.mark.parametrize(
    ("text", "attachments", "passwords", "part"),
    [
        (b"no word helps", (ZIP,), 20, ""),
        (b"Passwort: geheim", (ZIP,), 0, ""),
        (b"Passwort: geheim", (b"another thing that is SEALED", ZIP), 20, "2"),
    ],
)
def test_what_no_word_opens_stays_encrypted(
    scanned: Callable[..., Unwrapped], text: bytes, attachments: tuple[bytes, ...], passwords: int, part: str
) -> None:
    """Also where it is something else than the archive that was opened."""
    plays = {**OPENED, ("x", "geheim"): Played([b"harmless"])}
    found = verdict(scanned(text, *attachments, plays=plays, passwords=passwords))
    assert (found.reason, found.part) == (Limit.ENCRYPTED, part)


def test_a_worse_reason_counts(scanned: Callable[..., Unwrapped]) -> None:
    """What is opened and exceeds a bound is not merely encrypted."""
    found = verdict(scanned(b"Passwort: geheim", ZIP, plays={**OPENED, ("x", "geheim"): Played(broken_off="why")}))
    assert (found.reason, found.detail) == (Limit.LIMITS, "part 2: why")


@pytest.mark.parametrize("archive", [b"7z\xbc\xaf\x27\x1c", b"MSWIM\0\0\0", b"\x1f\x9d\x90"])
def test_plain_mail_with_an_archive_is_looked_into(scanned: Callable[..., Unwrapped], archive: bytes) -> None:
    """All readers agree about it, but the engine does not see what is inside."""
    mail = scanned(b"a text", archive, plays={("l", ""): listed(5), ("x", ""): Played([b"VIRUS"])})
    assert verdict(mail).part.startswith("2/")


def test_without_a_program_archives_are_left_to_the_engine(scanned: Callable[..., Unwrapped]) -> None:
    """As they are without 7-Zip, or with mime.unpack = false."""
    mail = scanned(b"Passwort: geheim", b"7z\xbc\xaf\x27\x1c", ZIP)
    mail.unwrapping = Unwrapping(mail.unwrapping.directory, 1 << 20, 50, 1 << 20, 0, passwords=20)
    assert verdict(mail).reason is Limit.ENCRYPTED


def test_an_archive_about_which_readers_disagree_is_opened_as_well(scanned: Callable[..., Unwrapped]) -> None:
    """What one reading shows is found; that it is clean says nothing about the others."""
    for output, reason in ((b"a VIRUS!", None), (b"harmless", Limit.ENCRYPTED)):
        plays = {**OPENED, ("x", "geheim"): Played([output])}
        assert verdict(scanned(b"Passwort: geheim", b"before it!!!" + ZIP, plays=plays)).reason is reason


def descriptors() -> int:
    """How many this process has open."""
    return len([*Path("/proc/self/fd").iterdir()])


def test_nothing_is_left_open(scanned: Callable[..., Unwrapped]) -> None:
    """Neither by a message that is scanned, nor where the MTA has gone."""

    def gone() -> None:
        raise MtaGoneError

    def attempt(tick: Tick) -> None:
        plays = {("l", ""): listed(5), ("x", ""): Played([b"abcde"])}
        mail = scanned(b"a", b"7z\xbc\xaf\x27\x1c", plays=plays)
        with suppress(MtaGoneError), closing(mail.message.content):  # type: ignore[type-var]
            mail.scan(SealedScanner(), time.monotonic() + 60, tick)

    attempt(lambda: None)  # may leave a memory file for the next one
    before = descriptors()
    for tick in (lambda: None, gone):
        attempt(tick)
    assert descriptors() == before


SEVEN_ZIP = b"7z\xbc\xaf\x27\x1c"
PROGRAM = b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0"
TWO = Played([f"{RULER}{'':26}{len(PROGRAM):>12} {'':14}a/b.exe\n{'':26}{1:>12} {'':14}c.pdf.exe\n{RULER}".encode()])


@pytest.mark.parametrize("scans", [0, 1, 2])
def test_rules_see_the_files_in_an_archive(scanned: Callable[..., Unwrapped], scans: int) -> None:
    """By name and type, each once, also where no engine or several ones were asked."""
    mail = scanned(b"a text", SEVEN_ZIP, plays={("l", ""): TWO, ("x", ""): Played([PROGRAM, b"a"])})
    for _ in range(scans):
        verdict(mail)
    structure, fault = mail.known(lambda: None)
    assert structure
    assert fault is None
    assert [(one.names, one.type) for one in structure.attachments[1:]] == [
        (("a/b.exe",), FileType.EXE),
        (("c.pdf.exe",), FileType.TEXT),
    ]
    assert len(structure.scans) == (2 + 2 if scans == 2 else 2 * scans)
    assert "files-unseen" not in structure.anomalies


def test_rules_know_names_without_content(scanned: Callable[..., Unwrapped]) -> None:
    """If the output does not fit the list, as of an encrypted archive; a .zst has no names."""
    mail = scanned(b"a text", SEVEN_ZIP, plays={("l", ""): TWO, ("x", ""): WRONG})
    structure, _ = mail.known(lambda: None)
    assert structure
    assert [one.names for one in structure.attachments[1:]] == [("a/b.exe",), ("c.pdf.exe",)]
    mail = scanned(b"a text", as_zstd(PROGRAM), plays={("l", ""): listed(None), ("x", ""): Played([PROGRAM])})
    structure, _ = mail.known(lambda: None)
    assert structure
    assert [(one.names, one.type) for one in structure.attachments[1:]] == [((), FileType.EXE)]


def test_files_that_rules_do_not_see(scanned: Callable[..., Unwrapped]) -> None:
    """There are more parts than are scanned by themselves, and that is said."""
    archives = [SEVEN_ZIP + bytes([number]) for number in range(3)]
    mail = scanned(b"a text", *archives, plays={("l", ""): TWO, ("x", ""): Played([PROGRAM, b"a"])}, most=1)
    structure, _ = mail.known(lambda: None)
    assert structure
    assert "files-unseen" in structure.anomalies
