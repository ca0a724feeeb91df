"""The type of a file by its content. Pure; total.

The table has the types that administrators block or expect in mail. The signatures are those that the formats' own
specifications name; https://en.wikipedia.org/wiki/List_of_file_signatures and file(1) have most of them.
"""

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum


class FileType(StrEnum):
    """The types by the name that rules and log lines have for them."""

    EMPTY = "empty"
    TEXT = "text"
    UNKNOWN = "unknown"
    # programs and scripts
    EXE = "exe"
    DLL = "dll"
    ELF = "elf"
    MACHO = "mach-o"
    JAVA_CLASS = "class"
    DEX = "dex"
    WASM = "wasm"
    SCRIPT = "script"
    ENCODED_SCRIPT = "encoded-script"
    LNK = "lnk"
    URL = "url"
    REG = "reg"
    MSI = "msi"
    CHM = "chm"
    SWF = "swf"
    # archives and images of disks
    ZIP = "zip"
    JAR = "jar"
    APK = "apk"
    APPX = "appx"
    RAR = "rar"
    SEVEN_ZIP = "7z"
    GZIP = "gz"
    BZIP2 = "bz2"
    XZ = "xz"
    ZSTD = "zst"
    LZIP = "lz"
    LZH = "lzh"
    ARJ = "arj"
    ACE = "ace"
    CAB = "cab"
    TAR = "tar"
    CPIO = "cpio"
    DEB = "deb"
    AR = "ar"
    RPM = "rpm"
    XAR = "xar"
    WIM = "wim"
    ISO = "iso"
    VHD = "vhd"
    VHDX = "vhdx"
    # documents
    OLE2 = "ole2"
    OOXML = "ooxml"
    ODF = "odf"
    EPUB = "epub"
    PDF = "pdf"
    POSTSCRIPT = "ps"
    RTF = "rtf"
    ONENOTE = "onenote"
    ACCESS = "access"
    HTML = "html"
    XML = "xml"
    SVG = "svg"
    CALENDAR = "calendar"
    CONTACT = "contact"
    MAIL = "mail"
    TNEF = "tnef"
    PST = "pst"
    # pictures, sound, films
    PNG = "png"
    JPEG = "jpeg"
    GIF = "gif"
    BMP = "bmp"
    TIFF = "tiff"
    WEBP = "webp"
    HEIC = "heic"
    ICO = "ico"
    EMF = "emf"
    PSD = "psd"
    MP3 = "mp3"
    WAV = "wav"
    OGG = "ogg"
    FLAC = "flac"
    MP4 = "mp4"
    AVI = "avi"
    MATROSKA = "matroska"


_ISO_AT = (0x8001, 0x8801, 0x9001)
_LOOKED_AT = 0x9006
"""Bytes of the content that are looked at: up to the last place of the signature of an ISO image (ECMA-119 8.1)."""
_TEXT_LOOKED_AT = 4096  # of these, for what has no signature at a place of its own
_PDF_LOOKED_AT = 1024  # where readers look for the header of a PDF (Adobe's note 13 to ISO 32000-1)

