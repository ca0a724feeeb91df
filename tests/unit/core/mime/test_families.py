"""Every family of wrapping: the attachment is among the parts, byte by byte, whatever it is."""

import io
import zipfile
from pathlib import Path

import pytest

from miltscan.core.mime.reader import read_message
from tests.fakes.eicar import EICAR
from tests.fakes.wrappings import FAMILIES, Builder
from tests.unit.core.mime.golden import BOUNDS, opinions


def zipped(content: bytes) -> bytes:
    """A zip of one file."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("report.com", content)
    return written.getvalue()


FORMS = {f"{family}, {name}": build for family, forms in FAMILIES.items() for name, build in forms.items()}
BINARY = bytes(range(256)) + b"abcd" + b"\x90" * 9 + b"\r\n--b: = \r\n"
TEXT = BINARY.replace(b"\r", b"").replace(b"\n--", b"--") + b"a"
assert len(TEXT) % 3, "its base64 has padding"
TWINS = {"infected": EICAR, "infected zip": zipped(EICAR), "clean": b"A clean report.", "clean binary": BINARY}


@pytest.mark.parametrize("content", TWINS.values(), ids=TWINS)
@pytest.mark.parametrize("build", FORMS.values(), ids=FORMS)
def test_the_attachment_is_found(build: Builder, content: bytes) -> None:
    """A mail reader that shows it shows what a scanner is given, and no bound is in the way."""
    reading = read_message(build(content), BOUNDS)
    assert content in [bytes(part.data) for part in reading.parts]
    assert reading.limit is None


def test_what_is_odd_about_them() -> None:
    """The anomalies of each form are those of the list, which shows also what is plain and what is malformed."""
    expected = Path(__file__).with_name("families.txt").read_text()
    assert opinions({name: build(TEXT) for name, build in FORMS.items()}) == expected
