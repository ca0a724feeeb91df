"""The words of a message that may be the password of an archive in it, likeliest first. Pure; total.

    passwords_in([(b"Passwort: geheim", False)], 20)      # ("geheim", ...)

First the words behind one that means password, then those that no dictionary has, then the others.
"""

from collections.abc import Iterable, Iterator
from html import unescape

_CUES = (
    *("passw", "passphrase", "passcode", "pwd", "kennwort", "codewort", "losung", "contrase", "clave", "motdepasse"),
    *("passe", "senha", "parola", "wachtwoord", "lösenord", "adgangskode", "salasana", "hasło", "heslo", "jelszó"),
    *("пароль", "密码", "密碼", "口令", "パスワード", "비밀번호", "code", "pin", "key"),
)
"""Words that mean password, or parts of them, in lower case."""
_BEHIND = 6  # words behind such a one
_SEPARATORS = ":=\N{FULLWIDTH COLON}"
_AROUND = "\"'`.,;:()[]{}<>*_\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}\u201e\u00ab\u00bb"
"""What may stand around a password without belonging to it."""
_SHORTEST, _LONGEST = 3, 64  # characters; a shorter one counts only behind a cue
_TEXT = 64 * 1024  # bytes of one text
_TEXTS = 8


def passwords_in(texts: Iterable[tuple[bytes, bool]], most: int) -> tuple[str, ...]:
    """At most `most` words of texts, each with whether it is HTML. Texts beyond the first eight are not read."""
    found: list[tuple[int, str]] = []
    for number, (text, is_html) in enumerate(texts):
        if number >= _TEXTS:
            break
        found += _ranked(_characters(text[:_TEXT], is_html=is_html).split())
    ordered = dict.fromkeys(one for _, word in sorted(found, key=_rank) for one in _variants(word))
    return tuple(ordered)[:most]


def _rank(found: tuple[int, str]) -> int:
    return found[0]


def _characters(text: bytes, *, is_html: bool) -> str:
    try:
        known = text.decode()
    except UnicodeDecodeError:
        known = text.decode("cp1252", "replace")
    if not is_html:
        return known
    first, *others = known.split("<")
    return unescape(" ".join((first, *(one.partition(">")[2] for one in others))))


def _ranked(words: list[str]) -> Iterator[tuple[int, str]]:
    """Each word with its rank: the distance from the cue before it, or that of its kind."""
    distance = _BEHIND
    for word in words:
        distance += 1
        lower = word.lower()
        if any(cue in lower for cue in _CUES):
            distance = 0
            separator = next((one for one in _SEPARATORS if one in word), None)
            if separator and (behind := word.partition(separator)[2]):
                yield 0, behind
        elif distance <= _BEHIND:
            yield distance, word
        if len(word) >= _SHORTEST:
            yield _BEHIND + (1 if _is_odd(word.strip(_AROUND)) else 2), word


def _is_odd(word: str) -> bool:
    """Whether it has a digit or a sign among its letters, or capitals after its first character."""
    return not word.isalpha() or not word[1:].islower()


def _variants(word: str) -> Iterator[str]:
    for one in (word.strip(_AROUND), word, word.strip(_AROUND + "!?")):
        if 0 < len(one) <= _LONGEST and one.isprintable():
            yield one
