"""Parts of a message that engines see by themselves, and what becomes of the verdicts on them."""

import base64
import bz2
import gzip
import io
import lzma
import os
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from miltscan.core.containers.tar import as_tar
from miltscan.core.lists import Consultation, Lists
from miltscan.core.message import PREFACE, Message
from miltscan.core.mime.part import Reading
from miltscan.core.verdict import Fault, Limit, Outcome, Verdict
from miltscan.engines.base import Tick
from miltscan.errors import MtaGoneError, SpoolError
from miltscan.scanning import defects, part_scan, rar, turns, unwrapping
from miltscan.scanning.spool import Spool
from miltscan.scanning.unwrapping import Unwrapped, Unwrapping
from tests.fakes.archives import as_ar
from tests.fakes.everyday import MAILS
from tests.fakes.list_entries import listed
from tests.fakes.messages import message

VIRUS = b"this is a VIRUS and it has some length"
CLEAN = Verdict.clean("fake")
PLAIN = b"Subject: a\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nGood morning.\r\n"


class Scanner:
    """An engine that looks for words in the bytes as they are; `seen` is what it was given, `scans` a step at each."""

    name = "fake"
    required = True

    def __init__(self, **words: Verdict) -> None:
        self.words = {name.encode(): verdict for name, verdict in (words or {"VIRUS": infected()}).items()}
        self.seen: list[bytes] = []

    def scan(self, mail: Message, _deadline: float, _tick: Tick) -> Verdict:
        """The verdict by the first word that is there."""
        self.seen.append(os.pread(mail.content.fileno(), 1 << 22, 0))
        assert len(self.seen[-1]) == mail.size + (len(PREFACE) if self.seen[-1].startswith(PREFACE) else 0)
        return next((verdict for word, verdict in self.words.items() if word in self.seen[-1]), CLEAN)


def infected() -> Verdict:
    """What is found."""
    return Verdict.infected("fake", "Test.Virus")


def mixed(*attachments: bytes) -> bytes:
    """A mail with attachments, in base64."""
    parts = [
        b"--b\r\nContent-Type: application/x; name=a%d\r\nContent-Transfer-Encoding: base64\r\n\r\n" % number
        + one
        + b"\r\n"
        for number, one in enumerate(attachments)
    ]
    return b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + b"".join(parts) + b"--b--\r\n"


def joined(*pieces: bytes) -> bytes:
    """Each piece in base64 with its own padding, of which many decoders believe only the first."""
    return b"".join(base64.b64encode(one) for one in pieces)


HIDDEN = mixed(joined(b"ab", VIRUS))


