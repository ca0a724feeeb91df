"""What is fuzzed: readers that must not raise, hang or exceed their bounds, each with inputs to begin with."""

import bz2
import gzip
import io
import lzma
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from email.message import EmailMessage
from hashlib import sha256
from typing import NamedTuple

from miltscan.core.anomalies import CmsAnomaly
from miltscan.core.attachment_names import LONGEST_NAME, MOST_NAMES, attachment_names
from miltscan.core.attachments import look_at
from miltscan.core.contained import look_inside
from miltscan.core.containers.budget import MIB, Budget, ContainerBounds, ContainerLimit
from miltscan.core.containers.decompress import DataFault, decompress
from miltscan.core.containers.foreign import Foreign, is_proven, read_errors, read_listing
from miltscan.core.containers.tar import as_tar
from miltscan.core.containers.zip import read_zip
from miltscan.core.mime.cms import read_cms
from miltscan.core.mime.part import Bounds
from miltscan.core.mime.reader import read_message
from tests.fakes.archives import as_alone, as_ar, as_lzip
from tests.fakes.cms_forms import FORMS
from tests.fakes.zips import Fields, central, closed, deflated, local, plain

BOUNDS = ContainerBounds(members=200, output=8 * MIB, memory=4 * MIB, file=4 * MIB)
_ENOUGH = 0.5  # seconds of CPU for archives within each other, whose bound on time is what ends the worst of them


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


def look_within(data: bytes) -> None:
    """Archives within each other, as `scanning/unwrapping.py` looks into them; each content is within the bounds."""
    bounds = BOUNDS._replace(clock=time.thread_time, deadline=time.thread_time() + _ENOUGH)
    budget, seen, waiting = Budget(bounds, len(data)), set[bytes](), [(data, 0)]
    while waiting:
        content, depth = waiting.pop()
        digest = sha256(content).digest()
        if digest in seen or depth > bounds.depth:
            continue
        seen.add(digest)
        for one in look_inside("0", content, bounds, budget).inner:
            pieces = [bytes(piece) for piece in one.chunks() if isinstance(piece, bytes | memoryview)]
            assert sum(map(len, pieces)) <= bounds.file + MIB
            waiting.append((b"".join(pieces), depth + 1))


def ars() -> Iterator[bytes]:
    """A Debian package, a library of objects with a long name of BSD, and one within another."""
    packed = lzma.compress(b"a line\n" * 99)
    yield as_ar(b"2.0\n", packed, packed)
    named = as_ar(b"2.0\n", b"ab!<arch>\n", b"data").replace(b"data.tar".ljust(16), b"#1/2".ljust(16))
    yield named
    yield as_ar(b"2.0\n", named, plain(b"inner.zip", plain()))


def lzmas() -> Iterator[bytes]:
    """What is compressed by LZMA alone, with and without a mark at its end, in several members, within another one."""
    text = b"a line\n" * 99
    yield as_alone(text)
    yield lzma.compress(text, lzma.FORMAT_ALONE)
    yield as_lzip(text, b"another one\n")
    yield as_lzip(as_alone(as_ar(b"2.0\n", text, b"")))


def streams() -> Iterator[bytes]:
    """Files that are compressed streams, of several ones and with archives within; and a tar of them."""
    tar = b"".join(as_tar([memoryview(b"a line\n"), memoryview(plain()), memoryview(as_ar(b"2.0\n"))]))
    yield gzip.compress(tar, mtime=0)
    yield bz2.compress(b"a line\n" * 9) + bz2.compress(plain())
    yield lzma.compress(as_lzip(b"a line\n" * 9)) + bytes(4)
    yield b"".join(as_tar([memoryview(gzip.compress(plain(), mtime=0)), memoryview(tar[:600])]))


def read_lists(data: bytes) -> None:
    """What 7-Zip prints about an archive, of which only lines of the table are files."""
    text = data.decode("utf-8", "replace")
    for kind in (Foreign.SEVEN_ZIP, Foreign.WIM):
        listing = read_listing(kind, text)
        assert listing is None or len(listing.files) <= text.count("\n")
        assert listing is None or all(one.size is None or one.size >= 0 for one in listing.files)
    is_proven(text)
    assert len([*read_errors(text, "/proc/self/fd/3")]) <= text.count("\n") + 1


def lists() -> Iterator[bytes]:
    """A table of files, a description of them, and errors."""
    ruler = "------------------- ----- ------------ ------------  ------------------------\n"
    rows = (
        "2026-11-29 15:08:44 ....A         3668          170  eicar.com\n"
        "1980-01-01 00:00:00 D....            0            0  a folder\n"
        "                    .....                            of unknown size\n"
        "                    ..... 1234567890123           12  moved columns\n"
    )
    yield f"Type = 7z\nMethod = LZMA2:12 7zAES\n\n{ruler}{rows}{ruler}  1 files\n".encode()
    yield b"Path = a\nEncrypted = +\nCRC = 01234567\n\nPath = b\nEncrypted = +\nCRC = \n\n"
    yield b"ERROR: /proc/self/fd/3 : Cannot open encrypted archive. Wrong password?\nERROR: Wrong password : a.txt\n"


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
    "ar": Target(look_within, ars, 4096),
    "lzma": Target(look_within, lzmas, 4096),
    "stream": Target(look_within, streams, 4096),
    "listing": Target(read_lists, lists, 2048),
    "cms": Target(read_cms_content, lambda: (raw[:2000] for raw in FORMS.values()), 4096),
    "names": Target(read_names, parameters, 1024),
    "message": Target(read_messages, messages, 4096),
}
"""Each target by the name that `make fuzz` has for it."""
