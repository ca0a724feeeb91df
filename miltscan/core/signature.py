"""The classes of a signature, read from its name: a closed list, so that they can be a metric label.

ClamAV's own names are PLATFORM.CATEGORY.NAME-ID-REVISION (https://docs.clamav.net/manual/Signatures/SignatureNames.html),
with `Heuristics` and `PUA` before what is only suspected or unwanted; such a name has a second class, the suspicion.
Databases of third parties mostly follow this.
"""

import re

OTHER = "other"
_BY_FIRST = {"heuristics": "Heuristics", "pua": "PUA"}
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
CLASSES = (*_BY_FIRST.values(), *_CATEGORIES, OTHER)
"""All that `signature_classes` returns."""

_BY_WORD = {name.lower(): name for name in _CATEGORIES} | {"eicar": "Test"}
_BY_SUSPICION = _BY_WORD | {"containsmacros": "Macro", "w32": "Virus"}
"""With the words of clamd's `Heuristics.*` that name no category, such as `Heuristics.OLE2.ContainsMacros.VBA` and
`Heuristics.W32.Parite.B`. `Heuristics.Limits.*` and `Heuristics.Encrypted.*` are reasons (`engines.clamd.reply`)."""
_WORDS = re.compile(r"[.\-_]")
_LOOKED_AT = 4  # words: PLATFORM.CATEGORY, with a third party's name or two in front


def signature_classes(signature: str) -> tuple[str, ...]:
    """The classes of a signature by its name (any text): one or two, the one that counts for metrics first."""
    words = [word.lower() for word in _WORDS.split(signature[:200], maxsplit=_LOOKED_AT)[:_LOOKED_AT]]
    first = _BY_FIRST.get(words[0])
    known = _BY_SUSPICION if first else _BY_WORD
    category = next((known[word] for word in words if word in known), None)
    return tuple(name for name in (first, category) if name) or (OTHER,)


def signature_class(signature: str) -> str:
    """The first class of a signature by its name (any text)."""
    return signature_classes(signature)[0]
