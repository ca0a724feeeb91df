"""The canary: a mail whose verdict is known, and what a reply to it shows. `watch` decides when it is sent.

It is needed because clamd replies OK when it could not scan: when its temporary folder is missing, not writable or full
(tests/e2e/test_outages.py).
"""

import os
from base64 import encodebytes
from collections.abc import Iterator
from contextlib import contextmanager

from miltscan.core.message import PREFACE
from miltscan.engines.clamd.reply import ClamdReply, Clean, Failed, Found, Limited

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


def canary_mail(mark: bytes, attachment: bytes, what: bytes = b"canary") -> bytes:
    """A mail as the spool holds it, which clamd must decode to find the attachment; `what` is the name in its subject.

    `mark` (fit for a boundary) must differ each time: what was clean once, clamd answers from its cache.
    """
    mail = _MAIL % {b"what": what, b"mark": mark, b"attachment": encodebytes(attachment)}
    return PREFACE + mail.replace(b"\n", b"\r\n")


@contextmanager
def spooled(data: bytes) -> Iterator[int]:
    """A descriptor of a memory file with this content, like the spool of a small message."""
    descriptor = os.memfd_create("miltscan-canary")
    try:
        os.write(descriptor, data)
        yield descriptor
    finally:
        os.close(descriptor)


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
