"""The facts about an attachment that rules ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.attachments import Attachment, look_at
from miltscan.core.file_types import FileType

PROGRAM = b"MZ\0\0"


@pytest.mark.parametrize(
    ("name", "extension", "double"),
    [
        ("report.pdf", "pdf", ""),
        ("report", "", ""),
        ("", "", ""),
        (".exe", "exe", ""),
        ("a.tar.gz", "gz", ""),
        ("Invoice.PDF.EXE", "exe", "pdf.exe"),
        ("invoice.pdf          .exe", "exe", "pdf.exe"),
        ("invoice.pdf.exe. .", "exe", "pdf.exe"),
        ("invoice.pdf.exe\u00a0", "exe", "pdf.exe"),
        ("invoice.pdf.scr", "scr", "pdf.scr"),
        ("photo.jpg.lnk", "lnk", "jpg.lnk"),
        ("setup.v2.exe", "exe", ""),
        ("invoice\u202efdp.exe", "exe", ""),
        ("invoice.e\u200bxe", "exe", ""),
        ("folder.d/name", "", ""),
        ("folder.pdf\\a.exe", "exe", ""),
        ("a. sentence with a dot in it", "", ""),
    ],
)
def test_extensions(name: str, extension: str, double: str) -> None:
    """Those that Windows sees, and those that deceive a reader."""
    found = look_at([name], b"")
    assert found.extensions == ((extension,) if extension else ())
    assert found.double_extensions == ((double,) if double else ())


def test_all_names_count() -> None:
    """One of them may be the one that a reader shows."""
    found = look_at(["a.pdf", "b.pdf.exe"], PROGRAM)
    assert found == Attachment(("a.pdf", "b.pdf.exe"), ("pdf", "exe"), ("pdf.exe",), FileType.EXE, fits=False)
    assert look_at(["b.exe"], PROGRAM).fits
    assert look_at([], PROGRAM).fits


def test_members_tell_the_type() -> None:
    """The caller has read the archive."""
    assert look_at(["a.docx"], b"PK\3\4", [b"[Content_Types].xml"]).type is FileType.OOXML


@given(st.lists(st.text(max_size=30) | st.text("a. \\/\u202e", max_size=9), max_size=3), st.binary(max_size=9))
def test_nothing_raises(names: list[str], content: bytes) -> None:
    """Any names and content have facts; an extension is lower case and has no dot."""
    found = look_at(names, content)
    assert all(each and "." not in each and each == each.strip() for each in found.extensions)
