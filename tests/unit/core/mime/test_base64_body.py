"""Base64 bodies: which are clean, and what the decoders make of those that are not."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.mime import base64_body as base64_module
from miltscan.core.mime import octets
from miltscan.core.mime.base64_body import base64_body
from miltscan.core.mime.closed import Anomaly, Decoding
from miltscan.core.mime.octets import PIECE
from miltscan.core.mime.transfer import decode_chunks

A, D = Anomaly, Decoding
BROKEN = (D.BASE64, D.BASE64_LINES, D.BASE64_PIECES, D.BASE64_UNPADDED, D.BASE64_QUADS, D.BASE64_ZEROS)
FOREIGN = (D.BASE64, D.BASE64_LINES, D.BASE64_HEAD, D.BASE64_CUT)
PADDED = (D.BASE64_PIECES, D.BASE64_UNPADDED)
characters = st.lists(
    st.sampled_from([b"A", b"QUJD", b"=", b"==", b"\r\n", b"\n", b" ", b"#", b"-_", b"\xff"]), max_size=40
)


def content(body: bytes, decoding: Decoding) -> bytes:
    """What a decoder makes of a body."""
    return b"".join(decode_chunks(memoryview(body), decoding))


@pytest.mark.parametrize(
    ("body", "clean", "decodings", "anomalies"),
    [
        (b"", True, (D.BASE64,), ()),
        (b"\r\n \r\n", True, (D.BASE64,), ()),
        (b"QUJD", True, (D.BASE64,), ()),
        (b"QUI=\r\n", True, (D.BASE64,), ()),
        (b"QQ==\r\n\r\n", True, (D.BASE64,), ()),
        (b"QUJDQUJDQUJDQUJD\r\n" * 3 + b"QUI=", True, (D.BASE64,), ()),
        (b"QUJDQUJDQUJDQUJD\n" * 3 + b"QUI=", True, (D.BASE64,), ()),
        (b"QUJDQUJDQUJDQUJD\r\n" * 2 + b"QUJD\r\n\r\nQUJD", True, (D.BASE64,), ()),
        (b"QUJDQUJDQUJDQUJDQ\r\nUJDQUJD", False, (D.BASE64, D.BASE64_LINES), ()),
        (b"QUJDQUJDQUJDQUJD\r\nQUJDQ\r\nUJD", False, (D.BASE64, D.BASE64_LINES), ()),
        (b"QUJDQUJDQUJDQUJD\r\nQUJDQUJDQUJDQUJDQ\nUJD", False, (D.BASE64, D.BASE64_LINES), ()),
        (b"Q\r\nUJD", False, (D.BASE64, D.BASE64_LINES), ()),
        (b"QUI", False, (D.BASE64,), ()),
        (b"QUJD=", False, (D.BASE64,), ()),
        (b"QUJD===", False, (D.BASE64,), ()),
        (b"QUI=QUI=", False, BROKEN, (A.PADDING_INSIDE,)),
        (b"QUI=\r\nQUJD", False, BROKEN, (A.PADDING_INSIDE,)),
        (b"QUJD=QUJD", False, BROKEN, (A.PADDING_INSIDE, A.PADDING_BROKEN)),
        (b"QUI===QUJD", False, BROKEN, (A.PADDING_INSIDE, A.PADDING_BROKEN)),
        (b"QUJD!", False, FOREIGN, (A.BASE64_FOREIGN,)),
        (b"QUI=!", False, (*FOREIGN, *PADDED, *BROKEN[-2:]), (A.BASE64_FOREIGN, A.PADDING_INSIDE)),
        (b"!QUI=QUI=", False, (*FOREIGN, *PADDED), (A.BASE64_FOREIGN, A.PADDING_INSIDE)),
        (b"QU-_", False, (*FOREIGN, D.BASE64_URL), (A.BASE64_FOREIGN,)),
    ],
)
def test_what_a_body_may_mean(
    body: bytes, *, clean: bool, decodings: tuple[Decoding, ...], anomalies: tuple[Anomaly, ...]
) -> None:
    """The decodings of a body, the likeliest first, and what is odd about it."""
    assert base64_body(memoryview(body)) == (decodings, anomalies, clean)


@pytest.mark.parametrize(
    ("decoding", "body", "expected"),
    [
        (D.BASE64, b"Q U\r\nJ#D", b"ABC"),
        (D.BASE64, b"QUI=QUJD", b"AB"),
        (D.BASE64, b"QUJDQ", b"ABC"),
        (D.BASE64, b"QUJDQU", b"ABCA"),
        (D.BASE64_URL, b"-_-_", b"\xfb\xff\xbf"),
        (D.BASE64_UNPADDED, b"QU=JD", b"ABC"),
        (D.BASE64_ZEROS, b"QU=DQQ==", b"A@\x03A"),
        (D.BASE64_PIECES, b"QUI=QUI=QQ==QUJD", b"ABABAABC"),
        (D.BASE64_PIECES, b"QQ=Qg=Qw=", b"ABC"),
        (D.BASE64_PIECES, b"=QUI\n=Q0Q", b"ABCD"),
        (D.BASE64_LINES, b"This is junk:\nQUJD\nQ\nQUI=\nQUJDXX\n", b"ABCABABC"),
        (D.BASE64_HEAD, b"QUJD\r\nQUI=\r\n-- \r\nQUJD", b"ABCAB"),
        (D.BASE64_HEAD, b"!QUJD", b""),
        (D.BASE64_CUT, b"QUJD#QUJD\nQU!xx\nJD", b"ABCABC"),
        (D.BASE64_QUADS, b"U=A=QU=JQQ==", b"PABA"),
    ],
)
def test_what_a_decoder_makes_of_it(decoding: Decoding, body: bytes, expected: bytes) -> None:
    """Each reads as some mail reader does."""
    assert content(body, decoding) == expected


@given(st.binary(max_size=400), st.sampled_from([4, 60, 76, 1000]), st.sampled_from([b"\n", b"\r\n"]))
def test_what_an_encoder_writes_is_clean(data: bytes, width: int, ending: bytes) -> None:
    """Its lines are whole groups, and its padding is at the end; the one decoding gives the data."""
    encoded = base64.b64encode(data)
    body = b"".join(encoded[at : at + width] + ending for at in range(0, len(encoded), width))
    assert base64_body(memoryview(body)) == ((D.BASE64,), (), True)
    assert content(body, D.BASE64) == data


@given(characters.map(b"".join))
def test_clean_means_that_all_decoders_agree(body: bytes) -> None:
    """Each decoder makes the same of a clean body, but for the one that knows another alphabet."""
    if base64_body(memoryview(body)).clean:
        found = {content(body, decoding) for decoding in D if decoding.startswith("base64")}
        assert len(found) == 1


@given(
    st.lists(st.sampled_from([b"A", b"QUJD", b"QUJDQUJD", b"=", b"\n", b"\r\n", b"QUJDQUJD\r\n", b"QUJDQUJD\n"])),
    st.sampled_from([16, PIECE]),
)
def test_the_fast_look_is_as_strict_as_the_others(pieces: list[bytes], size: int) -> None:
    """A body that looks regular in one pass is clean by every other rule, wherever a piece ends."""
    body = b"".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base64_module, "PIECE", max(size, len(body.partition(b"\n")[0]) + 1))
        fast = base64_body(memoryview(body))
        patch.setattr(base64_module, "_is_regular", lambda _view: False)
        assert base64_body(memoryview(body)) == fast


@given(characters.map(b"".join), st.sampled_from([one for one in D if one.startswith("base64")]))
def test_windows_change_nothing(body: bytes, decoding: Decoding) -> None:
    """A decoder gives the same wherever a window ends; one that goes by lines only needs them to be whole."""
    whole = content(body, decoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(octets, "PIECE", 4)
        patch.setattr(octets, "WINDOW", max(4, *(len(line) + 1 for line in body.split(b"\n"))))
        assert content(body, decoding) == whole
        assert base64_body(memoryview(body)).decodings
