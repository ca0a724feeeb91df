"""The EICAR test string, made at run time so that no scanner stops this source, and a way to find it in a mail.

Not a detector of anything else. Real clamd requires the string at the start of a part; this finds it anywhere.
"""

import base64
import zipfile
from io import BytesIO
from typing import Final

# The 68 bytes of https://www.eicar.org/download-anti-malware-testfile/ in base32.
EICAR: Final = base64.b32decode(
    b"LA2U6IKQEVAECUC3GROFAWSYGU2CQUC6FE3UGQZJG56SIRKJINAVELKTKRAU4RCBKJCC2QKOKREVMSKSKVJS2VCFKNKC2RSJJRCSCJCIFNECU===",
)


def base64_needles() -> tuple[bytes, ...]:
    """The base64 of EICAR at each of its three alignments, less the characters shared with the bytes around it."""
    needles = []
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + EICAR)
        needles.append(encoded[-(-8 * offset // 6) : 8 * (offset + len(EICAR)) // 6])
    return tuple(needles)


BASE64_NEEDLES: Final = base64_needles()


def holds_base64_eicar(content: bytes) -> bool:
    """Whether the EICAR string is in there in base64, in lines of any length."""
    joined = content.replace(b"\r", b"").replace(b"\n", b"")
    return any(needle in joined for needle in BASE64_NEEDLES)


def holds_zipped_eicar(content: bytes) -> bool:
    """Whether the last base64 part is a zip archive with the EICAR string in it, at any depth."""
    encoded = content.rpartition(b"base64\r\n\r\n")[2].partition(b"--")[0]
    return encoded.startswith(b"UEsD") and _zip_holds_eicar(base64.b64decode(encoded))


def _zip_holds_eicar(archive: bytes) -> bool:
    if not archive.startswith(b"PK\x03\x04"):
        return EICAR in archive
    with zipfile.ZipFile(BytesIO(archive)) as opened:
        return any(_zip_holds_eicar(opened.read(name)) for name in opened.namelist())


def holds_eicar(content: bytes) -> bool:
    """Whether the EICAR string is in there, plain, in base64 or in a zip archive."""
    return EICAR in content or holds_base64_eicar(content) or holds_zipped_eicar(content)
