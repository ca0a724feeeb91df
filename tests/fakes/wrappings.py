"""The families of wrapping: ways in which a mail can hold an attachment that some mail readers show and others do not.

FAMILIES has a builder for each form: it takes the attachment, and returns the mail. The forms follow the RFCs, or are
usual faults of mailers, or are tricks; public descriptions of them are RFC 2045 to 2047, RFC 2231, the draft
draft-chen-email-mime-ambiguity-defense, and the talks of Steffen Ullrich (noxxi/mime-is-broken).
"""

import base64
import binascii
import quopri
from collections.abc import Callable, Mapping
from functools import partial

Builder = Callable[[bytes], bytes]

_HQX = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_XX = b"+-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_OCTETS = b"Content-Type: application/octet-stream\r\n"
_PKCS7 = bytes.fromhex("2a864886f70d0107")
_TEXT = b"Content-Type: text/plain\r\n"
_NAME = b'Content-Disposition: attachment; filename="report.bin"\r\n'
_ENCODED = b"Content-Transfer-Encoding: base64\r\n"


def lines(text: bytes, width: int, ending: bytes = b"\r\n") -> bytes:
    """Text in lines of `width` characters."""
    return b"".join(text[at : at + width] + ending for at in range(0, len(text), width))


def b64(content: bytes, width: int = 76) -> bytes:
    """Base64 in lines, without a line end behind the last one."""
    return lines(base64.b64encode(content), width).removesuffix(b"\r\n")


def b64_pieces(content: bytes, size: int, ending: bytes) -> bytes:
    """Base64 of each `size` bytes of the content, with its own padding."""
    return b"".join(base64.b64encode(content[at : at + size]) + ending for at in range(0, len(content), size))


def qp(content: bytes, soft: bytes = b"=\r\n") -> bytes:
    """Quoted-printable with each byte as an escape, so that no line end of the content is one of the text."""
    return lines(b"".join(b"=%02X" % code for code in content), 60, soft)


def uu(content: bytes, name: bytes = b"report.bin") -> bytes:
    """Uuencode with its first and last lines."""
    body = [binascii.b2a_uu(content[at : at + 45]) for at in range(0, len(content), 45)]
    return b"begin 644 %b\r\n" % name + b"".join(body).replace(b"\n", b"\r\n") + b"`\r\nend\r\n"


def xx(content: bytes) -> bytes:
    """Xxencode with its first and last lines."""
    first, *body = uu(content).split(b"\r\n")[:-3]
    table = bytes.maketrans(bytes(range(32, 97)), _XX + _XX[:1])
    return b"\r\n".join([first, *(line.translate(table) for line in body), b"+", b"end", b""])


def begin_base64(content: bytes) -> bytes:
    """The base64 form of uuencode (POSIX)."""
    return b"begin-base64 644 report.bin\r\n" + b64(content) + b"\r\n====\r\n"


def yenc(content: bytes) -> bytes:
    """YEnc of one part, as one line."""
    body = bytearray()
    for code in content:
        shifted = (code + 42) % 256
        body += bytes([61, (shifted + 64) % 256]) if shifted in b"\0\r\n=" else bytes([shifted])
    return b"=ybegin line=128 size=%d name=report.bin\r\n" % len(content) + body + b"\r\n=yend size=%d" % len(content)


def binhex(content: bytes) -> bytes:
    """BinHex 4.0, with runs of equal bytes as 0x90 and their number."""
    fork = b"\x0areport.bin\0BINAhDmp\0\0" + len(content).to_bytes(4, "big") + bytes(4) + b"CC" + content + b"CCRR"
    packed, at = b"", 0
    while at < len(fork):
        run = next((size for size in range(255, 0, -1) if fork[at : at + size] == fork[at : at + 1] * size), 1)
        byte = fork[at : at + 1]
        packed += (byte + b"\0" if byte == b"\x90" else byte) + (b"\x90%c" % run if run > 3 else b"")
        at += run if run > 3 else 1
    text = base64.b64encode(packed + bytes(-len(packed) % 3)).translate(bytes.maketrans(_BASE64, _HQX))
    return b"(This file must be converted with BinHex 4.0)\r\n\r\n:" + lines(text, 64)[:-2] + b":\r\n"


