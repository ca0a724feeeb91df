"""Quoted-printable bodies: which are clean, and what the decoders make of those that are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.mime import octets
from miltscan.core.mime.closed import Anomaly, Decoding
from miltscan.core.mime.quoted_body import quoted_body
from miltscan.core.mime.transfer import decode_chunks
from tests.fakes.wrappings import qp

A, D = Anomaly, Decoding
CLEAN = (D.QUOTED,)
LINES = (D.QUOTED, D.QUOTED_LF)
BLANKS = (*LINES, D.QUOTED_BLANKS)
BROKEN = (*BLANKS, D.QUOTED_DROP0, D.QUOTED_DROP1, D.QUOTED_DROP2)
characters = st.lists(
    st.sampled_from([b"=", b"=3D", b"a", b" ", b"=\r\n", b"\r\n", b"\n", b"=0X", b"\xff"]), max_size=40
)


@pytest.mark.parametrize(
    ("body", "text", "clean", "decodings", "anomalies"),
    [
        (b"", True, True, CLEAN, ()),
        (b"a=3Db=C3=a4=\r\nc=\nd\r\n", True, True, CLEAN, ()),
        (b"a=3D=", False, True, CLEAN, ()),
        (b"a=\r\n", False, True, CLEAN, ()),
        (b"a\r\n=41", False, False, LINES, ()),
        (b"a \r\nb", True, False, BLANKS, ()),
        (b"a\t\nb", True, False, BLANKS, ()),
        (b"a= \r\nb", True, False, BLANKS, ()),
        (b"a=b", True, False, BROKEN, (A.QUOTED_BROKEN,)),
        (b"a==3D", True, False, BROKEN, (A.QUOTED_BROKEN,)),
        (b"a=0X", True, False, BROKEN, (A.QUOTED_BROKEN,)),
        (b"a=4", True, False, BROKEN, (A.QUOTED_BROKEN,)),
    ],
)
def test_what_a_body_may_mean(
    body: bytes, *, text: bool, clean: bool, decodings: tuple[Decoding, ...], anomalies: tuple[Anomaly, ...]
) -> None:
    """The decodings of a body, the likeliest first; the kind of line end does not matter in a text."""
    assert quoted_body(memoryview(body), text=text) == (decodings, anomalies, clean)


@pytest.mark.parametrize(
    ("decoding", "expected"),
    [
        (D.QUOTED, b"A=0XB=4=\r\nC \t\nDE"),
        (D.QUOTED_LF, b"A=0XB=4=\nC \t\nDE"),
        (D.QUOTED_BLANKS, b"A=0XB=4=C\nDE"),
        (D.QUOTED_DROP0, b"A0XB4C\nDE"),
        (D.QUOTED_DROP1, b"AXBC\nDE"),
        (D.QUOTED_DROP2, b"ABC\nDE"),
    ],
)
def test_what_a_decoder_makes_of_it(decoding: Decoding, expected: bytes) -> None:
    """Each reads as some mail reader does."""
    body = b"=41=0X=42=4==\r\nC \t\nD=\r\n=45"
    assert b"".join(decode_chunks(memoryview(body), decoding)) == expected


@given(st.binary(max_size=200))
def test_what_an_encoder_writes_is_clean(data: bytes) -> None:
    """The one decoding gives the data."""
    body = memoryview(qp(data))
    assert quoted_body(body, text=False) == (CLEAN, (), True)
    assert b"".join(decode_chunks(body, D.QUOTED)) == data


@given(characters.map(b"".join), st.sampled_from(BROKEN))
def test_windows_change_nothing(body: bytes, decoding: Decoding) -> None:
    """A decoder gives the same wherever a window ends that holds the longest line."""
    whole = b"".join(decode_chunks(memoryview(body), decoding))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(octets, "WINDOW", max(4, *(len(line) + 1 for line in body.split(b"\n"))))
        assert b"".join(decode_chunks(memoryview(body), decoding)) == whole
