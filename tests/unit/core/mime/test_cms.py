"""Opaque S/MIME in every form that programs make, and in those that only a hostile one makes."""

import shutil
import subprocess
import zlib
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.anomalies import CmsAnomaly
from miltscan.core.containers.budget import DEFAULT_BOUNDS, ContainerBounds, ContainerLimit
from miltscan.core.mime.cms import CmsKind, read_cms
from tests.fakes.cms_forms import (
    ALGORITHMS,
    COMPRESSED,
    DATA,
    ENTITY,
    ENVELOPED,
    FORMS,
    SIGNED,
    SIGNERS,
    VERSION,
    element,
    message,
)


class Found(NamedTuple):
    """A message with its whole content, and what is odd about both."""

    kind: CmsKind
    content: bytes = b""
    odd: frozenset[CmsAnomaly | ContainerLimit] = frozenset()


def read(raw: bytes, bounds: ContainerBounds = DEFAULT_BOUNDS) -> Found:
    """What `read_cms` finds; faults are the last pieces of a content."""
    cms = read_cms(raw, bounds)
    content = b""
    odd: set[CmsAnomaly | ContainerLimit] = {*cms.anomalies, *cms.exceeded}
    for piece in cms.chunks():
        if isinstance(piece, CmsAnomaly | ContainerLimit):
            odd.add(piece)
        else:
            content += piece
    return Found(cms.kind, content, frozenset(odd))


@pytest.mark.parametrize("raw", FORMS.values(), ids=FORMS)
def test_the_content_is_read(raw: bytes) -> None:
    """It is what was signed, byte for byte, and nothing is odd."""
    found = read(raw)
    assert found.content == ENTITY
    assert found.kind in {CmsKind.SIGNED, CmsKind.COMPRESSED, CmsKind.DATA}
    assert found.odd == frozenset()


def test_content_in_one_piece_is_not_copied() -> None:
    """It is a view of the message."""
    raw = message(SIGNED, element(0x04, ENTITY))
    (piece,) = read_cms(raw).chunks()
    assert isinstance(piece, memoryview)
    assert piece.obj is raw


def test_content_that_looks_like_a_long_element_is_not_odd() -> None:
    """A text may begin like a message; it is not one, and is not cut off."""
    for text in (b"Confirmed.", b"0\xffzero"):
        assert read(message(SIGNED, element(0x04, text))) == Found(CmsKind.SIGNED, text)


def test_the_kind_is_that_of_the_innermost_message() -> None:
    """What is signed and then encrypted is encrypted; an encrypted message that is signed is, too."""
    envelope = element(0x30, ENVELOPED, element(0xA0, element(0x30, VERSION)))
    assert read(envelope) == Found(CmsKind.ENCRYPTED)
    assert read(message(SIGNED, element(0x04, envelope))) == Found(CmsKind.ENCRYPTED)
    assert CmsKind.ENCRYPTED.encrypted
    assert not CmsKind.SIGNED.encrypted


def test_a_detached_signature_has_no_content() -> None:
    """The content is another part of the mail."""
    raw = element(0x30, SIGNED, element(0xA0, element(0x30, VERSION, ALGORITHMS, element(0x30, DATA), SIGNERS)))
    assert read(raw) == Found(CmsKind.SIGNED)


def test_content_that_is_no_string_is_given_as_it_is() -> None:
    """PKCS #7 allowed any type."""
    assert read(message(SIGNED, element(0x30, b"\x02\x01\x05"))) == Found(CmsKind.SIGNED, b"\x02\x01\x05")


