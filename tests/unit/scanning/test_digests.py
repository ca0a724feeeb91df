"""What of a message is hashed for the archive: each part as it is decoded, whatever the scan has seen of it."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from miltscan.core.message import PREFACE
from miltscan.core.structure import Structure
from miltscan.core.verdict import Fault, Outcome, Verdict
from miltscan.errors import MtaGoneError
from miltscan.scanning import unwrapping
from miltscan.scanning.digests import PartDigests
from miltscan.scanning.spool import Spool
from miltscan.scanning.unwrapping import Unwrapped, Unwrapping
from tests.fakes.messages import message
from tests.fakes.zips import plain
from tests.unit.scanning.test_unwrapping import HIDDEN, VIRUS, Scanner, infected, joined, later, mixed, nothing

FIRST, SECOND = b"the first attachment", b"the second attachment"


def digest(content: bytes) -> bytes:
    """Its SHA-256."""
    return hashlib.sha256(content).digest()


def b64(content: bytes) -> bytes:
    """In base64, as one line."""
    return base64.b64encode(content)


@pytest.fixture
def unwrapped(tmp_path: Path) -> Callable[..., Unwrapped]:
    """A function that makes a message of bytes, whose parts are hashed unless that is switched off."""

    def made(data: bytes, *, parts: int = 50, digests: bool = True) -> Unwrapped:
        spool = Spool(tmp_path, 1 << 20)
        spool.write(PREFACE + data)
        mail = message(content=spool, size=len(data))
        return Unwrapping(tmp_path, 1 << 20, parts, 1 << 20, 0, digests=digests).of(mail)

    return made


def known(mail: Unwrapped, engine: Scanner, outcome: Outcome = Outcome.CLEAN) -> Structure:
    """The structure after a scan with this outcome."""
    assert mail.scan(engine, later(), nothing).outcome is outcome
    structure, fault = mail.known(nothing)
    assert structure
    assert fault is None
    return structure


def test_each_part_is_hashed_as_it_is_decoded(unwrapped: Callable[..., Unwrapped]) -> None:
    """First the message; a plain one is scanned as a whole only."""
    data, engine = mixed(b64(FIRST), b64(SECOND), b64(FIRST)), Scanner()
    structure = known(unwrapped(data), engine)
    assert structure.digests == (digest(data), digest(FIRST), digest(SECOND))
    assert structure.detected == ()
    assert len(engine.seen) == 1


def test_what_was_copied_is_not_hashed_again(
    unwrapped: Callable[..., Unwrapped], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a message that can be read in several ways each part has been copied for its scan."""
    monkeypatch.setattr(PartDigests, "of", lambda self, *_: tuple(self._known))
    assert (
        digest(b"ab" + VIRUS.replace(b"VIRUS", b"thing"))
        in known(unwrapped(mixed(joined(b"ab", VIRUS.replace(b"VIRUS", b"thing")))), Scanner()).digests
    )


def test_what_lies_within_a_zip_is_hashed_where_it_was_looked_at(unwrapped: Callable[..., Unwrapped]) -> None:
    """A zip in a zip is copied to be looked into."""
    inner = plain(data=FIRST)
    assert digest(inner) in known(unwrapped(mixed(b64(plain(b"a.zip", inner)))), Scanner()).digests


def test_without_an_archive_nothing_is_hashed(unwrapped: Callable[..., Unwrapped]) -> None:
    """And the message costs what it did."""
    mail = unwrapped(mixed(b64(FIRST)), digests=False)
    assert mail.digests is None
    assert known(mail, Scanner()).digests == ()


def test_a_detection_names_its_part(unwrapped: Callable[..., Unwrapped]) -> None:
    """An engine that sees it in the whole message is asked about the parts, and the verdict stays its own."""
    data, engine = mixed(b64(FIRST), b64(VIRUS)), Scanner(VIRUS=infected(), multipart=infected())
    mail = unwrapped(data)
    assert mail.scan(engine, later(), nothing) == infected()
    structure, _ = mail.known(nothing)
    assert structure
    assert (structure.digests[0], structure.detected) == (digest(data), (digest(VIRUS),))


def test_a_detection_in_a_part_alone(unwrapped: Callable[..., Unwrapped]) -> None:
    """Its digest is the one that was detected."""
    assert known(unwrapped(HIDDEN), Scanner(), Outcome.INFECTED).detected == (digest(b"ab" + VIRUS),)


def test_mail_that_no_engine_could_scan_is_hashed(unwrapped: Callable[..., Unwrapped]) -> None:
    """A policy may accept it: its recipients are those who should be found later."""
    engine = Scanner(multipart=Verdict.error("fake", Fault.CLOSED))
    assert digest(FIRST) in known(unwrapped(mixed(b64(FIRST))), engine, Outcome.ERROR).digests


def test_the_number_of_parts_is_bounded(unwrapped: Callable[..., Unwrapped]) -> None:
    """As for parts that are scanned; attachments come before texts, and an empty part is none."""
    data = mixed(b"", *(b64(b"attachment %d" % number) for number in range(9)))
    text = data.replace(b"--b\r\n", b"--b\r\nContent-Type: text/plain\r\n\r\nHello.\r\n--b\r\n", 1)
    found = known(unwrapped(text, parts=9), Scanner()).digests
    assert len(found) == 10
    assert digest(b"attachment 8") in found
    assert digest(b"") not in found


def test_a_message_that_cannot_be_hashed_passes(
    unwrapped: Callable[..., Unwrapped], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive does without it. Where the MTA has gone, the scan ends as always."""

    def fails(*_: object) -> None:
        raise OSError("the disk of the spool")

    monkeypatch.setattr(PartDigests, "of", fails)
    assert known(unwrapped(mixed(b64(FIRST))), Scanner()).digests == ()

    def gone(*_: object) -> None:
        raise MtaGoneError

    monkeypatch.setattr(PartDigests, "of", gone)
    mail = unwrapped(mixed(b64(FIRST)))
    mail.scan(Scanner(), later(), nothing)
    with pytest.raises(MtaGoneError):
        mail.known(nothing)


def test_a_reader_that_fails_changes_no_detection(
    unwrapped: Callable[..., Unwrapped], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message was detected as a whole, and is refused whether its parts can be read or not."""

    def fails(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(unwrapping, "read_message", fails)
    mail = unwrapped(mixed(b64(VIRUS)))
    assert mail.scan(Scanner(multipart=infected()), later(), nothing) == infected()
    assert mail.known(nothing)[1] is None
    assert replace(infected(), part="1") != infected()
