"""The decoders of encodings that stand within a text."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.mime import inline
from miltscan.core.mime.closed import Decoding
from miltscan.core.mime.transfer import GROWTH, decode_chunks
from tests.fakes.wrappings import binhex, uu, xx, yenc

D = Decoding
CODERS = {D.UU: uu, D.XX: xx, D.YENC: yenc, D.BINHEX: binhex}
runs = st.lists(
    st.tuples(st.sampled_from([b"\x90", b"a", b"=", b"\0", b"\xff", b"\x6a"]), st.integers(1, 300)), max_size=8
)


def content(body: bytes, decoding: Decoding) -> bytes:
    """What a decoder makes of a body."""
    return b"".join(decode_chunks(memoryview(body), decoding))


@given(st.one_of(st.binary(max_size=300), runs.map(lambda found: b"".join(byte * count for byte, count in found))))
@pytest.mark.parametrize(("decoding", "encode"), CODERS.items(), ids=CODERS)
def test_what_was_encoded_is_decoded(decoding: Decoding, encode: Callable[[bytes], bytes], data: bytes) -> None:
    """All bytes, also those that an encoding writes in another way."""
    assert content(encode(data), decoding) == data


@pytest.mark.parametrize("cut", [300, 500, 700, 1000])
def test_a_long_file_is_handed_on_in_pieces(monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    """The data fork ends where its length says, wherever a piece ends."""
    monkeypatch.setattr(inline, "_FLUSH", cut)
    data = b"abc" + b"x" * 1000 + b"\x90" * 7
    assert content(binhex(data), D.BINHEX) == data


@pytest.mark.parametrize(
    ("decoding", "body", "expected"),
    [
        (D.UU, b"#86)C\n#86)C\nend\n#86)C\n", b"abcabc"),
        (D.UU, b"begin 644 a\r\n#86)C\r\n`\r\n#86)C\r\n", b"abcabc"),
        (D.UU, b"no line of it\n#86)C  and more\n", b"abc"),
        (D.UU, b"#86\n", b"a`\0"),
        (D.UU, b"", b""),
        (D.YENC, b"=ybegin line=1\n=ypart begin=1\n\x8b=n\x8c=", b"a\x04b"),
        (D.YENC, b"\x8b\r\n=yend\r\n\x8b", b"a"),
        (D.BINHEX, b"no colon", b""),
        (D.BINHEX, b":", b""),
        (D.BINHEX, b":!!!!:", b""),
    ],
)
def test_what_a_decoder_makes_of_it(decoding: Decoding, body: bytes, expected: bytes) -> None:
    """What is missing or no part of the encoding does not matter."""
    assert content(body, decoding) == expected


def test_growth_is_bounded() -> None:
    """A run of 255 bytes is the largest that four characters of BinHex can say."""
    body = binhex(b"x" * 255 * 400)
    assert len(content(body, D.BINHEX)) == 255 * 400
    assert len(content(body, D.BINHEX)) < len(body) * GROWTH[D.BINHEX]