@pytest.fixture(autouse=True)
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an engine opens is not known from another test."""
    monkeypatch.setattr(rar, "_opens", {})


@pytest.fixture
def unwrapped(tmp_path: Path) -> Iterator[Callable[..., Unwrapped]]:
    """A function that makes a message of bytes, to be unwrapped."""
    spools: list[Spool] = []

    def made(
        data: bytes, *, sampled: bool = False, parts: int = 50, memory: int = 1 << 20, digests: bool = False
    ) -> Unwrapped:
        spool = Spool(tmp_path, memory)
        spools.append(spool)
        spool.write(PREFACE + data)
        mail = message(content=spool, size=len(data))
        made = Unwrapping(tmp_path, memory, parts, 1 << 20, 0, digests=digests)
        return replace(made.of(mail), sampled=sampled)

    yield made
    for spool in spools:
        spool.close()


def later() -> float:
    """A deadline."""
    return time.monotonic() + 60


def nothing() -> None:
    """A tick."""


def test_plain_mail_is_scanned_once(unwrapped: Callable[..., Unwrapped]) -> None:
    """Nothing else can be seen in it."""
    engine, mail = Scanner(), unwrapped(PLAIN)
    assert mail.scan(engine, later(), nothing) is CLEAN
    assert engine.seen == [PREFACE + PLAIN]
    assert mail.structure
    assert (mail.structure.plain, mail.structure.anomalies, mail.structure.scans) == (True, (), ())


def test_what_only_a_part_shows_is_found(unwrapped: Callable[..., Unwrapped]) -> None:
    """The verdict names the part, and the structure what is odd."""
    engine, mail = Scanner(), unwrapped(HIDDEN)
    assert mail.scan(engine, later(), nothing) == replace(infected(), part="1")
    assert mail.structure
    assert not mail.structure.plain
    assert "padding-inside" in mail.structure.anomalies
    assert len(mail.structure.scans) == len(engine.seen) - 1
    assert engine.seen[-1] == b"ab" + VIRUS


@pytest.mark.parametrize(
    "whole", [infected(), Verdict.error("fake", Fault.CLOSED), Verdict.unscanned("fake", Limit.TIMEOUT)]
)
def test_no_part_is_scanned_where_that_changes_nothing(whole: Verdict, unwrapped: Callable[..., Unwrapped]) -> None:
    """The message is refused or tempfailed already, and an engine that fails is not asked again."""
    engine, mail = Scanner(MIME=whole), unwrapped(HIDDEN)
    assert mail.scan(engine, later(), nothing) is whole
    assert (len(engine.seen), mail.structure) == (1, None)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"multipart": Verdict.unscanned("fake", Limit.ENCRYPTED), "VIRUS": infected()}, Outcome.INFECTED),
        ({"VIRUS": Verdict.unscanned("fake", Limit.LIMITS)}, Outcome.UNSCANNED),
        ({"VIRUS": Verdict.error("fake", Fault.CLOSED)}, Outcome.ERROR),
    ],
)
def test_the_worst_verdict_decides(
    words: dict[str, Verdict], expected: Outcome, unwrapped: Callable[..., Unwrapped]
) -> None:
    """A part that is infected is worse than a message that is encrypted."""
    assert unwrapped(HIDDEN).scan(Scanner(**words), later(), nothing).outcome is expected


def test_what_is_encrypted_hides_nothing_that_was_not_scanned(unwrapped: Callable[..., Unwrapped]) -> None:
    """Encrypted mail is usually accepted: one encrypted file must not let a malformed message pass."""
    broken = mixed(b"QUJD=QUJDQUJD=A=" + b"!" * 20, base64.b64encode(b"encrypted"))
    encrypted = Verdict.unscanned("fake", Limit.ENCRYPTED)
    mail = unwrapped(broken, parts=0)
    assert mail.scan(Scanner(multipart=encrypted), later(), nothing).reason in {Limit.MALFORMED, Limit.LIMITS}


SUSPICION, OTHER = (Verdict.infected("fake", f"Heuristics.{name}") for name in ("Phishing", "Other"))


def allowed(verdict: Verdict, *names: str) -> Verdict:
    """The verdict with these names in the allow list."""
    lists = Consultation(Lists(tuple(listed(signature=name) for name in names)), message(), 0.0, str)
    return lists.standings((verdict,), filtered=False)[0].verdicts[0]


def test_a_suspicion_hides_no_virus(unwrapped: Callable[..., Unwrapped]) -> None:
    """It may be allowed as if the engine had seen all of the message, so all parts are scanned first."""
    engine = Scanner(multipart=SUSPICION, VIRUS=infected())
    assert unwrapped(HIDDEN).scan(engine, later(), nothing) == replace(infected(), part="1")
    data = mixed(joined(b"ab", b"phish"), joined(b"ab", VIRUS))
    verdict = unwrapped(data).scan(Scanner(phish=SUSPICION, VIRUS=infected()), later(), nothing)
    assert (verdict.signature, verdict.part) == ("Test.Virus", "2")


@pytest.mark.parametrize(
    ("rest", "names", "outcome", "reason"),
    [
        (CLEAN, ["Heuristics.Phishing"], Outcome.CLEAN, None),
        (Verdict.unscanned("fake", Limit.ENCRYPTED), ["Heuristics.Phishing"], Outcome.UNSCANNED, Limit.ENCRYPTED),
        (Verdict.error("fake", Fault.CLOSED), ["Heuristics.Phishing"], Outcome.ERROR, Fault.CLOSED),
        (OTHER, ["Heuristics.Phishing"], Outcome.INFECTED, None),
        (
            OTHER,
            ["Heuristics.Other", "Heuristics.Phishing"],
            Outcome.CLEAN,
            None,
        ),
    ],
)
def test_an_allowed_suspicion_leaves_the_rest(
    rest: Verdict,
    names: list[str],
    outcome: Outcome,
    reason: Limit | Fault | None,
    unwrapped: Callable[..., Unwrapped],
) -> None:
    """An entry changes only the verdict that it names."""
    verdict = unwrapped(HIDDEN).scan(Scanner(multipart=SUSPICION, VIRUS=rest), later(), nothing)
    assert verdict.signature == "Heuristics.Phishing"
    assert set(verdict.signatures) == {one for one in (SUSPICION.signature, rest.signature) if one}
    after = allowed(verdict, *names)
    assert (after.outcome, after.reason) == (outcome, reason)


def test_attachments_that_cannot_be_seen(unwrapped: Callable[..., Unwrapped], monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that refuses programs must not let all pass while the disk is full, or the reader has a defect."""
    for error, engine, reason in (
        (SpoolError("full"), "spool", Fault.SPOOL),
        (RuntimeError("defect"), "miltscan", Fault.EXCEPTION),
    ):

        def failing(*_: object, error: Exception = error) -> None:
            raise error

        mail = unwrapped(HIDDEN)
        mail.unwrapping = replace(mail.unwrapping, attachments=True)
        monkeypatch.setattr(unwrapping, "read_message", failing)
        structure, fault = mail.known(nothing)
        assert fault
        assert (fault.engine, fault.reason) == (engine, reason)
        assert structure
        assert structure.anomalies == ("files-unseen",)