def mail(header: bytes, body: bytes) -> bytes:
    """A message with a header of its own fields and these."""
    return b"From: a@example.org\r\nSubject: report\r\nMIME-Version: 1.0\r\n" + header + b"\r\n" + body


def mixed(part: bytes, boundary: bytes = b"bb", field: bytes | None = None, kind: bytes = b"multipart/mixed") -> bytes:
    """A multipart of a text and a part; `field` is the whole field Content-Type."""
    field = b'Content-Type: %b; boundary="%b"\r\n' % (kind, boundary) if field is None else field
    text = b"Content-Type: text/plain\r\n\r\nSee the attachment.\r\n"
    return mail(field, b"--%b\r\n%b\r\n--%b\r\n%b\r\n--%b--\r\n" % (boundary, text, boundary, part, boundary))


def attached(body: bytes, encoding: bytes = _ENCODED) -> bytes:
    """A multipart whose second part has this body."""
    return mixed(_OCTETS + _NAME + encoding + b"\r\n" + body)


def field(content: bytes, encoding: bytes) -> bytes:
    """A multipart whose second part is base64, with this instead of the field that says so."""
    return attached(b64(content), encoding)


def boundary(content: bytes, parameter: bytes, delimiter: bytes = b"b b") -> bytes:
    """A multipart with this boundary parameter, of which the delimiters make this; the attachment is not encoded."""
    return mixed(_OCTETS + _NAME + b"\r\n" + content, delimiter, b"Content-Type: multipart/mixed" + parameter + b"\r\n")


def delimiters(content: bytes, opening: bytes, closing: bytes = b"--bb--") -> bytes:
    """A multipart with the boundary bb and these lines instead of its delimiters."""
    part = _OCTETS + _NAME + _ENCODED + b"\r\n" + b64(content)
    head = b"Content-Type: multipart/mixed; boundary=bb\r\n"
    return mail(
        head, b"%b\r\nContent-Type: text/plain\r\n\r\ntext\r\n%b\r\n%b\r\n%b\r\n" % (opening, opening, part, closing)
    )


def in_text(content: bytes, encode: Builder) -> bytes:
    """A message of one text in which the attachment stands."""
    return mail(_TEXT, b"Hello,\r\n" + encode(content) + b"\r\nbye\r\n")


def in_base64_text(content: bytes, encode: Builder) -> bytes:
    """The same, and the text is encoded."""
    return mail(_TEXT + _ENCODED, b64(b"Hello,\r\n" + encode(content) + b"\r\nbye\r\n"))


def in_multipart(content: bytes, kind: bytes) -> bytes:
    """A multipart of this kind whose second part is base64."""
    return mixed(_OCTETS + _ENCODED + b"\r\n" + b64(content), kind=b"multipart/" + kind)


def der(tag: int, *contents: bytes) -> bytes:
    """An element of ASN.1 in DER."""
    content = b"".join(contents)
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    size = len(content).to_bytes(3, "big")
    return bytes([tag, 0x83]) + size + content


def signed(content: bytes) -> bytes:
    """Opaque S/MIME without signers: CMS SignedData (RFC 5652) around a part with the content."""
    part = _OCTETS + _NAME + _ENCODED + b"\r\n" + b64(content)
    data = der(0x30, der(0x06, _PKCS7 + b"\1"), der(0xA0, der(0x04, part)))
    return der(0x30, der(0x06, _PKCS7 + b"\2"), der(0xA0, der(0x30, b"\2\1\1", der(0x31), data, der(0x31))))


def nested(content: bytes, depth: int) -> bytes:
    """Multiparts within each other, of which the innermost has a part."""
    part = _OCTETS + _ENCODED + b"\r\n" + b64(content)
    for level in range(depth):
        name = b"n%d" % level
        part = b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n--%b\r\n%b\r\n--%b--" % (name, name, part, name)
    return mail(b"", b"")[:-2] + part


