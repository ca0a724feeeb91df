"""What a scan of the parts learns about how deep they lie."""

import base64
import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from miltscan.core.containers.tar import as_tar
from miltscan.core.message import PREFACE, Message
from miltscan.core.verdict import Verdict
from miltscan.engines.base import Tick
from miltscan.scanning.spool import Spool
from miltscan.scanning.unwrapping import Unwrapped, Unwrapping
from tests.fakes.archives import as_ar, as_lzip
from tests.fakes.messages import message
from tests.fakes.zips import plain

ZIP = plain(b"a.txt")
TAR = b"".join(as_tar([memoryview(ZIP)]))
TEXT = b"Content-Type: text/plain\r\n\r\nHello\r\n"


class CleanScanner:
    """An engine that finds nothing."""

    name = "fake"
    required = True

    def scan(self, _mail: Message, _deadline: float, _tick: Tick) -> Verdict:
        """Clean."""
        return Verdict.clean(self.name)


@pytest.fixture
def unwrapped(tmp_path: Path) -> Iterator[Callable[[bytes], Unwrapped]]:
    """A function that makes a message of bytes, about whose files rules ask."""
    spools: list[Spool] = []

    def made(data: bytes) -> Unwrapped:
        spool = Spool(tmp_path, 1 << 20)
        spools.append(spool)
        spool.write(PREFACE + data)
        return Unwrapping(tmp_path, 1 << 20, 50, 1 << 20, 0, attachments=True).of(
            message(content=spool, size=len(data))
        )

    yield made
    for spool in spools:
        spool.close()


def mail(*parts: bytes) -> bytes:
    """A message of these parts."""
    head = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n"
    depth = max((part.count(b"boundary=") for part in parts), default=0)
    body = b"".join(b"--b%d\r\n" % depth + one + b"\r\n" for one in parts)
    return head % depth + body + b"--b%d--\r\n" % depth


def attached(content: bytes) -> bytes:
    """An attachment."""
    head = b"Content-Type: application/octet-stream; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head + base64.encodebytes(content).replace(b"\n", b"\r\n")


def forwarded(content: bytes) -> bytes:
    """A forwarded message."""
    return b"Content-Type: message/rfc822\r\n\r\n" + content


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize(
    ("data", "depth"),
    [
        (b"Subject: a\r\n\r\nHello\r\n", 0),
        (mail(TEXT, attached(b"data")), 0),
        (mail(mail(TEXT, TEXT), attached(b"data")), 0),
        (mail(TEXT, attached(ZIP)), 1),
        (mail(TEXT, attached(plain(b"b.zip", ZIP))), 2),
        (mail(TEXT, attached(ZIP), attached(plain(b"b.zip", ZIP))), 2),
        (mail(TEXT, attached(plain(b"b.zip", ZIP)), attached(as_ar(plain(b"b.zip", ZIP)))), 3),
        (mail(TEXT, attached(as_ar(as_lzip(ZIP)))), 3),
        (mail(TEXT, attached(gzip.compress(b"a text"))), 1),
        (mail(TEXT, attached(gzip.compress(TAR))), 3),
        (mail(TEXT, attached(b"!<arch>\n")), 0),
        (mail(TEXT, attached(b"7z\xbc\xaf\x27\x1c")), 1),
        (mail(TEXT, forwarded(b"Subject: a\r\n\r\nHello\r\n")), 1),
        (mail(TEXT, forwarded(mail(TEXT, attached(ZIP)))), 2),
        (mail(TEXT, forwarded(mail(TEXT, forwarded(mail(TEXT, TEXT))))), 2),
        (mail(TEXT, attached(b"From: a\r\nSubject: a\r\n\r\nHello\r\n")), 1),
    ],
)
def test_the_depth_of_a_message(
    unwrapped: Callable[[bytes], Unwrapped], data: bytes, depth: int, *, asked: bool
) -> None:
    """Messages and archives count, multiparts do not, whether an engine was asked or not."""
    made = unwrapped(data)
    if asked:
        made.scan(CleanScanner(), time.monotonic() + 60, lambda: None)
    structure, _ = made.known(lambda: None)
    assert structure
    assert structure.depth == depth
