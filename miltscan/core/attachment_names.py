"""The names of an attachment in every form that a reader may show: RFC 2231, RFC 2047, plain. Total and linear.

    Content-Disposition: attachment; filename*0*=utf-8''r%C3%A9; filename*1="sum.pdf.exe"
    Content-Type: application/pdf; name="=?utf-8?q?r=C3=A9sum.pdf?="

    attachment_names([(b"filename*0*", b"utf-8''r%C3%A9"), ..., (b"name", b"=?utf-8?q?...?=")])  # both names

Readers disagree about which form and which field counts, so all of them do. A mistake in one form hides no other one.
"""

import binascii
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

MOST_NAMES = 16
"""Names of one part that are returned: the first ones and the last ones, since a reader takes the first or the last."""
LONGEST_NAME = 1000
"""Characters of a name that are returned: the last ones, where the extension is."""
_MOST_BYTES = 64 * 1024  # of a value that are decoded
_MOST_PIECES = 1000  # of a continued value
_ATTRIBUTES = frozenset({b"filename", b"name"})
_CHARSETS = frozenset(
    {"utf-8", "utf-7", "utf-16", "utf-16le", "utf-16be", "us-ascii", "ascii", "latin-1", "latin1", "macintosh"}
    | {f"iso-8859-{number}" for number in range(1, 17) if number != 12}  # noqa: PLR2004 - there is no 12
    | {f"cp{number}" for number in (437, 850, 852, 866, 874, 932, 936, 949, 950, *range(1250, 1259))}
    | {"koi8-r", "koi8-u", "tis-620", "big5", "big5-hkscs", "gb2312", "gbk", "gb18030", "hz-gb-2312"}
    | {"euc-jp", "shift-jis", "sjis", "iso-2022-jp", "iso-2022-jp-1", "iso-2022-jp-2", "euc-kr", "iso-2022-kr"}
    | {"ks-c-5601-1987", "johab"}
)
"""Closed: the codec of an unknown name is looked for in files, and some codecs take time that is not linear."""
_CONTROLS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)))


class _Piece(NamedTuple):
    """A piece of a continued value (RFC 2231, 3 and 4)."""

    number: int
    encoded: bool
    value: bytes


def every_name(parameters: Sequence[tuple[bytes, bytes]]) -> Iterator[str]:
    """The names as they are written, and decoded where they may be encoded: a search costs most parts little."""
    yield from (value.decode("latin-1") for _, value in parameters)
    if any(b"=?" in value or b"%" in value for _, value in parameters):
        yield from attachment_names(parameters)


