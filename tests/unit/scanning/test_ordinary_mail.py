"""Ordinary mail as mail programs write it is scanned and delivered: nothing of it is malformed or beyond a bound."""

import io
import os
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from email.message import EmailMessage
from email.policy import SMTP
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from miltscan.core.message import PREFACE, Message
from miltscan.core.verdict import Verdict
from miltscan.engines.base import Tick
from miltscan.scanning.spool import Spool
from miltscan.scanning.unwrapping import Unwrapped, Unwrapping
from tests.fakes.everyday import MAILS
from tests.fakes.messages import message

CLEAN = Verdict.clean("fake")
TEXTS = {
    "plain": "Hello,\n\nplease find the file attached.\n\nRegards\n",
    "umlauts": "Grüße aus Köln\n" * 3,
    "long": "a long line without a break " * 60 + "\n",
    "From": "From here on a line begins like a mailbox\n--\nsignature\n",
}
ENCODINGS = ("quoted-printable", "base64", "8bit")


def zipped(*, method: int = zipfile.ZIP_DEFLATED, streamed: bool = False) -> bytes:
    """A zip as programs write it, with a folder; one that is `streamed` has its sizes behind the data."""
    made = io.BytesIO()
    target: Any = Pipe(made) if streamed else made
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.writestr("folder/", b"")
        archive.writestr("folder/table.csv", b"a;b\n1;2\n" * 200)
        archive.writestr("größe.txt", b"text")
        archive.comment = b"made by a program"
    return made.getvalue()


class Pipe:
    """A file that cannot seek."""

    def __init__(self, file: io.BytesIO) -> None:
        self.write, self.flush = file.write, file.flush


def office() -> bytes:
    """A document, which is a zip."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("[Content_Types].xml", "_rels/.rels", "word/document.xml", "docProps/app.xml"):
            archive.writestr(name, b"<xml/>" * 50)
    return made.getvalue()


FILES: dict[str, tuple[str, str, bytes]] = {
    "none": ("", "", b""),
    "zip": ("application/zip", "a.zip", zipped()),
    "stored zip": ("application/x-zip-compressed", "a.zip", zipped(method=zipfile.ZIP_STORED)),
    "streamed zip": ("application/zip", "a.zip", zipped(streamed=True)),
    "bzip2 zip": ("application/zip", "a.zip", zipped(method=zipfile.ZIP_BZIP2)),
    "document": ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "a.docx", office()),
    "pdf": ("application/pdf", "Rechnung für Mai.pdf", b"%PDF-1.7\n" + os.urandom(3000)),
    "image": ("image/png", "photo.png", b"\x89PNG\r\n\x1a\n" + os.urandom(5000)),
    "calendar": ("text/calendar", "invite.ics", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"),
    "table": ("text/csv", "a.csv", b"a,b\n" * 100),
    "signature": ("application/pkcs7-signature", "smime.p7s", b"0\x82\x01\x00" + bytes(256)),
    "gzip": ("application/gzip", "backup.tar.gz", b"\x1f\x8b\x08" + os.urandom(2000)),
    "forwarded": ("message/rfc822", "", b""),
}


def written(text: str, encoding: str, file: str, *, html: bool) -> bytes:
    """A mail."""
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = "Müller <a@example.org>", "b@example.test", "Größe und Preis"
    mail["Message-ID"], mail["Date"] = "<1@example.org>", "Sun, 29 Nov 2026 12:00:00 +0000"
    mail.set_content(text, cte=encoding)
    if html:
        mail.add_alternative(f"<html><body><p>{text}</p></body></html>", subtype="html", cte=encoding)
    kind, name, content = FILES[file]
    if kind == "message/rfc822":
        inner = EmailMessage(policy=SMTP)
        inner["Subject"] = "the first one"
        inner.set_content("some text\n")
        mail.add_attachment(inner)
    elif kind:
        main, sub = kind.split("/")
        mail.add_attachment(content, maintype=main, subtype=sub, filename=name)
    return mail.as_bytes()


def ordinary() -> Iterator[tuple[str, bytes]]:
    """Each mail with its name."""
    yield from MAILS.items()
    for text, encoding, file, html in product(TEXTS, ENCODINGS, FILES, (False, True)):
        if not (encoding == "8bit" and text == "long"):  # RFC 5322 2.1.1: a program that follows it encodes such lines
            shown = f"{text}, {encoding}, {file}{', html' if html else ''}"
            yield shown, written(TEXTS[text], encoding, file, html=html)


class Clean:
    """An engine that finds nothing."""

    name = "fake"
    required = True

    def scan(self, _message: Message, _deadline: float, _tick: Tick) -> Verdict:
        """The verdict."""
        return CLEAN


@pytest.mark.parametrize("sampled", [False, True])
def test_ordinary_mail_is_clean(tmp_path: Path, sampled: bool) -> None:  # noqa: FBT001 - a case
    """Where the engine finds nothing, neither does the reader; hundreds of mails, all offenders at once."""
    found = {}
    number = 0
    for name, data in ordinary():
        number += 1
        with closing(Spool(tmp_path, 1 << 20)) as spool:
            spool.write(PREFACE + data)
            mail = Unwrapped(
                Unwrapping(tmp_path, 1 << 20, 200, 110 << 20, 0), message(content=spool, size=len(data)), sampled
            )
            verdict = mail.scan(Clean(), time.monotonic() + 60, lambda: None)
            if verdict is not CLEAN and name != "encrypted, OpenPGP":
                found[name] = verdict.reason, verdict.detail
    assert number > 300
    assert found == {}
