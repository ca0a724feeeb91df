"""The type of content by its first bytes, and the extensions that fit it."""

import gzip
import io
import tarfile
import zipfile
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.file_extensions import _EXTENSIONS, HARMLESS, PROGRAMS, fits
from miltscan.core.file_types import _LOOKED_AT, _MAGIC, FileType, type_of


def program(characteristics: int) -> bytes:
    """The begin of a Windows program."""
    return b"MZ" + bytes(58) + pack("<I", 128) + bytes(64) + b"PE\0\0" + bytes(18) + pack("<H", characteristics)


def zipped(*names: str, stored: bytes = b"") -> bytes:
    """A zip with members of these names, the first one with a content."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), stored)  # without today's date, which is in the names of tests
    return target.getvalue()


def tarred() -> bytes:
    """A tar with one member."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return target.getvalue()


def ole2(root_class: bytes) -> bytes:
    """A compound file whose directory is the first sector."""
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(22) + pack("<H", 9) + bytes(16) + bytes(4)
    return head.ljust(512, b"\0") + (bytes(80) + root_class).ljust(512, b"\0")


SAMPLES = [
    (b"", FileType.EMPTY),
    (b"plain text\r\n", FileType.TEXT),
    ("Grüße\n".encode(), FileType.TEXT),
    ("Grüße\n".encode("utf-16"), FileType.TEXT),
    (b"\0\1\2", FileType.UNKNOWN),
    (program(0x0102), FileType.EXE),
    (program(0x2102), FileType.DLL),
    (b"MZ", FileType.EXE),
    (b"\xca\xfe\xba\xbe\0\0\0\2", FileType.MACHO),
    (b"\xca\xfe\xba\xbe\0\0\0\x34", FileType.JAVA_CLASS),
    (b"#!/bin/sh\n", FileType.SCRIPT),
    (zipped("a.txt"), FileType.ZIP),
    (zipped(), FileType.ZIP),
    (b"PK00" + zipped("a.txt"), FileType.ZIP),
    (zipped("[Content_Types].xml", "word/document.xml"), FileType.OOXML),
    (zipped("docProps/app.xml", "[Content_Types].xml"), FileType.OOXML),
    (zipped("META-INF/MANIFEST.MF", "A.class"), FileType.JAR),
    (zipped("META-INF/MANIFEST.MF", "AndroidManifest.xml"), FileType.APK),
    (zipped("AppxManifest.xml"), FileType.APPX),
    (zipped("mimetype", stored=b"application/vnd.oasis.opendocument.text"), FileType.ODF),
    (zipped("mimetype", stored=b"application/epub+zip"), FileType.EPUB),
    (tarred(), FileType.TAR),
    (gzip.compress(b"a", mtime=0), FileType.GZIP),
    (b"!<arch>\ndebian-binary", FileType.DEB),
    (b"!<arch>\na.o", FileType.AR),
    (b"\x1f\x11-lh5-", FileType.LZH),
    (b"ls -lh file", FileType.TEXT),
    (bytes(0x8001) + b"CD001", FileType.ISO),
    (ole2(b""), FileType.OLE2),
    (ole2(bytes.fromhex("84100c0000000000c000000000000046")), FileType.MSI),
    (b"%PDF-1.7\n", FileType.PDF),
    (b"\r\nfront %PDF-1.7\n", FileType.PDF),
    (b"<!DOCTYPE html>", FileType.HTML),
    (b"\xef\xbb\xbf \r\n<!-- a --><!-- b -->\n<HTML>", FileType.HTML),
    ("<script>".encode("utf-16"), FileType.HTML),
    (b"<!-- no end", FileType.TEXT),
    (b"<?xml version='1.0'?><a/>", FileType.XML),
    (b"<?xml version='1.0'?><svg/>", FileType.SVG),
    (b"<svg onload=''>", FileType.SVG),
    (b"[InternetShortcut]\r\nURL=file:", FileType.URL),
    ("Windows Registry Editor Version 5.00".encode("utf-16"), FileType.REG),
    (b"BEGIN:VCALENDAR\r\n", FileType.CALENDAR),
    (b"BEGIN:VCARD\r\n", FileType.CONTACT),
    (b"Received: from a", FileType.MAIL),
    (b"RIFF\0\0\0\0WEBP", FileType.WEBP),
    (b"RIFF\0\0\0\0WAVE", FileType.WAV),
    (b"RIFF\0\0\0\0AVI ", FileType.AVI),
    (b"RIFF\0\0\0\0????", FileType.UNKNOWN),
    (b"\0\0\0\x20ftypheic", FileType.HEIC),
    (b"\0\0\0\x20ftypisom", FileType.MP4),
    (b"BM\x36\0\0\0\0\0\0\0", FileType.BMP),
    (b"BM is a text", FileType.TEXT),
    (b"FWS\x05", FileType.SWF),
    (b"FWS is a text", FileType.TEXT),
]  # fmt: skip


