"""The class of a signature, read from its name: a closed list, so that it can be a metric label.

ClamAV's own names are PLATFORM.CATEGORY.NAME-ID-REVISION (https://docs.clamav.net/manual/Signatures/SignatureNames.html),
with `Heuristics` and `PUA` before what is only suspected or unwanted. Databases of third parties mostly follow this.
"""

import re

OTHER = "other"
_FIRST = ("Heuristics", "PUA")
_CATEGORIES = (
    "Adware",
    "Backdoor",
    "Coinminer",
    "Countermeasure",
    "Downloader",
    "Dropper",
    "Exploit",
    "File",
    "Filetype",
    "Infostealer",
    "Ircbot",
    "Joke",
    "Keylogger",
    "Loader",
    "Macro",
    "Malware",
    "Packed",
    "Packer",
    "Phishing",
    "Proxy",
    "Ransomware",
    "Revoked",
    "Rootkit",
    "Spam",
    "Spyware",
    "Test",
    "Tool",
    "Trojan",
    "Virus",
    "Worm",
)
CLASSES = (*_FIRST, *_CATEGORIES, OTHER)
"""All results of `signature_class`."""

_BY_WORD = {name.lower(): name for name in _CATEGORIES} | {"eicar": "Test"}
_WORDS = re.compile(r"[.\-_]")
_LOOKED_AT = 4  # words: PLATFORM.CATEGORY, with a third party's name or two in front


def signature_class(signature: str) -> str:
    """The class of a signature by its name (any text)."""
    words = [word.lower() for word in _WORDS.split(signature[:200], maxsplit=_LOOKED_AT)[:_LOOKED_AT]]
    for name in _FIRST:
        if words[0] == name.lower():
            return name
    return next((_BY_WORD[word] for word in words if word in _BY_WORD), OTHER)