def test_plain_mail_that_is_sampled(unwrapped: Callable[..., Unwrapped]) -> None:
    """Its parts are scanned, and a worse verdict is noted as missed."""
    data = mixed(base64.b64encode(VIRUS))
    engine, mail = Scanner(), unwrapped(data, sampled=True)
    assert mail.scan(engine, later(), nothing).outcome is Outcome.INFECTED
    assert mail.structure
    assert (mail.structure.plain, mail.structure.sampled, mail.structure.missed) == (True, True, True)
    mail = unwrapped(PLAIN, sampled=True)
    assert mail.scan(engine, later(), nothing) is CLEAN
    assert mail.structure
    assert (mail.structure.missed, len(mail.structure.scans)) == (False, 1)


def zipped(*contents: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A mail with a zip in base64 for each of the contents, joined to one file."""
    return mixed(base64.b64encode(b"".join(zip_of(one, method) for one in contents)))


def zip_of(content: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip with one file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a.txt", content)
    return file.getvalue()


def test_the_members_of_a_zip_that_readers_may_see_otherwise(unwrapped: Callable[..., Unwrapped]) -> None:
    """Each is scanned by itself, also where the message is plain."""
    engine, mail = Scanner(), unwrapped(zipped(b"harmless" * 20, VIRUS))
    verdict = mail.scan(engine, later(), nothing)
    assert (verdict.outcome, verdict.part) == (Outcome.INFECTED, "1/zip:1")
    assert mail.structure
    assert "zip-joined" in mail.structure.anomalies
    assert (mail.structure.plain, mail.structure.missed) == (False, False)


def test_a_zip_about_which_all_agree_is_left_to_the_engine(unwrapped: Callable[..., Unwrapped]) -> None:
    """It opens it itself."""
    engine, mail = Scanner(), unwrapped(zipped(b"harmless" * 20))
    assert mail.scan(engine, later(), nothing) is CLEAN
    assert len(engine.seen) == 1


def test_a_zip_in_a_zip_that_readers_may_see_otherwise(unwrapped: Callable[..., Unwrapped]) -> None:
    """It is looked into, although all agree about the outer one."""
    inner = zip_of(b"harmless" * 20) + zip_of(VIRUS)
    verdict = unwrapped(zipped(inner, method=zipfile.ZIP_DEFLATED)).scan(Scanner(), later(), nothing)
    assert (verdict.outcome, verdict.part) == (Outcome.INFECTED, "1/zip:0/zip:1")


@pytest.mark.parametrize(
    "begin", [b"\x1f\x9d", b"7z\xbc\xaf\x27\x1c", b"!<arch>\n", b"LZIP\x01", b"\x5d\0\0\x80\0" + b"\xff" * 8]
)
def test_a_zip_behind_the_begin_of_another_archive(unwrapped: Callable[..., Unwrapped], begin: bytes) -> None:
    """Programs find a zip by its end: what stands in front hides no member from the engine."""
    mail = unwrapped(mixed(base64.b64encode(begin + zip_of(VIRUS, zipfile.ZIP_LZMA))))
    assert mail.scan(Scanner(), later(), nothing) == replace(infected(), part="1/zip:0")


@pytest.mark.parametrize("name", ["a.zip", "a.JAR", "a.docm", "=?utf-8?B?YS56aXA=?="])
def test_a_zip_behind_anything(unwrapped: Callable[..., Unwrapped], name: str) -> None:
    """As the name says that it is opened as one, in whatever form the field has it."""
    data = mixed(base64.b64encode(b"\xff\xd8" + zip_of(VIRUS, zipfile.ZIP_LZMA)))
    mail = unwrapped(data.replace(b"name=a0", b'name="%b"' % name.encode()))
    assert mail.scan(Scanner(), later(), nothing) == replace(infected(), part="1/zip:0")


def tarred(content: bytes) -> bytes:
    """A tar of a text and a file."""
    return b"".join(as_tar([memoryview(b"a text"), memoryview(content)]))


@pytest.mark.parametrize(
    ("outer", "part"),
    [
        (gzip.compress, "1/gz:0"),
        (bz2.compress, "1/bz2:0"),
        (lzma.compress, "1/xz:0"),
        (tarred, "1/tar:1"),
        (lambda content: gzip.compress(tarred(content)), "1/gz:0/tar:1"),
        (lambda content: zip_of(bz2.compress(content)), "1/zip:0/bz2:0"),
    ],
    ids=["gz", "bz2", "xz", "tar", "tar.gz", "bz2 in zip"],
)
def test_an_archive_in_one_that_the_engine_opens(
    unwrapped: Callable[..., Unwrapped], outer: Callable[[bytes], bytes], part: str
) -> None:
    """The engine opens the outer one and not the inner one; without an inner one it is asked once."""
    mail = unwrapped(mixed(base64.b64encode(outer(zip_of(VIRUS, zipfile.ZIP_LZMA)))))
    assert mail.scan(Scanner(), later(), nothing) == replace(infected(), part=f"{part}/zip:0")
    engine = Scanner()
    assert unwrapped(mixed(base64.b64encode(outer(b"harmless" * 20)))).scan(engine, later(), nothing) is CLEAN
    assert len(engine.seen) == 1


def test_a_rar_is_clean_only_for_who_opens_rar(unwrapped: Callable[..., Unwrapped]) -> None:
    """Others reply that it is clean. A sample tells; who opens it is believed for a while, others are asked again."""
    mail = mixed(base64.b64encode(b"Rar!\x1a\x07\1\0clean"))
    engine = Scanner()
    for _ in range(2):
        engine.seen.clear()
        verdict = unwrapped(mail).scan(engine, later(), nothing)
        assert (verdict.reason, len(engine.seen)) == (Limit.LIMITS, 2)
        assert verdict.detail == "part 1: a rar, which fake does not open (clamd: without libclamunrar)"
    opens = Scanner(**{"sample.gz": infected()})
    assert unwrapped(mail).scan(opens, later(), nothing) is CLEAN
    opens.seen.clear()
    assert unwrapped(mail).scan(opens, later(), nothing) is CLEAN
    assert len(opens.seen) == 1


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"MZ" + bytes(1 << 20) + b"Rar!\x1a\x07\0clean", b"setup.exe"),
        (b"\x7fELF" + b"Rar!\x1a\x07\1\0clean" + zip_of(b"a zip behind it"), b"setup"),
        (tarfile.TarInfo("MZ").tobuf() + b"Rar!\x1a\x07\1\0clean", b"setup.exe"),
        (b"junk Rar!\x1a\x07\1\0clean", b"a.rar"),
        (b"PK\3\4 Rar!\x1a\x07\1\0clean", b"a.rar."),
        (b"junk Rar!\x1a\x07\1\0clean", b"a.r00"),
    ],
)
def test_a_rar_behind_something_else(unwrapped: Callable[..., Unwrapped], content: bytes, name: bytes) -> None:
    """The rar of a program that extracts itself, or what unrar finds in a file of that name."""
    mail = unwrapped(mixed(base64.b64encode(content)).replace(b"name=a0", b"name=" + name))
    verdict = mail.scan(Scanner(), later(), nothing)
    assert (verdict.reason, verdict.part) == (Limit.LIMITS, "")
    assert verdict.detail.startswith("part 1: a rar, which fake does not open")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"MZ a program that names the mark of a Rar!\x1a\x07 only in part", b"setup.exe"),
        (b"junk Rar!\x1a\x07\1\0clean", b"a.txt"),
    ],
)
def test_no_rar_behind_something_else(unwrapped: Callable[..., Unwrapped], content: bytes, name: bytes) -> None:
    """Not its signature, or not a file that is opened as a rar."""
    mail = unwrapped(mixed(base64.b64encode(content)).replace(b"name=a0", b"name=" + name))
    assert mail.scan(Scanner(), later(), nothing) is CLEAN


class Pair(Scanner):
    """Two servers in rotation, of which only b opens rar."""

    def scan(self, mail: Message, deadline: float, tick: Tick) -> Verdict:
        """The verdict of the server whose turn it is."""
        verdict = super().scan(mail, deadline, tick)
        server = "ab"[len(self.seen) % 2]
        opened = server == "b" and b"sample.gz" in self.seen[-1]
        return replace(infected() if opened else verdict, server=server)


def test_a_rar_is_clean_only_if_the_server_that_scanned_it_opens_rar(unwrapped: Callable[..., Unwrapped]) -> None:
    """An engine's servers need not be alike, and what one of them opens tells nothing of another."""
    mail, pair = mixed(base64.b64encode(b"Rar!\x1a\x07\1\0clean")), Pair()
    verdicts = [unwrapped(mail).scan(pair, later(), nothing) for _ in range(6)]
    assert {(one.server, one.outcome) for one in verdicts} == {("a", Outcome.UNSCANNED), ("b", Outcome.CLEAN)}


def test_a_rar_of_a_server_that_does_not_take_the_sample(unwrapped: Callable[..., Unwrapped]) -> None:
    """The client keeps it: it is a matter of turns."""
    mail = mixed(base64.b64encode(b"Rar!\x1a\x07\1\0clean"))

    class Turned(Scanner):
        def scan(self, mail: Message, deadline: float, tick: Tick) -> Verdict:
            return replace(super().scan(mail, deadline, tick), server="a" if len(self.seen) == 1 else "b")

    verdict = unwrapped(mail).scan(Turned(), later(), nothing)
    assert (verdict.reason, verdict.server) == (Limit.ENGINE_UNABLE, "a")
    assert verdict.failed


def test_an_engine_that_fails_at_the_sample(unwrapped: Callable[..., Unwrapped]) -> None:
    """That is no fault of the message, whose client keeps it."""
    broken = Scanner(**{"sample.gz": Verdict.error("fake", Fault.CLOSED)})
    mail = unwrapped(mixed(base64.b64encode(b"Rar!\x1a\x07\0clean")))
    assert mail.scan(broken, later(), nothing).outcome is Outcome.ERROR


def test_documents_in_a_tar(unwrapped: Callable[..., Unwrapped]) -> None:
    """They are zips of which the tar has no part: the engine sees them, and their number exceeds nothing."""
    tar = b"".join(as_tar([memoryview(zip_of(b"%d" % number)) for number in range(9)]))
    engine, mail = Scanner(), unwrapped(mixed(base64.b64encode(tar)), parts=3)
    assert mail.scan(engine, later(), nothing) is CLEAN
    assert (len(engine.seen), mail.structure and mail.structure.anomalies) == (1, ())


def test_a_zip_in_pieces_in_a_tar(unwrapped: Callable[..., Unwrapped]) -> None:
    """For who opens the file as a zip, its directory is at the end, and its data in another file of the tar."""
    archive = zip_of(VIRUS, zipfile.ZIP_LZMA)
    at = archive.index(b"PK\1\2")
    tar = b"".join(as_tar([memoryview(b"any" + archive[:at]), memoryview(archive[at:])]))
    verdict = unwrapped(mixed(base64.b64encode(tar))).scan(Scanner(), later(), nothing)
    assert (verdict.outcome, verdict.part) == (Outcome.INFECTED, "1/zip:0")


@pytest.mark.parametrize(("compress", "part"), [(bz2.compress, "1/bz2:0"), (gzip.compress, "1/gz:0")])
def test_a_stream_behind_the_first_one(
    unwrapped: Callable[..., Unwrapped], compress: Callable[[bytes], bytes], part: str
) -> None:
    """Programs decode all of a file, of which the engine decodes a part."""
    mail = unwrapped(mixed(base64.b64encode(compress(b"harmless") + bytes(4) + compress(VIRUS))))
    assert mail.scan(Scanner(), later(), nothing) == replace(infected(), part=part)


def test_a_method_that_the_engine_does_not_know(unwrapped: Callable[..., Unwrapped]) -> None:
    """Nothing is said by clamd of a member in LZMA; the member is scanned by itself."""
    verdict = unwrapped(zipped(VIRUS, method=zipfile.ZIP_LZMA)).scan(Scanner(), later(), nothing)
    assert (verdict.outcome, verdict.part) == (Outcome.INFECTED, "1/zip:0")


def test_a_member_that_the_engine_would_pass_over(unwrapped: Callable[..., Unwrapped]) -> None:
    """For a file above its MaxFileSize clamd says OK."""
    verdict = unwrapped(zipped(bytes(2 << 20))).scan(Scanner(), later(), nothing)
    assert (verdict.reason, verdict.detail) == (Limit.LIMITS, "part 1: file of a zip")


def test_a_bomb_ends_at_its_bound(unwrapped: Callable[..., Unwrapped]) -> None:
    """And is not clean."""
    verdict = unwrapped(zipped(bytes(40 << 20), method=zipfile.ZIP_LZMA)).scan(Scanner(), later(), nothing)
    assert verdict.reason is Limit.LIMITS


ARMORED = b"-----BEGIN PGP MESSAGE-----\r\n\r\nabcd\r\n-----END PGP MESSAGE-----\r\n"


@pytest.mark.parametrize(
    ("data", "encrypted"),
    [
        (PLAIN + ARMORED, True),
        (MAILS["encrypted, OpenPGP"], True),
        (MAILS["signed, OpenPGP"], False),
        (MAILS["signed, S/MIME"], False),
        (PLAIN + b"> quoted -----BEGIN PGP MESSAGE-----\r\n", False),
        (PLAIN + ARMORED.replace(b"MESSAGE", b"SIGNED MESSAGE"), False),
    ],
)
def test_what_only_its_recipients_can_read(
    data: bytes,
    encrypted: bool,  # noqa: FBT001 - a table
    unwrapped: Callable[..., Unwrapped],
) -> None:
    """No engine has seen its content: it is not clean."""
    mail = unwrapped(data)
    verdict = mail.scan(Scanner(), later(), nothing)
    assert (verdict.reason is Limit.ENCRYPTED, verdict is CLEAN) == (encrypted, not encrypted)
    assert mail.structure
    assert mail.structure.encrypted is encrypted


def test_equal_parts_are_scanned_once(unwrapped: Callable[..., Unwrapped]) -> None:
    """Their digests tell, and one clamd would only repeat itself."""
    one = joined(b"ab", b"cdef")
    engine = Scanner()
    unwrapped(mixed(one, one, one)).scan(engine, later(), nothing)
    assert len(engine.seen) == len({*engine.seen})


def test_more_parts_than_are_scanned(unwrapped: Callable[..., Unwrapped]) -> None:
    """What was not scanned is not clean."""
    data = mixed(*(joined(b"ab", b"%d" % number) for number in range(9)))
    engine, mail = Scanner(), unwrapped(data, parts=4)
    verdict = mail.scan(engine, later(), nothing)
    assert (verdict.reason, verdict.detail, len(engine.seen)) == (Limit.LIMITS, "more than 4 parts (mime.parts)", 5)


def test_what_is_only_looked_into_is_no_part_that_is_scanned(unwrapped: Callable[..., Unwrapped]) -> None:
    """A zip may have many office documents, which are zips: the engine sees them in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(9):
            archive.writestr(f"{number}.docx", zip_of(b"%d" % number))
    mail = unwrapped(mixed(base64.b64encode(file.getvalue())), parts=3)
    assert mail.scan(Scanner(), later(), nothing) is CLEAN


def test_parts_for_which_there_is_no_time(unwrapped: Callable[..., Unwrapped]) -> None:
    """They are not scanned, and the message is not clean."""
    engine = Scanner()
    assert unwrapped(HIDDEN).scan(engine, time.monotonic() - 1, nothing).reason is Limit.TIMEOUT
    assert len(engine.seen) == 1


def test_parts_that_take_too_much_of_the_processor(
    unwrapped: Callable[..., Unwrapped], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not decoded by then is not scanned, and the detail names the part."""
    monkeypatch.setattr(unwrapping, "_SECONDS", -1.0)
    verdict = unwrapped(HIDDEN).scan(Scanner(), later(), nothing)
    assert (verdict.outcome, verdict.reason) == (Outcome.UNSCANNED, Limit.LIMITS)
    assert verdict.detail.startswith("part ")
    assert verdict.detail.endswith(": time")


def test_attachments_come_first(unwrapped: Callable[..., Unwrapped]) -> None:
    """A text is scanned after them, as it is the least likely to be found in."""
    text = b"--b\r\nContent-Type: text/plain\r\n\r\nsome text\r\n"
    data = mixed(joined(b"ab", b"cd")).replace(b"\r\n\r\n--b", b"\r\n\r\n" + text + b"--b", 1)
    engine = Scanner()
    unwrapped(data).scan(engine, later(), nothing)
    texts = [number for number, one in enumerate(engine.seen) if b"some text" in one]
    assert texts[:1] == [0]
    assert min(texts[1:]) > engine.seen.index(b"abcd")


def test_what_is_within_an_archive_is_next(unwrapped: Callable[..., Unwrapped]) -> None:
    """So that few archives are in memory at once, however many there are: what is within is a slice of each."""
    mail = unwrapped(mixed(*map(base64.b64encode, (as_ar(as_ar(b"first")), as_ar(b"second")))))
    assert mail.scan(Scanner(), later(), nothing) is CLEAN
    assert mail.structure
    assert [scan.path for scan in mail.structure.scans] == ["1/ar:0", "1/ar:0/ar:0", "2/ar:0"]


def test_a_large_message_and_large_parts(unwrapped: Callable[..., Unwrapped]) -> None:
    """They are read from files."""
    big = joined(b"ab", b"x" * (2 << 20), VIRUS)
    engine, mail = Scanner(), unwrapped(mixed(big), memory=1000)
    assert mail.scan(engine, later(), nothing).part == "1"


def test_a_defect_of_the_reader_is_a_tempfail_at_first(
    unwrapped: Callable[..., Unwrapped], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A message must not be undeliverable for ever; it was scanned as a whole."""

    def failing(*_: object) -> Reading:
        raise RuntimeError("defect")

    monkeypatch.setattr(unwrapping, "read_message", failing)
    monkeypatch.setattr(defects, "_failures", type(defects._failures)())  # noqa: SLF001 - of this process
    verdicts = [unwrapped(HIDDEN).scan(Scanner(), later(), nothing) for _ in range(4)]
    assert [one.outcome for one in verdicts] == [Outcome.ERROR] * 3 + [Outcome.CLEAN]
    assert [one.reason for one in verdicts[:3]] == [Fault.EXCEPTION] * 3
    assert "defect" in capfd.readouterr().out


def test_a_part_that_cannot_be_kept(unwrapped: Callable[..., Unwrapped], monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is a fault of the spool, as for the message itself: the client keeps it."""

    def full(*_: object) -> None:
        raise SpoolError("no space")

    mail = unwrapped(HIDDEN)
    monkeypatch.setattr(part_scan, "copy_part", full)
    verdict = mail.scan(Scanner(), later(), nothing)
    assert (verdict.outcome, verdict.reason, verdict.detail) == (Outcome.ERROR, Fault.SPOOL, "no space")


def test_the_mta_has_signs_of_life_while_a_message_is_read(
    unwrapped: Callable[..., Unwrapped], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where it has gone, the error passes."""
    monkeypatch.setattr(turns, "_TICK", 0.0)
    monkeypatch.setattr(turns, "_STALE", 0.0)

    def gone() -> None:
        raise MtaGoneError

    with pytest.raises(MtaGoneError):
        unwrapped(HIDDEN).scan(Scanner(), later(), gone)


def test_one_in_so_many_plain_messages_is_sampled(tmp_path: Path) -> None:
    """None with 0, each with 1."""
    with closing(Spool(tmp_path, 10)):
        assert [Unwrapping(tmp_path, 10, 5, 10, number).of(message()).sampled for number in (0, 1)] == [False, True]