@pytest.mark.parametrize(("content", "kind"), SAMPLES)
def test_the_type_of_content(content: bytes, kind: FileType) -> None:
    """By its first bytes, also of a view."""
    assert type_of(content) is kind
    assert type_of(memoryview(content)) is kind


@pytest.mark.parametrize(("at", "signature", "kind"), _MAGIC)
def test_a_signature_is_found_where_it_stands(at: int, signature: bytes, kind: FileType) -> None:
    """At its place and nowhere else, and no other signature comes before it."""
    assert type_of(bytes([0x80]) * at + signature) is kind
    assert type_of(bytes([0x80]) * (at + 1) + signature) is not kind


def test_every_type_has_a_sample() -> None:
    """By its signature or by the table above."""
    assert {kind for _, kind in SAMPLES} | {kind for _, _, kind in _MAGIC} == set(FileType)


def test_members_of_a_zip_tell_its_type() -> None:
    """Where the first bytes do not reach."""
    raw = zipped("a.txt")
    assert type_of(raw, [b"a.txt", b"[Content_Types].xml"]) is FileType.OOXML


@pytest.mark.parametrize(
    ("kind", "extension", "expected"),
    [
        (FileType.EXE, "exe", True),
        (FileType.EXE, "pdf", False),
        (FileType.EXE, "jpg", False),
        (FileType.PDF, "pdf", True),
        (FileType.PDF, "exe", False),
        (FileType.RTF, "doc", True),
        (FileType.HTML, "xls", True),
        (FileType.HTML, "pdf", False),
        (FileType.OOXML, "docx", True),
        (FileType.ZIP, "docx", False),
        (FileType.JPEG, "png", False),
        (FileType.EXE, "something", True),
        (FileType.EXE, "", True),
        (FileType.UNKNOWN, "pdf", True),
        (FileType.TEXT, "exe", True),
    ],
)
def test_what_fits(kind: FileType, extension: str, expected: bool) -> None:  # noqa: FBT001 - a column of the table
    """A type that is known and an extension that is known have to belong together."""
    assert fits(kind, extension) is expected


def test_the_tables_of_extensions_are_consistent() -> None:
    """Each type but those without a form of their own has extensions; no program is harmless."""
    assert set(FileType) - set(_EXTENSIONS) == {FileType.EMPTY, FileType.TEXT, FileType.UNKNOWN}
    assert HARMLESS.isdisjoint(PROGRAMS)


@given(st.binary(max_size=64), st.sampled_from([signature for _, signature, _ in _MAGIC] + [b"PK\3\4", b"MZ", b"<"]))
def test_any_content_has_a_type(content: bytes, front: bytes) -> None:
    """Nothing raises, and what is behind the bound does not count."""
    assert type_of(front + content) in FileType
    padded = (front + content).ljust(_LOOKED_AT, b"\0")
    assert type_of(padded) is type_of(padded + b"PK\3\4CD001")