_T = FileType
_MAGIC: tuple[tuple[int, bytes, FileType], ...] = (
    (0, b"\x7fELF", _T.ELF),
    (0, b"\xfe\xed\xfa\xce", _T.MACHO),
    (0, b"\xfe\xed\xfa\xcf", _T.MACHO),
    (0, b"\xce\xfa\xed\xfe", _T.MACHO),
    (0, b"\xcf\xfa\xed\xfe", _T.MACHO),
    (0, b"dex\n", _T.DEX),
    (0, b"\0asm", _T.WASM),
    (0, b"#!", _T.SCRIPT),
    (0, b"#@~^", _T.ENCODED_SCRIPT),
    (0, b"\x4c\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46", _T.LNK),
    (0, b"Windows Registry Editor", _T.REG),
    (0, b"REGEDIT4", _T.REG),
    (0, b"ITSF", _T.CHM),
    (0, b"Rar!\x1a\x07", _T.RAR),
    (0, b"7z\xbc\xaf\x27\x1c", _T.SEVEN_ZIP),
    (0, b"\x1f\x8b", _T.GZIP),
    (4, b"1AY&SY", _T.BZIP2),
    (0, b"\xfd7zXZ\0", _T.XZ),
    (0, b"\x28\xb5\x2f\xfd", _T.ZSTD),
    (0, b"LZIP", _T.LZIP),
    *((2, b"-l%c%c-" % (kind, digit), _T.LZH) for kind in b"hz" for digit in b"01234567ds"),
    (0, b"\x60\xea", _T.ARJ),
    (7, b"**ACE**", _T.ACE),
    (0, b"MSCF", _T.CAB),
    (257, b"ustar", _T.TAR),
    (0, b"070701", _T.CPIO),
    (0, b"070702", _T.CPIO),
    (0, b"070707", _T.CPIO),
    (0, b"\xc7\x71", _T.CPIO),
    (0, b"!<arch>\ndebian", _T.DEB),
    (0, b"!<arch>\n", _T.AR),
    (0, b"\xed\xab\xee\xdb", _T.RPM),
    (0, b"xar!", _T.XAR),
    (0, b"MSWIM\0\0\0", _T.WIM),
    (0, b"conectix", _T.VHD),
    (0, b"vhdxfile", _T.VHDX),
    (0, b"{\\rt", _T.RTF),
    (0, b"%!PS", _T.POSTSCRIPT),
    (0, b"\xc5\xd0\xd3\xc6", _T.POSTSCRIPT),
    (0, b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3", _T.ONENOTE),
    (4, b"Standard Jet DB", _T.ACCESS),
    (4, b"Standard ACE DB", _T.ACCESS),
    (0, b"\x78\x9f\x3e\x22", _T.TNEF),
    (0, b"!BDN", _T.PST),
    (0, b"\x89PNG\r\n\x1a\n", _T.PNG),
    (0, b"\xff\xd8\xff", _T.JPEG),
    (0, b"GIF87a", _T.GIF),
    (0, b"GIF89a", _T.GIF),
    (0, b"II*\0", _T.TIFF),
    (0, b"MM\0*", _T.TIFF),
    (0, b"\0\0\x01\0", _T.ICO),
    (40, b" EMF", _T.EMF),
    (0, b"\xd7\xcd\xc6\x9a", _T.EMF),
    (0, b"8BPS", _T.PSD),
    (0, b"ID3", _T.MP3),
    (0, b"\xff\xfb", _T.MP3),
    (0, b"OggS", _T.OGG),
    (0, b"fLaC", _T.FLAC),
    (0, b"\x1aE\xdf\xa3", _T.MATROSKA),
    *((at, b"CD001", _T.ISO) for at in _ISO_AT),
)
"""Offset, bytes there, type; the first one that matches counts."""
_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MSI_CLASS = bytes.fromhex("84100c0000000000c000000000000046")
_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif"})
_RIFF: Mapping[bytes, FileType] = {b"WEBP": _T.WEBP, b"WAVE": _T.WAV, b"AVI ": _T.AVI}
_MOST_ARCHITECTURES = 30  # of a Mach-O for several; the version of a Java class, at the same place, is at least 45
_DLL = 0x2000
_LARGEST_FILM = 1 << 28  # bytes in the header of a Flash film; the letters of a text would be more

_TEXTS: tuple[tuple[bytes, FileType], ...] = (
    (b"<!doctype html", _T.HTML),
    (b"<html", _T.HTML),
    (b"<head", _T.HTML),
    (b"<body", _T.HTML),
    (b"<script", _T.HTML),
    (b"<iframe", _T.HTML),
    (b"<meta", _T.HTML),
    (b"<title", _T.HTML),
    (b"<svg", _T.SVG),
    (b"<!doctype svg", _T.SVG),
    (b"<?xml", _T.XML),
    (b"[internetshortcut]", _T.URL),
    (b"begin:vcalendar", _T.CALENDAR),
    (b"begin:vcard", _T.CONTACT),
    (b"return-path:", _T.MAIL),
    (b"received:", _T.MAIL),
    (b"delivered-to:", _T.MAIL),
    (b"mime-version:", _T.MAIL),
    (b"windows registry editor", _T.REG),
)
"""The begin of a text, in lower case, and its type."""
_IN_XML: tuple[tuple[bytes, FileType], ...] = ((b"<svg", _T.SVG), (b"<html", _T.HTML))
_IN_ZIP: tuple[tuple[bytes, FileType], ...] = (
    (b"[Content_Types].xml", _T.OOXML),
    (b"AndroidManifest.xml", _T.APK),
    (b"AppxManifest.xml", _T.APPX),
    (b"META-INF/MANIFEST.MF", _T.JAR),
)
"""Names of members by which an archive is more than a zip; the first one that it has counts."""
_LONGEST_LOOKED_FOR = 1 + max(len(name) for name, _ in _IN_ZIP)
_NO_TEXT = bytes(sorted({*range(0x20), 0x7F} - {*b"\t\n\f\r\x1b"}))


def type_of(content: bytes | memoryview, members: Collection[bytes] = ()) -> FileType:
    """Return the type of a file by the begin of its content; of a zip, also by the names of its members if known."""
    head = bytes(content[:_LOOKED_AT])
    if not head:
        return FileType.EMPTY
    for at, signature, kind in _MAGIC:
        if head.startswith(signature, at):
            return kind
    return (
        _program(head)
        or _container(head, members)
        or _media(head)
        or (FileType.PDF if b"%PDF-" in head[:_PDF_LOOKED_AT] else None)
        or _text(head[:_TEXT_LOOKED_AT])
    )


def _program(head: bytes) -> FileType | None:
    if head.startswith(b"MZ"):
        at = int.from_bytes(head[0x3C:0x40], "little")
        is_pe = head.startswith(b"PE\0\0", at)
        return FileType.DLL if is_pe and int.from_bytes(head[at + 22 : at + 24], "little") & _DLL else FileType.EXE
    if head.startswith(b"\xca\xfe\xba\xbe"):
        several = int.from_bytes(head[4:8], "big") <= _MOST_ARCHITECTURES
        return FileType.MACHO if several else FileType.JAVA_CLASS
    return None


def _container(head: bytes, members: Collection[bytes]) -> FileType | None:
    if head.startswith(_OLE2):
        return FileType.MSI if _ole2_class(head) == _MSI_CLASS else FileType.OLE2
    if not head.startswith((b"PK\3\4", b"PK\5\6", b"PK00PK\3\4", b"PK\7\10PK\3\4")):
        return None
    if b"mimetypeapplication/vnd.oasis.opendocument" in head[:100]:
        return FileType.ODF
    if b"mimetypeapplication/epub+zip" in head[:100]:
        return FileType.EPUB
    names = {*members, *_first_names(head)}
    return next((kind for name, kind in _IN_ZIP if name in names), FileType.ZIP)


def _first_names(head: bytes) -> Iterator[bytes]:
    """The names of the members whose local headers are in the begin of a zip."""
    at = head.find(b"PK\3\4")
    while at >= 0:
        size = int.from_bytes(head[at + 26 : at + 28], "little")
        yield head[at + 30 : at + 30 + min(size, _LONGEST_LOOKED_FOR)]
        at = head.find(b"PK\3\4", at + 30)


def _ole2_class(head: bytes) -> bytes:
    """The class of the root entry of an OLE2 file (MS-CFB 2.2 and 2.6.1), which an installer has of its own."""
    sector = 1 << min(int.from_bytes(head[30:32], "little"), 16)
    root = (int.from_bytes(head[48:52], "little") + 1) * sector
    return head[root + 80 : root + 96]


def _media(head: bytes) -> FileType | None:
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if head.startswith(b"ftyp", 4):
        return FileType.HEIC if head[8:12] in _BRANDS else FileType.MP4
    if head.startswith((b"FWS", b"CWS", b"ZWS")) and int.from_bytes(head[4:8], "little") < _LARGEST_FILM:
        return FileType.SWF
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return FileType.BMP
    return None


def _text(head: bytes) -> FileType:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head[2:].translate(None, b"\0")  # UTF-16: the ASCII characters of a text are what matters here
    head = head.removeprefix(b"\xef\xbb\xbf")
    begin = _without_comments(head.lstrip()).lower()
    for words, kind in _TEXTS:
        if begin.startswith(words):
            return next((inner for tag, inner in _IN_XML if tag in begin), kind) if kind is FileType.XML else kind
    return FileType.UNKNOWN if len(head.translate(None, _NO_TEXT)) < len(head) else FileType.TEXT


def _without_comments(text: bytes) -> bytes:
    while text.startswith(b"<!--"):
        text = text.partition(b"-->")[2].lstrip()
    return text