def test_what_is_cut_off_is_read_up_to_there() -> None:
    """Mail that was cut is everyday mail; that it was is an anomaly."""
    for raw in (FORMS["definite"], FORMS["pieces"], FORMS["pieces, indefinite"]):
        found = read(raw[: len(raw) // 2])
        assert ENTITY.startswith(found.content)
        assert len(found.content) > len(ENTITY) // 3
        assert CmsAnomaly.TRUNCATED in found.odd


def test_what_is_odd_is_named() -> None:
    """The content is read all the same."""
    raw = FORMS["definite"]
    shorter = raw[:2] + (20).to_bytes(4, "big") + raw[6:]
    assert read(shorter) == Found(CmsKind.SIGNED, ENTITY, frozenset({CmsAnomaly.LENGTH_DIFFERS}))
    strange = message(SIGNED, element(0x24, element(0x0C, ENTITY)))
    assert read(strange) == Found(CmsKind.SIGNED, ENTITY, frozenset({CmsAnomaly.PIECE_STRANGE}))
    broken = message(COMPRESSED, element(0x04, b"no zlib"))
    assert read(broken) == Found(CmsKind.COMPRESSED, b"", frozenset({CmsAnomaly.DATA_BROKEN}))


@pytest.mark.parametrize(
    "raw", [b"", b"0", b"0\x80", ENTITY, b"\x30\x03\x02\x01\x05", element(0x30, b"\x06\x01\x05"), b"\0" * 9, SIGNED]
)
def test_what_is_not_cms_is_named(raw: bytes) -> None:
    """Text, other DER, and what is too short."""
    assert read(raw) == Found(CmsKind.NONE)


def nested(levels: int) -> bytes:
    """A signed message in signed messages."""
    raw = ENTITY
    for _ in range(levels):
        raw = message(SIGNED, element(0x04, raw))
    return raw


def test_each_bound_is_named() -> None:
    """Depth of messages and of strings, output, time, and the number of elements."""
    depth = ContainerBounds(depth=5)
    assert read(nested(5), depth) == Found(CmsKind.SIGNED, ENTITY)
    assert read(nested(6), depth).odd == {ContainerLimit.DEPTH}
    assert read(message(SIGNED, b"\x24\x80" * 9), depth).odd == {ContainerLimit.DEPTH}
    assert read(FORMS["pieces"], ContainerBounds(output=5000)).odd == {ContainerLimit.OUTPUT}
    assert read(FORMS["compressed"], ContainerBounds(output=5000)).odd == {ContainerLimit.OUTPUT}
    late = ContainerBounds(clock=lambda: 2.0, deadline=1.0)
    assert read(FORMS["pieces of one byte"], late).odd == {ContainerLimit.TIME}
    assert read(message(SIGNED, b"\x24\x80" + b"\x04\0" * 300_001)).odd == {ContainerLimit.MEMBERS}


def test_messages_in_pieces_are_joined_up_to_a_bound() -> None:
    """Only those that are read further: a content that is not a message is never in one piece."""
    few = ContainerBounds(memory=1000)
    assert read(FORMS["pieces"], few) == Found(CmsKind.SIGNED, ENTITY)
    inner = message(SIGNED, element(0x04, ENTITY))
    halves = element(0x24, element(0x04, inner[:500]), element(0x04, inner[500:]))
    assert read(message(SIGNED, halves)) == Found(CmsKind.SIGNED, ENTITY)
    assert ContainerLimit.MEMORY in read(message(SIGNED, halves), few).odd
    packed = zlib.compress(bytes(range(256)) * 8, 0)
    halves = element(0x24, element(0x04, packed[:500]), element(0x04, packed[500:]))
    assert ContainerLimit.MEMORY in read(message(COMPRESSED, halves), few).odd
    text = b"-----BEGIN CMS-----\n" + b"MIIB" * 400
    assert read(text, few) == Found(CmsKind.NONE, b"", frozenset({ContainerLimit.MEMORY}))


def test_deep_nesting_is_no_recursion() -> None:
    """Many lengths that are not known, in front of the content and within it."""
    open_ends = b"\x30\x80" * 300_000
    assert read(element(0x30, SIGNED, element(0xA0, element(0x30, open_ends)))).odd == {ContainerLimit.MEMBERS}
    assert read(open_ends).kind is CmsKind.NONE


@given(st.sampled_from([*FORMS.values()]), st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=4)), max_size=5))
def test_nothing_raises(raw: bytes, changes: list[tuple[int, bytes]]) -> None:
    """Messages with bytes changed in front have a content or none, twice the same."""
    changed = bytearray(raw)
    for at, new in changes:
        changed[at : at + len(new)] = new
    assert read(bytes(changed)) == read(bytes(changed))


@given(st.binary(max_size=200))
def test_any_bytes_are_read(raw: bytes) -> None:
    """Behind a type of content as well."""
    read(raw)
    read(element(0x30, SIGNED, element(0xA0, element(0x30, raw))))


OPENSSL = shutil.which("openssl") or ""
needs_openssl = pytest.mark.skipif(not OPENSSL, reason="openssl is not installed")


def openssl(folder: Path, *arguments: str, data: bytes = b"") -> bytes:
    """The output of openssl."""
    done = subprocess.run([OPENSSL, *arguments], cwd=folder, input=data, check=True, capture_output=True)
    return done.stdout


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the key and certificate of somebody."""
    folder = tmp_path_factory.mktemp("keys")
    key = ["-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"]
    openssl(folder, "req", "-x509", *key, "-subj", "/CN=somebody", "-days", "9")
    return folder


SIGN = ["-sign", "-signer", "cert.pem", "-inkey", "key.pem", "-nodetach"]
KINDS: dict[CmsKind, list[list[str]]] = {
    CmsKind.SIGNED: [SIGN, [*SIGN, "-nocerts"], [*SIGN, "-keyid", "-noattr"]],
    CmsKind.DATA: [["-data_create"]],
    CmsKind.DIGESTED: [["-digest_create"]],
}
CLEAR = [(kind, command) for kind, commands in KINDS.items() for command in commands]
ENCRYPTED = [
    ["-encrypt", "-aes256", "-recip", "cert.pem"],
    ["-encrypt", "-aes-256-gcm", "-recip", "cert.pem"],
    ["-encrypt", "-aes128", "-pwri_password", "secret"],
    ["-EncryptedData_encrypt", "-aes128", "-secretkey", "00" * 16],
]
WAYS = [[*stream, "-outform", form] for stream, form in product([[], ["-stream"]], ["DER", "PEM"])]


@needs_openssl
@pytest.mark.parametrize("way", WAYS, ids=" ".join)
@pytest.mark.parametrize(("kind", "command"), CLEAR)
def test_the_content_that_openssl_wrote_is_read(
    keys: Path, kind: CmsKind, command: Sequence[str], way: Sequence[str]
) -> None:
    """Each kind that is not encrypted, of definite and indefinite length, in DER and PEM."""
    assert read(openssl(keys, "cms", "-binary", *command, *way, data=ENTITY)) == Found(kind, ENTITY)


@needs_openssl
@pytest.mark.parametrize("way", WAYS, ids=" ".join)
@pytest.mark.parametrize("command", ENCRYPTED, ids=" ".join)
def test_what_openssl_encrypted_is_named(keys: Path, command: Sequence[str], way: Sequence[str]) -> None:
    """By a key, a password, with and without authentication."""
    assert read(openssl(keys, "cms", "-binary", *command, *way, data=ENTITY)) == Found(CmsKind.ENCRYPTED)
