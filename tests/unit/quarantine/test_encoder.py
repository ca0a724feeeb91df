"""Compression and encryption of messages, with the real libraries, and without them."""

import os
import sys
from pathlib import Path

import pytest

from miltscan.errors import EntryError, StoreError
from miltscan.quarantine.encoder import Encoder, identities
from miltscan.quarantine.entry import Encoding
from miltscan.quarantine.files import Files
from tests.fakes.entries import MESSAGE, put

pyrage = pytest.importorskip("pyrage")  # Debian does not have it
IDENTITY, OTHER = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
PUBLIC = str(IDENTITY.to_public())
ENCODERS = {
    (Encoding.ZSTD,): Encoder(compress=True),
    (Encoding.AGE,): Encoder(encrypt_to=(PUBLIC,)),
    (Encoding.ZSTD, Encoding.AGE): Encoder(compress=True, encrypt_to=(str(OTHER.to_public()), PUBLIC)),
}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """An empty quarantine."""
    return Files(tmp_path)


def read(files: Files, entry_id: str, *keys: object) -> bytes:
    """The message as received."""
    with files.message(entry_id, keys) as stream:
        return stream.read()


@pytest.mark.parametrize("content", [b"", MESSAGE, b"x" * 300_000, os.urandom(300_000)], ids=["0", "27", "x", "random"])
@pytest.mark.parametrize("encoding", ENCODERS)
def test_every_byte_returns(files: Files, encoding: tuple[Encoding, ...], content: bytes) -> None:
    """The message returns with its size and digest; the entry says how it was encoded."""
    entry = put(files, content, ENCODERS[encoding])
    assert entry.encoding == encoding
    assert files.read(entry.id).entry == entry
    assert read(files, entry.id, IDENTITY) == content


def test_compression_saves_room(files: Files) -> None:
    """Text becomes smaller, also where it is encrypted afterwards."""
    for encoding, encoder in ENCODERS.items():
        entry = put(files, b"the same line\r\n" * 10_000, encoder)
        assert (entry.kept_size < 1000) is (Encoding.ZSTD in encoding)


def test_nothing_of_the_message_is_readable(files: Files) -> None:
    """An encrypted message is on disk in no form that its bytes show."""
    entry = put(files, b"SECRET" * 100, ENCODERS[(Encoding.AGE,)])
    assert b"SECRET" not in files.find(entry.id).read_bytes()
    with files.message(entry.id, [IDENTITY]) as stream:
        assert Path(f"/proc/self/fd/{stream.fileno()}").readlink().name.startswith("memfd:")


def failure(files: Files, entry_id: str, *keys: object) -> str:
    """The error about a message that cannot be read."""
    with pytest.raises(EntryError) as raised:
        read(files, entry_id, *keys)
    return str(raised.value)


def test_a_scanner_cannot_read(files: Files) -> None:
    """Without the identity, or with another, there is one line with the remedy."""
    entry = put(files, encoder=ENCODERS[(Encoding.AGE,)])
    remedy = "Name the file of the identity: quarantine.identity, or --identity FILE."
    assert failure(files, entry.id) == f"entry {entry.id}: is encrypted. {remedy}"
    assert failure(files, entry.id, OTHER) == (
        f"entry {entry.id}: is encrypted for other keys than this identity's, or damaged (No matching keys found)"
    )


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize("place", [-1, 40, 150])
def test_damage_is_found(files: Files, encoding: tuple[Encoding, ...], place: int) -> None:
    """A changed or a missing byte gives an error, and no part of the message."""
    entry = put(files, os.urandom(300), ENCODERS[encoding])
    path = files.find(entry.id)
    whole = path.read_bytes()
    place = len(whole) - entry.kept_size + place if place >= 0 else len(whole) - 1
    for damaged in (whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :], whole[:place]):
        path.write_bytes(damaged)
        assert f"entry {entry.id}: is " in failure(files, entry.id, IDENTITY)


def test_a_message_that_would_unpack_to_more(files: Files) -> None:
    """A file that was replaced by one with a larger message is damaged: no more is unpacked than was stored."""
    small, large = (put(files, bytes(size), ENCODERS[(Encoding.ZSTD,)]) for size in (10, 50_000_000))
    one, other = files.find(small.id).read_bytes(), files.find(large.id).read_bytes()
    head = one[: len(one) - small.kept_size]
    files.find(small.id).write_bytes(head + other[len(other) - large.kept_size :])
    assert failure(files, small.id) == f"entry {small.id}: is damaged: 131072 bytes of the message instead of 10"


@pytest.mark.parametrize(
    ("encoder", "package", "name"),
    [(Encoder(compress=True), "zstandard", "zstd"), (Encoder(encrypt_to=(PUBLIC,)), "pyrage", "age")],
    ids=["zstd", "age"],
)
def test_without_the_library(
    files: Files, monkeypatch: pytest.MonkeyPatch, encoder: Encoder, package: str, name: str
) -> None:
    """One line says what is missing, before a message, at a message, and where one is read."""
    entry = put(files, encoder=encoder)
    monkeypatch.setitem(sys.modules, package, None)
    expected = (
        f"{name} needs the Python package {package}. Run: pip install --no-build-isolation --require-hashes"
        " -r deploy/requirements-quarantine.txt"
    )
    for call in (encoder.prepare, lambda: put(files, encoder=encoder), lambda: read(files, entry.id, IDENTITY)):
        with pytest.raises(StoreError) as raised:
            call()
        assert str(raised.value) == expected
    assert len(files.waiting()) == 1


def test_a_wrong_public_key(files: Files) -> None:
    """The line shows the key and what is expected; nothing is stored."""
    last = "x" if PUBLIC[-1] != "x" else "z"
    encoder = Encoder(encrypt_to=(PUBLIC[:-1] + last,))
    for call in (encoder.prepare, lambda: put(files, encoder=encoder)):
        with pytest.raises(StoreError, match=r"'age1\w+' is not an age public key. Expected age1... as age-keygen"):
            call()
    assert files.waiting() == []


def test_an_encoder_that_can_work() -> None:
    """There is nothing to report."""
    for encoder in (*ENCODERS.values(), Encoder()):
        encoder.prepare()


def test_a_file_of_identities() -> None:
    """Comments and empty lines are skipped, as in a file of age-keygen."""
    text = f"# created: 2026-11-29\n# public key: {PUBLIC}\n{IDENTITY}\n\n  {OTHER}\n"
    assert [str(key) for key in identities(text, "file")] == [str(IDENTITY), str(OTHER)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "/key: no age identity. Expected a line AGE-SECRET-KEY-1... as age-keygen writes it."),
        ("# only\n", "/key: no age identity. Expected a line AGE-SECRET-KEY-1... as age-keygen writes it."),
        ("\nSECRET\n", "/key: line 2 is not an age identity. Expected AGE-SECRET-KEY-1..."),
        (PUBLIC, "/key: line 1 is not an age identity. Expected AGE-SECRET-KEY-1..."),
    ],
    ids=["empty", "comment", "text", "public key"],
)
def test_a_wrong_file_of_identities(text: str, expected: str) -> None:
    """The line names the file and the place, and never what it says there: that may be a secret."""
    with pytest.raises(StoreError) as raised:
        identities(text, "/key")
    assert str(raised.value) == expected