_BASE64_FORMS: Mapping[str, Builder] = {
    "usual": lambda c: attached(b64(c)),
    "LF only": lambda c: attached(b64(c)).replace(b"\r\n", b"\n") if b"\r\n" not in c else attached(b64(c)),
    "one line": lambda c: attached(base64.b64encode(c)),
    "lines of one": lambda c: attached(b64(c, 1)),
    "lines of 61": lambda c: attached(b64(c, 61)),
    "blank lines": lambda c: attached(b"\r\n\r\n" + b64(c).replace(b"\r\n", b"\r\n\r\n") + b"\r\n\r\n"),
    "blanks and tabs": lambda c: attached(lines(base64.b64encode(c), 10, b" \t\r\n")),
    "foreign characters": lambda c: attached(lines(base64.b64encode(c), 10, b"#!\r\n")),
    "no padding": lambda c: attached(b64(c).rstrip(b"=")),
    "too much padding": lambda c: attached(b64(c) + b"=="),
    "joined": lambda c: attached(b64_pieces(c, 50, b"")),
    "each line a piece": lambda c: attached(b64_pieces(c, 50, b"\r\n")),
    "padding at each line": lambda c: attached(lines(base64.b64encode(c).rstrip(b"="), 76, b"=\r\n")),
    "padding in groups": lambda c: attached(b"".join(b"%b=%b" % (g[:2], g[2:]) for g in b64(c, 4).split(b"\r\n"))),
    "padding for zeros": lambda c: attached(base64.b64encode(c).replace(b"AA", b"A=")),
    "junk line first": lambda c: attached(b"This is base64:\r\n" + b64(c)),
    "short line first": lambda c: attached(b"A\r\n" + b64(c)),
    "comments": lambda c: attached(lines(base64.b64encode(c), 10, b"#QUJD\r\n")),
    "rest of a group": lambda c: attached(lines(base64.b64encode(c), 4, b"XX\r\n")),
    "footer": lambda c: attached(b64(c) + b"\r\n_______\r\nlist-info: https://example.org/?a=b"),
    "URL alphabet": lambda c: attached(base64.urlsafe_b64encode(c)),
    "gzip64": lambda c: attached(b64(c), b"Content-Transfer-Encoding: x-gzip64\r\n"),
}
_ENCODING = b"Content-Transfer-Encoding"
_NAMES: Mapping[str, bytes] = {
    "case": b"content-TRANSFER-encoding:BASE64\r\n",
    "fold": _ENCODING + b":\r\n base64\r\n",
    "blanks": _ENCODING + b": \t base64 \t\r\n",
    "comment": _ENCODING + b": base64 (a comment)\r\n",
    "quotes": _ENCODING + b': "base64"\r\n',
    "parameter": _ENCODING + b": base64; x=y\r\n",
    "blank before the colon": _ENCODING + b" : base64\r\n",
    "no colon": _ENCODING + b" base64\r\n",
    "two colons": _ENCODING + b":: base64\r\n",
    "twice, the second": _ENCODING + b": 7bit\r\n" + _ENCODING + b": base64\r\n",
    "twice, the first": _ENCODING + b": base64\r\n" + _ENCODING + b": 8bit\r\n",
    "empty first": _ENCODING + b":\r\n" + _ENCODING + b": base64\r\n",
    "unknown": _ENCODING + b": x-secret\r\n",
    "encoded word": _ENCODING + b": =?us-ascii?Q?base64?=\r\n",
    "escape": _ENCODING + b": base\\64\r\n",
    "behind a bare CR": b"X-A: b\r" + _ENCODING + b": base64\r\n",
    "behind a vertical tab": b"X-A: b\v" + _ENCODING + b": base64\r\n",
    "behind a separator": b"Content-Description: b\x1d" + _ENCODING + b": base64\r\n",
    "in a folded line": b"X-A: b\r\n " + _ENCODING + b": base64\r\n",
}
_QUOTED = b"Content-Transfer-Encoding: quoted-printable\r\n"
_QP_FORMS: Mapping[str, Builder] = {
    "usual": lambda c: attached(qp(c), _QUOTED),
    "by an encoder": lambda c: (
        attached(quopri.encodestring(c, quotetabs=True).replace(b"=0D\n", b"=0D=0A=\r\n"), _QUOTED)
        if b"\n" not in c.replace(b"\r\n", b"")
        else attached(qp(c), _QUOTED)
    ),
    "lower case": lambda c: attached(qp(c).lower(), _QUOTED),
    "blanks behind soft breaks": lambda c: attached(qp(c, b"= \t\r\n"), _QUOTED),
    "one line": lambda c: attached(qp(c, b""), _QUOTED),
    "lines end with LF": lambda c: attached(qp(c).replace(b"=0A", b"\r\n"), _QUOTED),
    "broken escape": lambda c: attached(qp(c, b"=\r\n=0X"), _QUOTED),
    "half escape": lambda c: attached(qp(c, b"=\r\n=0"), _QUOTED),
    "empty escape": lambda c: attached(qp(c, b"=\r\n="), _QUOTED),
}
_INLINE: Mapping[str, Callable[[bytes], bytes]] = {
    "uu": uu,
    "xx": xx,
    "begin-base64": begin_base64,
    "yenc": yenc,
    "binhex": binhex,
}
_INLINE_FORMS: Mapping[str, Builder] = {
    **{f"{name} in a text": partial(in_text, encode=encode) for name, encode in _INLINE.items()},
    **{f"{name} in a base64 text": partial(in_base64_text, encode=encode) for name, encode in _INLINE.items()},
    "uu by the field": lambda c: attached(uu(c), b"Content-Transfer-Encoding: x-uuencode\r\n"),
    "uu without begin": lambda c: attached(
        uu(c).partition(b"\n")[2].removesuffix(b"`\r\nend\r\n"), b"Content-Transfer-Encoding: uue\r\n"
    ),
    "xx by the field": lambda c: attached(xx(c), b"Content-Transfer-Encoding: x-xxencode\r\n"),
    "yenc by the field": lambda c: attached(yenc(c), b"Content-Transfer-Encoding: x-yencode\r\n"),
    "binhex by the field": lambda c: attached(binhex(c), b"Content-Transfer-Encoding: mac-binhex40\r\n"),
    "uu with six digits": lambda c: mail(_TEXT, uu(c).replace(b"begin 644", b"begin 100644")),
    "uu with two blanks": lambda c: mail(_TEXT, uu(c).replace(b"begin 644 ", b"begin  ")),
    "uu in the preamble": lambda c: mixed(_TEXT + b"\r\ntext").replace(
        b"\r\n\r\n--bb", b"\r\n\r\n" + uu(c) + b"\r\n--bb", 1
    ),
    "uu in the epilogue": lambda c: mixed(_TEXT + b"\r\ntext") + uu(c),
    "two in one text": lambda c: mail(_TEXT, uu(b"first") + uu(c)),
    "in the line after another": lambda c: mail(_TEXT, yenc(b"first") + b"\r\n" + uu(c)),
}
_BOUNDARY_FORMS: Mapping[str, Builder] = {
    "token": lambda c: boundary(c, b"; boundary=b-b", b"b-b"),
    "quotes": lambda c: boundary(c, b'; boundary="b:b"', b"b:b"),
    "trailing semicolon": lambda c: boundary(c, b"; boundary=bb;", b"bb"),
    "fold": lambda c: boundary(c, b';\r\n\tboundary="bb"', b"bb"),
    "blank in quotes": lambda c: boundary(c, b'; boundary="b b"'),
    "semicolon in quotes": lambda c: boundary(c, b'; boundary="b;b"', b"b;b"),
    "quoted pair": lambda c: boundary(c, b'; boundary="b\\b"', b"bb"),
    "quoted pair as it is": lambda c: boundary(c, b'; boundary="b\\b"', b"b\\b"),
    "comment before": lambda c: boundary(c, b"; (c) boundary=bb", b"bb"),
    "comment in the middle": lambda c: boundary(c, b"; boundary (c) = (c) bb", b"bb"),
    "comment behind": lambda c: boundary(c, b"; boundary=bb (c)", b"bb"),
    "no semicolon": lambda c: boundary(c, b" boundary=bb", b"bb"),
    "blanks around =": lambda c: boundary(c, b"; boundary = bb", b"bb"),
    "no closing quote": lambda c: boundary(c, b'; boundary="bb', b"bb"),
    "text behind the quote": lambda c: boundary(c, b'; boundary="bb"xx', b"bb"),
    "quote in the middle": lambda c: boundary(c, b'; boundary=bb"xx"', b"bbxx"),
    "encoded": lambda c: boundary(c, b"; boundary*=us-ascii'en'b%62", b"bb"),
    "encoded in UTF-16": lambda c: boundary(c, b"; boundary*=utf-16''%00b%00b", b"bb"),
    "pieces": lambda c: boundary(c, b"; boundary*0=bb; boundary*1=cc", b"bbcc"),
    "encoded pieces": lambda c: boundary(c, b"; boundary*0*=''b%62; boundary*1*=%63c", b"bbcc"),
    "pieces out of order": lambda c: boundary(c, b"; boundary*1=cc; boundary*0=bb", b"bbcc"),
    "pieces as they stand": lambda c: boundary(c, b"; boundary*1=cc; boundary*0=bb", b"ccbb"),
    "encoded word": lambda c: boundary(c, b'; boundary="=?us-ascii?B?YmI=?="', b"bb"),
    "not ASCII": lambda c: boundary(c, b'; boundary="b\xe4"', b"b\xe4"),
    "twice, the first": lambda c: boundary(c, b"; boundary=bb; boundary=cc", b"bb"),
    "twice, the second": lambda c: boundary(c, b"; boundary=bb; boundary=cc", b"cc"),
    "in another parameter": lambda c: boundary(c, b'; x="y;boundary=bb"', b"bb"),
    "field twice, the first": lambda c: boundary(c, b"; boundary=bb\r\nContent-Type: text/plain", b"bb"),
    "field twice, the second": lambda c: boundary(c, b"; boundary=cc\r\nContent-Type: x/y; boundary=bb", b"bb"),
    "very long": lambda c: boundary(c, b"; boundary=" + b"b" * 900, b"b" * 900),
    "type in quotes": lambda c: mixed(_OCTETS + b"\r\n" + c, field=b'Content-Type: "multipart/mixed"; boundary=bb\r\n'),
    "type unknown": lambda c: mixed(_OCTETS + b"\r\n" + c, field=b"Content-Type: x-mixed; boundary=bb\r\n"),
    "type in capitals": lambda c: mixed(_OCTETS + b"\r\n" + c, field=b"CONTENT-TYPE:MULTIPART/MIXED;BOUNDARY=bb\r\n"),
}
_DELIMITER_FORMS: Mapping[str, Builder] = {
    "blanks behind": lambda c: delimiters(c, b"--bb \t"),
    "blanks before": lambda c: delimiters(c, b" --bb"),
    "text behind": lambda c: delimiters(c, b"--bbxx"),
    "one hyphen": lambda c: delimiters(c, b"-bb"),
    "three hyphens": lambda c: delimiters(c, b"---bb"),
    "behind a bare CR": lambda c: delimiters(c, b"\r--bb"),
    "none closes": lambda c: delimiters(c, b"--bb", b""),
    "behind the closing one": lambda c: delimiters(c, b"--bb--"),
    "another boundary": lambda c: delimiters(c, b"--cc", b"--cc--"),
    "no empty line before the body": lambda c: attached(b64(c)).replace(_ENCODED + b"\r\n", _ENCODED),
    "inner begins as outer": lambda c: mixed(mixed(_OCTETS + _ENCODED + b"\r\n" + b64(c), b"bbcc")),
    "outer begins as inner": lambda c: mixed(mixed(_OCTETS + _ENCODED + b"\r\n" + b64(c), b"bb"), b"bbcc"),
    "the same": lambda c: mixed(mixed(_OCTETS + _ENCODED + b"\r\n" + b64(c))),
}
_MESSAGE = b"Content-Type: message/rfc822\r\n"
_STRUCTURE_FORMS: Mapping[str, Builder] = {
    **{
        f"multipart/{kind}": partial(in_multipart, kind=kind.encode())
        for kind in ("alternative", "related", "parallel", "signed", "report", "form-data", "x-unknown")
    },
    "multipart/digest": lambda c: mixed(
        b"\r\nSubject: x\r\n" + _OCTETS + _ENCODED + b"\r\n" + b64(c), kind=b"multipart/digest"
    ),
    "not encoded": lambda c: attached(c, b"Content-Transfer-Encoding: 8bit\r\n"),
    "the message itself": lambda c: mail(_OCTETS + _ENCODED, b64(c)),
    "message": lambda c: mixed(_MESSAGE + b"\r\n" + attached(b64(c)), b"cc"),
    "message in base64": lambda c: mixed(_MESSAGE + _ENCODED + b"\r\n" + b64(attached(b64(c)))),
    "message in quoted-printable": lambda c: mixed(_MESSAGE + _QUOTED + b"\r\n" + qp(attached(b64(c)))),
    "message as a file": lambda c: attached(b64(attached(b64(c)))),
    "multipart in base64": lambda c: mail(
        b"Content-Type: multipart/mixed; boundary=bb\r\n" + _ENCODED,
        b64(b"--bb\r\n" + _OCTETS + _ENCODED + b"\r\n" + b64(c) + b"\r\n--bb--\r\n"),
    ),
    "no fields": lambda c: mixed(b"\r\n" + c),
    "headers alone in front": lambda c: mixed(
        b"Content-Type: text/rfc822-headers\r\n\r\nSubject: x\r\n" + _OCTETS + _ENCODED + b"\r\n" + b64(c)
    ),
    "external body": lambda c: mixed(
        b"Content-Type: message/external-body; access-type=x\r\n\r\n" + _OCTETS + _ENCODED + b"\r\n" + b64(c)
    ),
    "partial": lambda c: mail(b"Content-Type: message/partial; number=1; total=1\r\n", attached(b64(c))),
}
_SMIME = b"Content-Type: application/pkcs7-mime\r\n"
_SMIME_FORMS: Mapping[str, Builder] = {
    "opaque": lambda c: mail(_SMIME + _ENCODED, b64(signed(c))),
    "by its name": lambda c: mail(
        _OCTETS + b"Content-Disposition: attachment; filename=smime.p7m\r\n" + _ENCODED, b64(signed(c))
    ),
    "by its encoded name": lambda c: mail(
        _OCTETS + b'Content-Disposition: attachment; filename="=?utf-8?B?c21pbWUucDdt?="\r\n' + _ENCODED, b64(signed(c))
    ),
    "not encoded": lambda c: mail(_SMIME + b"Content-Transfer-Encoding: binary\r\n", signed(c)),
}
_HEADER_FORMS: Mapping[str, Builder] = {
    "8-bit": lambda c: mail(b"X-A: \xe4\xff\r\n" + _OCTETS + _ENCODED, b64(c)),
    "many fields": lambda c: mail(b"X-A: b\r\n" * 1500 + _OCTETS + _ENCODED, b64(c)),
    "many bytes": lambda c: mail(b"X-A: " + b"b" * 200_000 + b"\r\n" + _OCTETS + _ENCODED, b64(c)),
    "many parameters": lambda c: mail(b"Content-Type: x/y" + b"; a=b" * 5000 + b"\r\n" + _ENCODED, b64(c)),
    "bare CR": lambda c: mail(b"X-A: \rb\r\n" + _OCTETS + _ENCODED, b64(c)),
    "NUL": lambda c: mail(b"X-A: \0b\r\n" + _OCTETS + _ENCODED, b64(c)),
    "a line that is no field": lambda c: mail(b"no field\r\n" + _OCTETS + _ENCODED, b64(c)),
    "a blank line": lambda c: mail(b" \r\n" + _OCTETS + _ENCODED, b64(c)),
    "an empty line": lambda c: mail(b"\r\n" + _OCTETS + _ENCODED, b64(c)),
    "no header": lambda c: _OCTETS + _ENCODED + b"\r\n" + b64(c),
    "byte order mark": lambda c: b"\xef\xbb\xbf" + _OCTETS + _ENCODED + b"\r\n" + b64(c),
    "mbox": lambda c: b"From a@example.org Mon Jan  1 10:00:00 2024\r\n" + attached(b64(c)),
    "the boundary as a field": lambda c: attached(b64(c)).replace(b"Subject", b"--bb: x\r\nSubject", 1),
}
_DEPTH_FORMS: Mapping[str, Builder] = {
    "19 multiparts": partial(nested, depth=19),
    "500 parts": lambda c: mail(
        b"Content-Type: multipart/mixed; boundary=bb\r\n",
        b"--bb\r\nContent-Type: text/plain\r\n\r\ntext\r\n" * 499
        + b"--bb\r\n"
        + _OCTETS
        + _ENCODED
        + b"\r\n"
        + b64(c)
        + b"\r\n--bb--\r\n",
    ),
}
FAMILIES: Mapping[str, Mapping[str, Builder]] = {
    "base64": _BASE64_FORMS,
    "encoding": {name: partial(field, encoding=text) for name, text in _NAMES.items()},
    "quoted-printable": _QP_FORMS,
    "inline": _INLINE_FORMS,
    "boundary": _BOUNDARY_FORMS,
    "delimiter": _DELIMITER_FORMS,
    "structure": _STRUCTURE_FORMS,
    "S/MIME": _SMIME_FORMS,
    "header": _HEADER_FORMS,
    "depth": _DEPTH_FORMS,
}
