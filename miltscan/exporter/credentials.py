"""Who may read the exporter: users with a password (bcrypt) and bearer tokens; reads no file and knows no HTTP server.

bcrypt is slow by design. A verdict is therefore remembered, under a keyed digest of what was sent, so that a scraper
costs a hash once. `known` answers from memory and never blocks; `verify` takes its time and belongs on a thread.
"""

import base64
import binascii
import hmac
import os
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b

_USER = re.compile(r"([^:\s]{1,64}):(\S*)")
_HASH = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}", re.ASCII)
_HIGHEST_COST = 14  # one second or more; a cost of 20 would take minutes, and nobody would be let in
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*", re.ASCII)  # RFC 6750 section 2.1
_MOST_LINES = 256
_LONGEST_PASSWORD = 72  # bytes: bcrypt looks at no more, and not past a NUL
_REMEMBERED = 256  # wrong credentials, about 100 bytes each; right ones are at most one a user


class Scheme(StrEnum):
    """How a client proves who it is (RFC 7617, RFC 6750)."""

    BASIC = "Basic"
    BEARER = "Bearer"


def parse_users(text: str) -> dict[str, bytes]:
    """Hashes by user, from lines `user:hash` as `htpasswd -B` writes them; ValueError names the first wrong line."""
    users: dict[str, bytes] = {}
    for number, line in _lines(text):
        found = _USER.fullmatch(line)
        if found is None or found[1] in users:
            raise ValueError(f"line {number}: expected user:hash, each user once")
        users[found[1]] = _hash(number, found[2])
    if not users:
        raise ValueError("names no user; add one: htpasswd -B FILE USER")
    return users


def parse_tokens(text: str) -> list[bytes]:
    """The tokens, one a line; the text of a ValueError shows none of them."""
    lines = _lines(text)
    wrong = [number for number, line in lines if not _TOKEN.fullmatch(line)]
    if wrong:
        raise ValueError(f"line {wrong[0]}: expected a token of 16 to 512 characters of A-Z a-z 0-9 - . _ ~ + /")
    if not lines:
        raise ValueError("holds no token; make one: openssl rand -hex 32")
    return [line.encode() for _, line in lines]


def _lines(text: str) -> list[tuple[int, str]]:
    """Number and text of the lines that are neither empty nor a comment."""
    stripped = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in stripped if line and not line.startswith("#")]
    if len(lines) > _MOST_LINES:
        raise ValueError(f"expected at most {_MOST_LINES} lines")
    return lines


def _hash(number: int, text: str) -> bytes:
    found = _HASH.fullmatch(text)
    if found is None:
        raise ValueError(f"line {number}: expected a bcrypt hash; make it with htpasswd -B")
    if int(found[1]) > _HIGHEST_COST:
        raise ValueError(f"line {number}: a bcrypt cost of {found[1]} takes too long; at most {_HIGHEST_COST}")
    return text.encode()


@dataclass(slots=True)
class Credentials:
    """The users and tokens in force. A reload makes a new one, so nothing is remembered of those before."""

    users: Mapping[str, bytes] = field(default_factory=dict)
    tokens: Sequence[bytes] = ()
    _key: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    _right: set[bytes] = field(default_factory=set, repr=False)
    _wrong: "OrderedDict[bytes, None]" = field(default_factory=OrderedDict, repr=False)

    @property
    def schemes(self) -> list[Scheme]:
        """What a client may use; empty if nothing is asked of it."""
        return [Scheme.BASIC] * bool(self.users) + [Scheme.BEARER] * bool(self.tokens)

    def known(self, authorization: str) -> bool | None:
        """Whether this `Authorization` value is right; None if only `verify` can tell. Quick."""
        scheme, _, value = authorization.partition(" ")
        match scheme.lower():
            case "bearer":
                return self._is_token(value.strip())
            case "basic" if self.users:
                return self._remembered(self._digest(value.strip().encode()))
        return False

    def verify(self, authorization: str) -> bool:
        """The same for Basic, by the hash of its user; some 0.2 s at the cost that htpasswd chooses for `-C 12`."""
        value = authorization.partition(" ")[2].strip()
        right = self._password_fits(*_decoded(value))
        self._remember(self._digest(value.encode()), right=right)
        return right

    def _digest(self, value: bytes) -> bytes:
        return blake2b(value, key=self._key, digest_size=32).digest()

    def _is_token(self, value: str) -> bool:
        """Digests are compared, each of them and in constant time: neither length nor place of a difference shows."""
        given = self._digest(value.encode())
        return any([hmac.compare_digest(given, self._digest(token)) for token in self.tokens])  # noqa: C419 - all of them

    def _remembered(self, digest: bytes) -> bool | None:
        if digest in self._right:
            return True
        return False if digest in self._wrong else None

    def _remember(self, digest: bytes, *, right: bool) -> None:
        if right:
            self._right.add(digest)
            return
        self._wrong[digest] = None
        while len(self._wrong) > _REMEMBERED:
            self._wrong.popitem(last=False)

    def _password_fits(self, user: str, password: bytes) -> bool:
        """An unknown user costs a hash too: the time tells nobody which users there are."""
        if not 0 < len(password) <= _LONGEST_PASSWORD or b"\0" in password:
            return False
        import bcrypt  # noqa: PLC0415 - where passwords are checked only, and not in each worker

        hashed = self.users.get(user) or next(iter(self.users.values()))
        return bcrypt.checkpw(password, hashed) and user in self.users


def _decoded(value: str) -> tuple[str, bytes]:
    """User and password of the Basic scheme; both empty if it is none (RFC 7617: UTF-8)."""
    try:
        user, _, password = base64.b64decode(value, validate=True).partition(b":")
        return user.decode(), password
    except (binascii.Error, ValueError):
        return "", b""
