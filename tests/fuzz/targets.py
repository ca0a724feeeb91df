"""What is fuzzed: readers that must not raise, hang or exceed their bounds, each with inputs to begin with."""

import io
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from email.message import EmailMessage
from typing import NamedTuple

from miltscan.core.anomalies import CmsAnomaly
from miltscan.core.attachment_names import LONGEST_NAME, MOST_NAMES, attachment_names
from miltscan.core.attachments import look_at
from miltscan.core.containers.budget import MIB, Budget, ContainerBounds, ContainerLimit
from miltscan.core.containers.decompress import DataFault, decompress
from miltscan.core.containers.zip import read_zip
from miltscan.core.mime.cms import read_cms
from miltscan.core.mime.part import Bounds
from miltscan.core.mime.reader import read_message
from tests.fakes.cms_forms import FORMS
from tests.fakes.zips import Fields, central, closed, deflated, local, plain

BOUNDS = ContainerBounds(members=200, output=8 * MIB, memory=4 * MIB, file=4 * MIB)


class Target(NamedTuple):
    """A reader, the inputs to begin with, and the largest input in bytes."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]
    largest: int


def read_zips(data: bytes) -> None:
    """Every member by every reading; what comes out is within the bounds."""
    archive = read_zip(data, BOUNDS)
    budget = Budget(BOUNDS, len(data))
    total = 0
    for member in archive.members:
        for reading in (*member.readings, *member.others):
            for piece in decompress(reading, budget):
                total += 0 if isinstance(piece, DataFault | ContainerLimit) else len(piece)
    assert total <= BOUNDS.output
    assert sum(len(member.readings) for member in archive.members) <= BOUNDS.members


def zips() -> Iterator[bytes]:
    """Archives of zipfile by each method, and odd ones."""
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", method) as archive:
            archive.writestr("a.txt", b"a line\n" * 9)
            archive.writestr("folder/b", b"another one\n")
        yield target.getvalue()
    data = deflated(b"a line\n" * 9)
    fields = Fields(flags=8, method=8, packed=len(data), size=63)
    yield local(fields._replace(packed=0)) + data + b"PK\7\10" + closed(b"", central(fields))
    yield plain(b"inner.zip", plain()) + plain(b"joined")


def read_cms_content(data: bytes) -> None:
    """The content in pieces, within the bounds."""
    pieces = read_cms(data, BOUNDS).chunks()
    total = sum(0 if isinstance(piece, CmsAnomaly | ContainerLimit) else len(piece) for piece in pieces)
    assert total <= BOUNDS.output


def read_names(data: bytes) -> None:
    """Lines `attribute=value` are parameters; the names are bounded and without control characters."""
    names = attachment_names((line.partition(b"=")[0], line.partition(b"=")[2]) for line in data.split(b"\n"))
    assert len(names) <= MOST_NAMES
    assert all(len(name) <= LONGEST_NAME and name.translate({0: None}) == name for name in names)
    look_at(names, data)


def parameters() -> Iterator[bytes]:
    """Names in each form."""
    yield b"filename=a.exe\nname==?utf-8?q?a=2Eexe?= =?utf-8?b?YS5leGU=?="
    yield b"filename*0*=utf-8'en'a%2E\nfilename*1=exe\nfilename*=iso-8859-1''%e9\nname*1*=%41"


def read_messages(data: bytes) -> None:
    """Every part of a message, decoded."""
    for part in read_message(data, Bounds(clock=time.thread_time, output=8 * MIB)).parts:
        for _ in part.chunks():
            pass


def messages() -> Iterator[bytes]:
    """Mails as Python's email package writes them."""
    for encoding in ("base64", "quoted-printable"):
        mail = EmailMessage()
        mail["Subject"] = "grüße"
        mail.set_content("Hello ü\n", cte=encoding)
        mail.add_alternative("<p>Hello</p>", subtype="html")
        mail.add_attachment(plain(), maintype="application", subtype="zip", filename="grüße.zip")
        yield mail.as_bytes()


TARGETS: Mapping[str, Target] = {
    "zip": Target(read_zips, zips, 4096),
    "cms": Target(read_cms_content, lambda: (raw[:2000] for raw in FORMS.values()), 4096),
    "names": Target(read_names, parameters, 1024),
    "message": Target(read_messages, messages, 4096),
}
"""Each target by the name that `make fuzz` has for it."""
