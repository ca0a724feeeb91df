"""The keys by which receipts and probes are signed: their file as text. It reads no file.

A line is `ID HEXKEY`; empty lines and lines that begin with # are ignored. The first key signs, all verify: a new key
is put first, and the keys below it stay for what they have signed. RFC 2104 section 3: a key as long
as the hash, 32 bytes for SHA-256, is enough, a shorter one is not.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from miltscan.errors import ConfigError

_ID = re.compile(r"[A-Za-z0-9._-]{1,32}", re.ASCII)
_SECRET = re.compile(r"(?:[0-9A-Fa-f]{2}){32,64}", re.ASCII)
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its id, and its secret bytes, which no text shows."""

    id: str
    secret: bytes = field(repr=False)


class NoKeyError(ConfigError):
    """The file has no mistake, but no key either."""


Keyring = tuple[Key, ...]
"""All keys, the signing one first; empty where there is no key."""


def parse_keys(text: str, name: str) -> Keyring:
    """The keys in the text of the file `name`; raises ConfigError with a line for each mistake, which shows no key.

    NoKeyError where there is no mistake either.
    """
    keys: list[Key] = []
    mistakes = [*_read(text, keys)]
    if mistakes:
        raise ConfigError("\n".join(f"{name}: {mistake}" for mistake in mistakes))
    if not keys:
        raise NoKeyError(f"{name}: contains no key. Run: miltscan keys new")
    return tuple(keys)


def _read(text: str, keys: list[Key]) -> Iterator[str]:
    """The mistakes; the keys go to `keys`."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        fault = _fault(words, [key.id for key in keys])
        if fault:
            yield f"line {number}: {fault}"
        else:
            keys.append(Key(words[0], bytes.fromhex(words[1])))


def _fault(words: Sequence[str], known: Sequence[str]) -> str:
    if len(words) != 2 or not _ID.fullmatch(words[0]):  # noqa: PLR2004 - an id and a key
        return "expected an id of at most 32 letters, digits, dots, dashes or underscores, and a key"
    if not _SECRET.fullmatch(words[1]):
        return f"key {words[0]}: expected 64 to 128 hexadecimal digits"
    if words[0] in known:
        return f"key {words[0]}: expected each id once"
    return ""


def is_id(text: str) -> bool:
    """Whether this text is allowed as the id of a key."""
    return bool(_ID.fullmatch(text))


def with_new(text: str, key: Key) -> str:
    """The text of a key file with `key` as the first one; the rest is kept."""
    return f"{key.id} {key.secret.hex()}\n{text}"