def attachment_names(parameters: Iterable[tuple[bytes, bytes]]) -> tuple[str, ...]:
    """Return the names in the parameters of Content-Disposition and Content-Type, each once, in their order.

    A parameter is its attribute (`filename`, `name`, with the asterisks and numbers of RFC 2231) and its value, without
    quotes, not decoded. Control characters are left out. A value in no known charset is read as UTF-8 or, where it is
    not, as Latin-1, so that no name is lost.
    """
    names: dict[str, None] = {}
    for raw in _names(parameters):
        # a reader in C ends a name at the zero byte, and some take quotes for what they are not
        for name in (raw, raw.partition("\0")[0], raw.strip("'\"")):
            clean = name.translate(_CONTROLS).strip()[-LONGEST_NAME:]
            if clean:
                names.setdefault(clean)
    found = tuple(names)
    return found if len(found) <= MOST_NAMES else found[: MOST_NAMES // 2] + found[-(MOST_NAMES // 2) :]


def _names(parameters: Iterable[tuple[bytes, bytes]]) -> Iterator[str]:
    """The names as the parameters have them."""
    pieces: dict[bytes, list[_Piece]] = defaultdict(list)
    for written, value in parameters:
        attribute, star, section = written.strip().lower().partition(b"*")
        if attribute not in _ATTRIBUTES:
            continue
        if not star:
            yield from _plain(value[:_MOST_BYTES])
        elif not section:
            yield from _joined([_Piece(0, encoded=True, value=value)])
        elif len(pieces[attribute]) < _MOST_PIECES:
            digits, again, _ = section.partition(b"*")
            pieces[attribute].append(_Piece(_number(digits), bool(again), value))
    for found in pieces.values():
        ordered = sorted(found, key=lambda piece: piece.number)
        yield from _joined(ordered)
        yield from _joined(found)  # some readers take them as they come
        unbroken = [piece for index, piece in enumerate(ordered) if piece.number == index]
        yield from _joined(unbroken)  # and some stop at a number that is missing


def _number(digits: bytes) -> int:
    return int(digits[:9]) if digits.isdigit() else _MOST_BYTES


def _joined(pieces: Sequence[_Piece]) -> Iterator[str]:
    """The name that is continued over the pieces; the first one that is encoded begins with its charset."""
    if not any(piece.encoded for piece in pieces):
        yield from _plain(b"".join(piece.value for piece in pieces)[:_MOST_BYTES])
        return
    charset = b""
    parts = []
    for index, piece in enumerate(pieces):
        value = piece.value
        if piece.encoded:
            if index == 0 and value.count(b"'") >= 2:  # noqa: PLR2004 - charset'language'text
                charset, _, value = value.split(b"'", 2)
            value = unquote_to_bytes(value)
        parts.append(value)
    yield _text(b"".join(parts)[:_MOST_BYTES], charset)


def _plain(value: bytes) -> Iterator[str]:
    """The value as it is, and with its encoded words decoded, which RFC 2047 forbids here and most mailers write."""
    yield _text(value, b"")
    if b"=?" in value:
        yield "".join(_text(data, charset) for charset, data in _words(value))


def _words(value: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Charset and bytes of the encoded words, and of the text between them, which has no charset.

    Words in a row are one if their charset is the same, because a character may be cut between them; the blanks between
    words do not count.
    """
    tokens = [*_tokens(value)]
    last = len(tokens) - 1
    kept = [token for at, token in enumerate(tokens) if token[0] or not (token[1].isspace() and 0 < at < last)]
    for charset, run in groupby(kept, key=itemgetter(0)):
        yield charset, b"".join(data for _, data in run)


def _tokens(value: bytes) -> Iterator[tuple[bytes, bytes]]:
    """As `_words`, each word by itself; what is no word stays text."""
    at = text = 0
    while (start := value.find(b"=?", at)) >= 0:
        charset_end = value.find(b"?", start + 2)
        encoding = value[charset_end + 1 : charset_end + 3].lower() if charset_end > 0 else b""
        if encoding not in {b"b?", b"q?"}:
            at = start + 2
            continue
        end = value.find(b"?=", charset_end + 3)
        if end < 0:
            break
        if start > text:
            yield b"", value[text:start]
        data = value[charset_end + 3 : end]
        yield value[start + 2 : charset_end] or b"?", _unquoted(data) if encoding == b"q?" else _unbased(data)
        at = text = end + 2
    if text < len(value):
        yield b"", value[text:]


def _unquoted(data: bytes) -> bytes:
    return binascii.a2b_qp(data, header=True)


def _unbased(data: bytes) -> bytes:
    try:
        return binascii.a2b_base64(data + b"==")
    except binascii.Error:  # one letter too many
        return data


def _text(data: bytes, charset: bytes) -> str:
    written = charset.partition(b"*")[0]  # behind the asterisk is a language (RFC 2231, 5)
    name = written.decode("ascii", "replace").strip().lower().replace("_", "-").replace("windows-", "cp")
    if name == "utf-16" and data[:1] == b"\0":  # without a mark of its order (RFC 2781, section 4.3)
        name = "utf-16be"
    try:
        return data.decode(name if name in _CHARSETS else "utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
