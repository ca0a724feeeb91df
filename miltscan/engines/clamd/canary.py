"""The canary: a mail whose verdict is known, and what a reply to it shows. `watch` decides when it is sent.

It is needed because clamd replies OK when it could not scan: when its temporary folder is missing, not writable or full
(tests/e2e/test_room.py). A small one shows only what affects small mail, so a large one is sent as well.
"""

import gzip
import os
import zipfile
from base64 import encodebytes
from io import BytesIO
from struct import pack
from zlib import crc32

from miltscan.core.message import PREFACE
from miltscan.engines.clamd.reply import ClamdReply, Clean, Found
from miltscan.engines.reply import Failed, Limited

_MAIL = b"""\
From: %(what)s@miltscan.invalid
To: %(what)s@miltscan.invalid
Subject: miltscan %(what)s %(mark)s
Message-ID: <%(mark)s@miltscan.invalid>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="%(mark)s"

--%(mark)s
Content-Type: text/plain

This mail shows that the test signature is found.

--%(mark)s
Content-Type: application/octet-stream
Content-Transfer-Encoding: base64

%(attachment)s
--%(mark)s--
"""

LARGE = 4 * 2**20
"""Bytes that clamd unpacks from each layer of the large canary."""
_RANDOM = 2**19  # bytes


def canary_mail(mark: bytes, attachment: bytes, what: bytes = b"canary") -> bytes:
    """A mail as the spool holds it, which clamd must decode to find the attachment; `what` is the name in its subject.

    `mark` (fit for a boundary) must differ each time: what was clean once, clamd answers from its cache.
    """
    mail = _MAIL % {b"what": what, b"mark": mark, b"attachment": encodebytes(attachment)}
    return PREFACE + mail.replace(b"\n", b"\r\n")


def large_attachment(attachment: bytes) -> bytes:
    """An archive of half a MB in which clamd finds `attachment` last, after 9 MB of temporary files; no two are alike.

    It is an archive in an archive, and half a MB of it is random, which cannot be compressed. A clamd that is short of
    memory fails to decode a mail of that size, while it unpacks a small archive of any content.
    """
    inner, outer = BytesIO(), BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("filler", os.urandom(_RANDOM) + bytes(LARGE - _RANDOM))
        archive.writestr("attachment", attachment)
    with zipfile.ZipFile(outer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("archive.zip", inner.getvalue())
    return outer.getvalue()


def rar_sample(content: bytes) -> bytes:
    """A rar (of RAR 2.9 to 4) that stores a .gz of this content: clamd finds it there only if it opens rar."""
    packed, name = gzip.compress(content, mtime=0), b"sample.gz"
    sizes = pack("<IIBI", len(packed), len(packed), 3, crc32(packed))  # 3: made on Unix
    file = sizes + pack("<IBBHI", 1 << 21 | 1 << 16, 20, 0x30, len(name), 0o100644) + name
    begin, end = _rar_block(0x73, 0, bytes(6)), _rar_block(0x7B, 0x4000, b"")
    return b"Rar!\x1a\x07\0" + begin + _rar_block(0x74, 0x8000, file) + packed + end


def _rar_block(kind: int, flags: int, body: bytes) -> bytes:
    head = pack("<BHH", kind, flags, 7 + len(body)) + body
    return pack("<H", crc32(head) & 0xFFFF) + head


def missed(reply: ClamdReply) -> str:
    """Why `reply` to the canary shows a broken server, for the log; empty if it detected the test signature."""
    match reply:
        case Found(signature) if "eicar" in signature.lower():  # its name depends on the database
            return ""
        case Found(signature):
            return f"detected {signature} instead of the test signature"
        case Clean():
            return "did not detect the test signature"
        case Limited(limit, detail):
            return f"did not scan the test signature: {limit}, {detail}"
        case Failed(fault, detail):
            return f"{fault}: {detail}"
