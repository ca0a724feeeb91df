"""The transfer encoding of a body: what its fields may mean, and which decodings follow."""

import pytest

from miltscan.core.mime.closed import Anomaly, Decoding
from miltscan.core.mime.transfer import STANDARD, TransferEncoding, decode_chunks, decodings, named_encodings

E = TransferEncoding
TWICE, UNKNOWN = (Anomaly.ENCODING_TWICE,), (Anomaly.ENCODING_UNKNOWN,)


@pytest.mark.parametrize(
    ("values", "certain", "transfers", "anomalies"),
    [
        ([], True, (E.IDENTITY,), ()),
        ([], False, (E.IDENTITY,), ()),
        ([b"7bit"], True, (E.IDENTITY,), ()),
        ([b"8BIT"], True, (E.IDENTITY,), ()),
        ([b"binary"], True, (E.IDENTITY,), ()),
        ([b"Base64"], True, (E.BASE64,), ()),
        ([b"quoted-printable"], True, (E.QUOTED,), ()),
        ([b"base64"], False, (E.IDENTITY, E.BASE64), ()),
        ([b"7bit"], False, STANDARD, ()),
        ([b"base64", b"7bit"], True, (E.IDENTITY, E.BASE64), TWICE),
        ([b"base64", b"base64"], True, (E.IDENTITY, E.BASE64), TWICE),
        ([b"", b"qp"], True, (E.IDENTITY, E.QUOTED), TWICE),
        ([b"x-gzip64"], True, (E.IDENTITY, E.BASE64), UNKNOWN),
        ([b"printable"], True, (E.IDENTITY, E.QUOTED), UNKNOWN),
        ([b"x-uue"], True, (E.IDENTITY, E.UU), UNKNOWN),
        ([b"xx"], True, (E.IDENTITY, E.XX), UNKNOWN),
        ([b"x-yencode"], True, (E.IDENTITY, E.YENC), UNKNOWN),
        ([b"mac-binhex40"], True, (E.IDENTITY, E.BINHEX), UNKNOWN),
        ([b"utf-8"], True, STANDARD, UNKNOWN),
        ([b""], True, STANDARD, UNKNOWN),
    ],
)
def test_what_the_fields_may_mean(
    values: list[bytes], *, certain: bool, transfers: tuple[E, ...], anomalies: tuple[Anomaly, ...]
) -> None:
    """One encoding if all readers agree, else all that the name may stand for, and none."""
    named = named_encodings(values, certain=certain)
    assert (named.transfers, named.anomalies) == (transfers, anomalies)
    assert named.certain == (len(transfers) == 1)


def test_a_body_of_one_encoding() -> None:
    """It has the decodings, the anomalies and the cleanness of that encoding."""
    assert decodings(memoryview(b"QUJD"), [E.BASE64], text=False) == ((Decoding.BASE64,), (), True)
    assert decodings(memoryview(b"QUJD!"), [E.BASE64], text=False).anomalies == (Anomaly.BASE64_FOREIGN,)
    assert decodings(memoryview(b"a b"), [E.QUOTED], text=False) == ((Decoding.QUOTED,), (), True)
    assert decodings(memoryview(b"a"), [E.IDENTITY], text=False) == ((Decoding.IDENTITY,), (), True)
    assert decodings(memoryview(b"a"), [E.UU], text=False) == ((Decoding.UU,), (), False)


def test_a_body_of_several_encodings() -> None:
    """What it is not, if it is the other, is no anomaly of it."""
    body = decodings(memoryview(b"Hello!"), [E.IDENTITY, E.BASE64], text=True)
    assert body.decodings[:2] == (Decoding.IDENTITY, Decoding.BASE64)
    assert (body.anomalies, body.clean) == ((), False)


@pytest.mark.parametrize("decoding", Decoding)
def test_every_decoding_has_a_decoder(decoding: Decoding) -> None:
    """It takes nothing, and gives nothing."""
    assert b"".join(decode_chunks(memoryview(b""), decoding)) == b""


def test_what_is_not_encoded_is_not_copied() -> None:
    """The content is the bytes of the message."""
    view = memoryview(b"abc")
    (chunk,) = decode_chunks(view, Decoding.IDENTITY)
    assert chunk is view
