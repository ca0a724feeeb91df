"""The transfer encoding of a body: which ones its fields name, which decodings it may need, and the decoders. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from miltscan.core.mime import base64_body, inline, quoted_body
from miltscan.core.mime.closed import Anomaly, Decoding

GROWTH: Mapping[Decoding, int] = {Decoding.BINHEX: 64}
"""How many bytes one byte becomes at most; 1 where it is missing. BinHex writes 255 equal bytes as four."""
_DECODERS: Mapping[Decoding, Callable[[memoryview], Iterator[bytes]]] = {
    Decoding.BASE64: base64_body.base64,
    Decoding.BASE64_URL: base64_body.base64_url,
    Decoding.BASE64_PIECES: base64_body.base64_pieces,
    Decoding.BASE64_LINES: base64_body.base64_lines,
    Decoding.BASE64_HEAD: base64_body.base64_head,
    Decoding.BASE64_CUT: base64_body.base64_cut,
    Decoding.BASE64_UNPADDED: base64_body.base64_unpadded,
    Decoding.BASE64_QUADS: base64_body.base64_quads,
    Decoding.BASE64_ZEROS: base64_body.base64_zeros,
    Decoding.QUOTED: quoted_body.quoted,
    Decoding.QUOTED_LF: quoted_body.quoted_lf,
    Decoding.QUOTED_BLANKS: quoted_body.quoted_blanks,
    Decoding.QUOTED_DROP0: partial(quoted_body.quoted_dropping, 0),
    Decoding.QUOTED_DROP1: partial(quoted_body.quoted_dropping, 1),
    Decoding.QUOTED_DROP2: partial(quoted_body.quoted_dropping, 2),
    Decoding.UU: inline.uu,
    Decoding.XX: inline.xx,
    Decoding.YENC: inline.yenc,
    Decoding.BINHEX: inline.binhex,
}


class TransferEncoding(StrEnum):
    """A transfer encoding; all but the first three are no standard of MIME, but in use."""

    IDENTITY = "identity"
    BASE64 = "base64"
    QUOTED = "quoted-printable"
    UU = "uuencode"
    XX = "xxencode"
    YENC = "yenc"
    BINHEX = "binhex"


STANDARD = (TransferEncoding.IDENTITY, TransferEncoding.BASE64, TransferEncoding.QUOTED)
_NAMES: Mapping[bytes, TransferEncoding] = {
    b"7bit": TransferEncoding.IDENTITY,
    b"8bit": TransferEncoding.IDENTITY,
    b"binary": TransferEncoding.IDENTITY,
    b"base64": TransferEncoding.BASE64,
    b"quoted-printable": TransferEncoding.QUOTED,
}
_WORDS = (
    (b"64", TransferEncoding.BASE64),
    (b"quoted", TransferEncoding.QUOTED),
    (b"printable", TransferEncoding.QUOTED),
    (b"qp", TransferEncoding.QUOTED),
    (b"uu", TransferEncoding.UU),
    (b"xx", TransferEncoding.XX),
    (b"yenc", TransferEncoding.YENC),
    (b"binhex", TransferEncoding.BINHEX),
)
"""Other names contain one of these words: x-uue, x-yencode, mac-binhex40, gzip64, "base64 (a comment)"."""
_OTHERS: Mapping[TransferEncoding, tuple[Decoding, ...]] = {
    TransferEncoding.IDENTITY: (Decoding.IDENTITY,),
    TransferEncoding.UU: (Decoding.UU,),
    TransferEncoding.XX: (Decoding.XX,),
    TransferEncoding.YENC: (Decoding.YENC,),
    TransferEncoding.BINHEX: (Decoding.BINHEX,),
}


class Named(NamedTuple):
    """The encodings that a header may mean: one, or all that a reader may guess."""

    transfers: tuple[TransferEncoding, ...]
    anomalies: tuple[Anomaly, ...] = ()

    @property
    def certain(self) -> bool:
        """Whether all readers take the same encoding."""
        return len(self.transfers) == 1


_NOT_NAMED = Named((TransferEncoding.IDENTITY,))


class Body(NamedTuple):
    """The decodings that a body may need, the likeliest first."""

    decodings: tuple[Decoding, ...]
    anomalies: tuple[Anomaly, ...]
    clean: bool
    """Whether all readers agree on one decoding."""


_AS_IT_IS = Body((Decoding.IDENTITY,), (), clean=True)


def named_encodings(values: Sequence[bytes], *, certain: bool) -> Named:
    """The encodings that the values of all fields Content-TransferEncoding-Encoding may mean.

    `certain` means that every reader takes them for the values of these fields.
    """
    if not values:
        return _NOT_NAMED
    known = [_NAMES.get(value.lower()) for value in values]
    if certain and len(known) == 1 and known[0]:
        return Named((known[0],))
    text = b" ".join(values).lower()
    guesses = [transfer for word, transfer in _WORDS if word in text] or STANDARD
    anomalies = (Anomaly.ENCODING_TWICE,) if len(known) > 1 else () if known[0] else (Anomaly.ENCODING_UNKNOWN,)
    return Named(tuple(dict.fromkeys([TransferEncoding.IDENTITY, *guesses])), anomalies)


def decodings(view: memoryview, transfers: Sequence[TransferEncoding], *, text: bool) -> Body:
    """The decodings that a body may need; what several encodings make of it is no anomaly of the body."""
    if transfers == _NOT_NAMED.transfers:
        return _AS_IT_IS
    found = [_of(view, transfer, text=text) for transfer in transfers]
    if len(found) == 1:
        return found[0]
    return Body(tuple(decoding for body in found for decoding in body.decodings), (), clean=False)


def _of(view: memoryview, transfer: TransferEncoding, *, text: bool) -> Body:
    if transfer is TransferEncoding.BASE64:
        return Body(*base64_body.base64_body(view))
    if transfer is TransferEncoding.QUOTED:
        return Body(*quoted_body.quoted_body(view, text=text))
    return Body(_OTHERS[transfer], (), clean=transfer is TransferEncoding.IDENTITY)


def decode_chunks(view: memoryview, decoding: Decoding) -> Iterator[bytes | memoryview]:
    """The content in pieces, each made when it is asked for; `view` itself where nothing has to be decoded."""
    return iter((view,)) if decoding is Decoding.IDENTITY else _DECODERS[decoding](view)
