"""Archives that 7-Zip opens: what becomes of its list, its output and its errors. Here it is a script."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from miltscan.core.contained import Inner, Inside
from miltscan.core.containers.budget import Budget, ContainerBounds, ContainerLimit
from miltscan.core.containers.foreign import Foreign
from miltscan.core.mime.part import Bounds
from miltscan.core.mime.reader import read_message
from miltscan.core.verdict import Limit
from miltscan.errors import MtaGoneError
from miltscan.scanning import turns, unpacking
from miltscan.scanning.unpacking import Opening, Passwords, Unpacking, words_of
from miltscan.unpacker import seven_zip
from tests.fakes.seven_zip import FakeSevenZip, Played, listed

Plays = Mapping[tuple[str, str], Played]
Opened = Callable[..., tuple[Inside, FakeSevenZip]]
SEALED = Inside(foreign=Foreign.ZIP, unless_opened=((Limit.ENCRYPTED, "part 2: a member of a zip"),))


def nothing() -> None:
    """A tick."""


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """A function that has a script open an archive."""

    def made(
        plays: Plays,
        inside: Inside = Inside(foreign=Foreign.SEVEN_ZIP),  # noqa: B008 - immutable
        passwords: Sequence[str] = (),
        bounds: ContainerBounds = ContainerBounds(),  # noqa: B008 - immutable
    ) -> tuple[Inside, FakeSevenZip]:
        fake = FakeSevenZip(plays)
        monkeypatch.setattr(seven_zip, "Sandboxed", fake)
        opening = Opening(Budget(bounds, 1000), time.monotonic() + 60, nothing, Passwords(lambda: passwords))
        return Unpacking("7zz", tmp_path, 1 << 20).opened("2", inside, 0, opening), fake

    return made


def contents(inside: Inside) -> dict[str, bytes]:
    """What each part within has."""
    return {one.path: content(one) for one in inside.inner}


def content(inner: Inner) -> bytes:
    """The bytes of a part."""
    return b"".join(bytes(one) for one in inner.chunks() if isinstance(one, bytes | memoryview))


def reasons(inside: Inside) -> list[Limit]:
    """Why not all of it is scanned."""
    return [limit for limit, _ in inside.limits]


@pytest.mark.parametrize(
    ("listing", "output", "found"),
    [
        (listed(2, 3), [b"ab", b"cde"], {"2/7z:0": b"ab", "2/7z:1": b"cde"}),
        (listed(2, 3), [b"abcde"], {"2/7z:0": b"ab", "2/7z:1": b"cde"}),
        (listed(2, 0, 3), [b"abcde"], {"2/7z:0": b"ab", "2/7z:1": b"cde"}),
        (listed(None), [b"abc"], {"2/7z:0": b"abc"}),
        (listed(2, 2), [b"abc"], {"2/7z:0": b"abc"}),
        (listed(2, None), [b"abc"], {"2/7z:0": b"abc"}),
        (listed(0), [], {}),
        (listed(3, method="LZMA2:12"), [b"abc"], {"2/7z:0": b"abc"}),
    ],
)
def test_the_output_is_divided_by_the_list(
    opened: Opened, listing: Played, output: list[bytes], found: dict[str, bytes]
) -> None:
    """Where they do not fit each other it is one file. Also what clamd decodes is scanned: it may not read the list."""
    inside, fake = opened({("l", ""): listing, ("x", ""): Played(output)})
    assert (contents(inside), inside.limits, inside.foreign) == (found, (), None)
    assert fake.seen == [("l", ""), ("x", "")]
    assert all(one.hidden for one in inside.inner)


def test_many_files_are_scanned_together(opened: Opened) -> None:
    """All but those that may be archives, so that mime.parts does not refuse an archive of many small files."""
    files = [b"x%05d" % number for number in range(200)]
    files[7] = b"PK\3\4.."
    inside, _ = opened({("l", ""): listed(*[6] * 200), ("x", ""): Played([b"".join(files)])})
    found = contents(inside)
    assert [*found] == ["2/7z:7", "2/7z:0-199"]
    assert all(one in found["2/7z:0-199"] for one in files if one != files[7])


def test_no_more_are_scanned_together_than_an_engine_scans(opened: Opened) -> None:
    """The tar of them has at most the size of mime.file_size, beyond which clamd says OK."""
    plays = {("l", ""): listed(*[600] * 60), ("x", ""): Played([bytes(600) * 60])}
    found = contents(opened(plays, bounds=ContainerBounds(file=20_000))[0])
    assert [*found] == [f"2/7z:{first}-{first + 11}" for first in range(0, 60, 12)]
    assert {len(one) for one in found.values()} == {12 * 3 * 512 + 1024}
    assert len(contents(opened(plays, bounds=ContainerBounds(file=700))[0])) == 60  # too large for any tar


@pytest.mark.parametrize(
    ("plays", "limits"),
    [
        ({("l", ""): Played(status=2)}, []),  # broken: nobody can read it
        ({("l", ""): Played([b"another list"])}, [Limit.ENGINE_UNABLE]),
        ({("l", ""): Played(status=2, messages="ERROR: Can't allocate required memory!")}, [Limit.LIMITS]),
        ({("l", ""): Played(broken_off="7-Zip was ended by signal 9", status=0)}, [Limit.LIMITS]),
        ({("l", ""): Played(host_fault="no", status=120)}, [Limit.ENGINE_UNABLE]),
        ({("l", ""): listed(3), ("x", ""): Played([b"ab"], broken_off="signal 24")}, [Limit.LIMITS]),
        ({("l", ""): listed(3), ("x", ""): Played([b"ab"], broken_off="why", late=True)}, [Limit.TIMEOUT]),
        ({("l", ""): listed(3), ("x", ""): Played([b"ab"], "ERROR: Data Error : a", 2)}, []),
        ({("l", ""): listed(3), ("x", ""): Played([b"ab"], "ERROR: Unsupported Method : a", 2)}, [Limit.MALFORMED]),
        ({("l", ""): listed(3), ("x", ""): Played([b"ab"], "ERROR: Data Error : a", 2, is_cut=True)}, [Limit.LIMITS]),
        ({("l", ""): listed(2), ("x", ""): Played([b"ab"], "a warning", 1)}, []),
    ],
)
def test_what_is_not_opened_has_a_reason(opened: Opened, plays: Plays, limits: list[Limit]) -> None:
    """It names the part; what was written before is scanned all the same."""
    inside, _ = opened(plays)
    assert reasons(inside) == limits
    assert all(why.startswith("part 2: ") for _, why in inside.limits)
    assert contents(inside) == ({"2/7z:0": b"ab"} if ("x", "") in plays else {})


def test_a_reason_of_the_reader_holds_until_the_archive_is_opened(opened: Opened) -> None:
    """A zip with an unknown method stays malformed where 7-Zip fails at it, for any reason."""
    inside = Inside(foreign=Foreign.ZIP, unless_opened=((Limit.MALFORMED, "why"),))
    good: Plays = {("l", ""): listed(2), ("x", ""): Played([b"ab"])}
    assert opened(good, inside)[0].limits == ()
    bad: Plays = {**good, ("x", ""): Played([b"a"], "ERROR: Data Error : a", 2)}
    assert opened(bad, inside)[0].limits == ((Limit.MALFORMED, "why"),)
    assert opened({}, Inside())[0] == Inside()


@pytest.mark.parametrize("hidden", [False, True])
def test_words_are_tried_as_passwords(opened: Opened, *, hidden: bool) -> None:
    """In their order until one fits, also where the list itself is encrypted."""
    plays: Plays = {
        **({} if hidden else {("l", ""): listed(2)}),
        ("t", "bé"): Played(),
        ("t", "c"): Played(),
        ("l", "bé"): listed(2),
        ("x", "bé"): Played([b"ab"]),
    }
    inside, fake = opened(plays, SEALED, ["a", "bé", "c"])
    assert (contents(inside), inside.limits, inside.unlocked) == ({"2/zip:0": b"ab"}, (), True)
    assert fake.seen[-4:] == [("t", "a"), ("t", "bé"), ("l", "bé"), ("x", "bé")]


def test_what_no_word_opens_stays_encrypted(opened: Opened) -> None:
    """Once by 7-Zip's word and once by the reader's."""
    inside, fake = opened({("l", ""): listed(2)}, SEALED, ["a", "b"])
    assert (set(reasons(inside)), inside.unlocked) == ({Limit.ENCRYPTED}, False)
    assert [one for one in fake.seen if one[0] == "t"] == [("t", "a"), ("t", "b")]
    assert opened({}, SEALED)[1].seen == [("l", "")]


def test_a_password_that_nothing_proves_opens_nothing(opened: Opened) -> None:
    """A 7z without checksums has some content by any password, also by none."""
    unproven = Played([b"CRC = \nEncrypted = +\n"])
    plays: Plays = {
        **{("l", word): listed(2, method="7zAES") for word in ("", "a")},
        **{("l -slt", word): unproven for word in ("", "a")},
        **{("x", word): Played([b"ab"]) for word in ("", "a")},
        ("t", "a"): Played(),
    }
    inside, _ = opened(plays, passwords=["a"])
    assert (reasons(inside), inside.unlocked) == ([Limit.ENCRYPTED], False)
    proven = Played([b"CRC = 5077AF47\nEncrypted = +\n"])
    inside, _ = opened({**plays, ("l -slt", "a"): proven}, passwords=["a"])
    assert (reasons(inside), inside.unlocked) == ([], True)


def test_passwords_have_a_time_of_their_own(opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After it none is tried any more in any archive of the message, and the rest of the message has its time."""
    fake = opened({}, SEALED, ["a"])[1]
    opening = Opening(Budget(ContainerBounds(), 1000), time.monotonic() + 60, nothing, Passwords(lambda: ["a"]))
    clock = iter(range(1000, 2000, 3))  # a trial takes seconds
    monkeypatch.setattr(unpacking, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    for _ in range(9):
        fake.seen.clear()
        Unpacking("7zz", tmp_path, 1).opened("2", SEALED, 0, opening._replace(deadline=1e9))
    assert (fake.seen, opening.passwords.seconds < 0) == ([("l", "")], True)


@pytest.mark.parametrize(
    ("bounds", "why"),
    [
        (ContainerBounds(output=5), "output"),
        (ContainerBounds(ratio=0, small=5), "ratio"),
        (ContainerBounds(members=2), "it has too many files"),
    ],
)
def test_bounds(opened: Opened, bounds: ContainerBounds, why: str) -> None:
    """Those of the message hold for what 7-Zip writes, too."""
    inside, _ = opened({("l", ""): listed(3, 3, 3), ("x", ""): Played([b"abc"] * 3)}, bounds=bounds)
    assert inside.limits == ((Limit.LIMITS, f"part 2: {why}"),)


def test_a_file_that_clamd_would_not_scan(opened: Opened) -> None:
    """It is above mime.file_size: its part ends with that bound."""
    inside, _ = opened({("l", ""): listed(3, 1), ("x", ""): Played([b"abcd"])}, bounds=ContainerBounds(file=2))
    assert [[*one.chunks()] for one in inside.inner] == [[ContainerLimit.FILE], [b"d"]]


def test_one_archive_at_a_time(opened: Opened) -> None:
    """Who waits gives signs of life to the MTA, and is not scanned if it is never its turn."""
    ticks: list[int] = []
    with turns._archive:  # noqa: SLF001 - as another thread holds it
        opening = Opening(
            Budget(ContainerBounds(), 1), time.monotonic() + 0.1, lambda: ticks.append(1), Passwords(tuple)
        )
        inside = Unpacking("7zz", Path(), 1).opened("2", Inside(foreign=Foreign.WIM), 0, opening)
        assert (reasons(inside), len(ticks) > 0) == ([Limit.TIMEOUT], True)
        gone = opening._replace(tick=raise_gone, deadline=time.monotonic() + 60)
        with pytest.raises(MtaGoneError):
            Unpacking("7zz", Path(), 1).opened("2", Inside(foreign=Foreign.WIM), 0, gone)
    assert opened({("l", ""): listed(1), ("x", ""): Played([b"a"])})[0].limits == ()


def test_an_mta_that_goes_leaves_the_turn_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it goes at the moment when the turn comes: else this process would open no archive again."""
    held: list[bool] = []

    class Lock:
        def acquire(self, timeout: float) -> bool:
            if timeout:  # not at once, but then
                held.append(True)
            return bool(held)

        def release(self) -> None:
            held.clear()

    monkeypatch.setattr(turns, "_archive", Lock())
    with pytest.raises(MtaGoneError), turns.archive_turn(time.monotonic() + 60, raise_gone):
        pass
    assert not held


def raise_gone() -> None:
    """A tick to an MTA that is not there."""
    raise MtaGoneError


def test_words_come_from_the_subject_and_the_texts_of_a_message() -> None:
    """Those of attachments are no words; a text may be HTML, and the Subject encoded."""
    mail = (
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        b"Passwort: <b>gr=C3=BCn</b>\r\n--b\r\nContent-Type: text/plain; name=a.txt\r\n\r\npassword: other\r\n--b--\r\n"
    )
    reading = read_message(memoryview(mail), Bounds(time.thread_time))
    found = words_of(mail, reading, 20)
    assert "grün" in found
    assert "other" not in found
    assert words_of(mail, reading, 0) == ()
    subject = b"SUBJECT: Passwort: =?utf-8?q?fr=C3=B6hlich?=\r\n"
    assert words_of(subject + mail, reading, 20)[:2] == ("fröhlich", "grün")
    assert words_of(mail + subject, reading, 20) == found
