"""Sample mail: clean and infected, plain and wrapped the ways real mail wraps it. Sends nothing."""

import io
import random
import zipfile
from email.message import EmailMessage
from email.policy import SMTP

from tests.fakes.eicar import EICAR
from tests.harness.client import RECIPIENT, SENDER, new_message_id


def message(subject: str, body: str = "Good morning.\n") -> EmailMessage:
    """A message of text with a unique Message-ID; `as_wire` gives its bytes."""
    mail = EmailMessage(SMTP)
    mail["From"], mail["To"], mail["Subject"], mail["Message-ID"] = SENDER, RECIPIENT, subject, new_message_id()
    mail.set_content(body)
    return mail


def with_attachment(subject: str, content: bytes, name: str = "file.bin") -> EmailMessage:
    """A message with one attachment in base64."""
    mail = message(subject)
    mail.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return mail


def clean_attachment(size: int, seed: int = 1) -> EmailMessage:
    """A clean message with an attachment of `size` bytes that do not compress; each `seed` gives other bytes."""
    return with_attachment("Clean attachment", random.Random(seed).randbytes(size))  # noqa: S311  sample data


def infected() -> EmailMessage:
    """The EICAR test file as an attachment."""
    return with_attachment("EICAR", EICAR, "eicar.com")


def infected_deep_down() -> EmailMessage:
    """The EICAR test file in a zip in base64 in a nested message."""
    outer = message("EICAR in a zip in a nested message")
    outer.add_attachment(with_attachment("Inside", zipped("eicar.com", EICAR), "archive.zip"))
    return outer


def zipped(name: str, content: bytes) -> bytes:
    """A zip archive of one member."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
    return archive.getvalue()


def zipped_often(content: bytes, times: int) -> bytes:
    """A zip archive in a zip archive and so on; past 17 of them clamd gives up (MaxRecursion of clamd.conf(5))."""
    for number in range(times):
        content = zipped(f"{number}.zip", content)
    return content


def encrypted_zip() -> bytes:
    """A zip archive whose member is marked as encrypted (APPNOTE.TXT 4.4.4: bit 0 of the flags)."""
    archive = bytearray(zipped("secret.txt", b"encrypted, as far as one can tell without the password"))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        archive[archive.index(signature) + offset] |= 1
    return bytes(archive)


def as_wire(mail: EmailMessage) -> bytes:
    """The bytes as they go over SMTP."""
    return mail.as_bytes(policy=SMTP)
