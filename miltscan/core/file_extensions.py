"""Extensions of file names: those that a type has, and those of programs and of harmless files. Pure.

`fits` finds a name that deceives about its content, not every unusual name: where programs open a file by its content
whatever its name is, the table has all of these names.
"""

from collections.abc import Mapping

from miltscan.core.file_types import FileType


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


HARMLESS = _words(
    "pdf doc docx dot dotx rtf odt xls xlsx ods csv ppt pptx odp txt text log html htm xml eml msg ics vcf zip rar 7z "
    "jpg jpeg png gif bmp tif tiff svg webp heic mp3 wav mp4 avi mov mkv"
)
"""Extensions of files that a user opens without a second thought."""
PROGRAMS = _words(
    "exe com scr pif bat cmd cpl dll vbs vbe js jse wsf wsh sct hta ps1 psm1 msi msp msc reg inf lnk url chm hlp jar "
    "app apk dmg pkg sh py pl iso img vhd vhdx one appx msix application gadget settingcontent-ms xll"
)
"""Extensions of files that run a program when they are opened, or hold one to start."""

_T = FileType
_WORD = "doc dot docx docm dotx dotm"
_EXCEL = "xls xlt xla xlsx xlsm xlsb xltx xltm xlam"
_POWERPOINT = "ppt pot pps ppa pptx pptm ppsx ppsm potx potm ppam sldx sldm"
_OFFICE = f"{_WORD} {_EXCEL} {_POWERPOINT} vsd vsdx vsdm pub mpp"
_XML_NAMES = "xml xsd xsl xslt rdf rss atom kml gpx xaml plist wsdl xhtml"
_EXTENSIONS: Mapping[FileType, frozenset[str]] = {
    kind: _words(words)
    for kind, words in (
        (_T.EXE, "exe com scr pif cpl sys drv ocx ax efi dll mui"),
        (_T.DLL, "dll ocx cpl sys drv ax mui exe"),
        (_T.ELF, "so o ko bin elf axf"),
        (_T.MACHO, "dylib bundle o bin"),
        (_T.JAVA_CLASS, "class"),
        (_T.DEX, "dex"),
        (_T.WASM, "wasm"),
        (_T.SCRIPT, "sh bash zsh csh ksh py pl rb php lua tcl awk js mjs cgi command run txt"),
        (_T.ENCODED_SCRIPT, "vbe jse"),
        (_T.LNK, "lnk"),
        (_T.URL, "url website"),
        (_T.REG, "reg"),
        (_T.MSI, "msi msp msm mst"),
        (_T.CHM, "chm"),
        (_T.SWF, "swf"),
        (_T.ZIP, "zip zipx jar war ear apk ipa xpi nupkg whl egg vsix kmz cbz sketch pages numbers key"),
        (_T.JAR, "jar war ear zip apk aar"),
        (_T.APK, "apk aab xapk zip"),
        (_T.APPX, "appx msix appxbundle msixbundle zip"),
        (_T.RAR, "rar cbr rev"),
        (_T.SEVEN_ZIP, "7z cb7"),
        (_T.GZIP, "gz tgz taz emz svgz z adz"),
        (_T.BZIP2, "bz2 tbz tbz2"),
        (_T.XZ, "xz txz"),
        (_T.ZSTD, "zst tzst"),
        (_T.LZIP, "lz tlz"),
        (_T.LZH, "lzh lha"),
        (_T.ARJ, "arj"),
        (_T.ACE, "ace"),
        (_T.CAB, "cab msu"),
        (_T.TAR, "tar ova gem"),
        (_T.CPIO, "cpio"),
        (_T.DEB, "deb udeb"),
        (_T.AR, "a ar lib"),
        (_T.RPM, "rpm"),
        (_T.XAR, "pkg xar xip"),
        (_T.WIM, "wim swm esd"),
        (_T.ISO, "iso img udf"),
        (_T.VHD, "vhd"),
        (_T.VHDX, "vhdx"),
        # Office goes by the content: it opens each of its formats, RTF, HTML and XML by any of its extensions
        (_T.OLE2, f"{_OFFICE} msg oft wps wri db hwp"),
        (_T.OOXML, f"{_OFFICE} zip nupkg vsix"),
        (_T.RTF, "rtf doc dot"),
        (_T.HTML, f"html htm shtml xht mht hta {_XML_NAMES} {_WORD} {_EXCEL} eml"),
        (_T.XML, f"{_XML_NAMES} svg {_WORD} {_EXCEL} html htm hta"),
        (_T.SVG, "svg xml"),
        (_T.ODF, "odt ods odp odg odf odb odc ott ots otp otg fodt zip"),
        (_T.EPUB, "epub"),
        (_T.PDF, "pdf ai fdf"),
        (_T.POSTSCRIPT, "ps eps ai prn"),
        (_T.ONENOTE, "one onetoc2"),
        (_T.ACCESS, "mdb accdb mde accde"),
        (_T.CALENDAR, "ics ical ifb vcs"),
        (_T.CONTACT, "vcf vcard"),
        (_T.MAIL, "eml mht mhtml txt mbox"),
        (_T.TNEF, "tnef"),
        (_T.PST, "pst ost"),
        (_T.PNG, "png apng ico"),
        (_T.JPEG, "jpg jpeg jpe jfif pjpeg"),
        (_T.GIF, "gif"),
        (_T.BMP, "bmp dib"),
        (_T.TIFF, "tif tiff dng nef cr2 arw"),
        (_T.WEBP, "webp"),
        (_T.HEIC, "heic heif avif hif"),
        (_T.ICO, "ico cur"),
        (_T.EMF, "emf wmf"),
        (_T.PSD, "psd psb"),
        (_T.MP3, "mp3"),
        (_T.WAV, "wav"),
        (_T.OGG, "ogg oga ogv opus"),
        (_T.FLAC, "flac"),
        (_T.MP4, "mp4 m4a m4v mov 3gp 3g2 m4b qt"),
        (_T.AVI, "avi"),
        (_T.MATROSKA, "mkv mka webm"),
    )
}
_KNOWN_EXTENSIONS = frozenset().union(*_EXTENSIONS.values())


def fits(kind: FileType, extension: str) -> bool:
    """Whether files of this type have that extension (in lower case, without the dot).

    What is not known fits: an extension of no type here, and content of no type that has extensions of its own.
    """
    return extension not in _KNOWN_EXTENSIONS or extension in _EXTENSIONS.get(kind, _KNOWN_EXTENSIONS)
