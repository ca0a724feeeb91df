"""Who may read the exporter: users with a password (bcrypt) and bearer tokens. It reads no file and serves no request.

bcrypt is slow by design. The result of a check is therefore kept, under a keyed digest of the value, so that a scraper
costs one hash only once. `known` answers from memory and never blocks; `verify` is slow and belongs on a thread.
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
_HIGHEST_COST = 14  # a check takes one second or more; with a cost of 20 it would take a minute and always time out
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*", re.ASCII)  # RFC 6750 section 2.1
_MOST_LINES = 256
_LONGEST_PASSWORD = 72  # bytes: bcrypt ignores what follows them, and what follows a NUL
_WRONG_KEPT = 256  # wrong credentials, about 100 bytes each; of valid ones there is at most one a user


class Scheme(StrEnum):
    """How a client proves its identity (RFC 7617, RFC 6750)."""

    BASIC = "Basic"
    BEARER = "Bearer"


def parse_users(text: str) -> dict[str, bytes]:
    """Return the hashes by user from lines `user:hash`, as `htpasswd -B` writes them. ValueError names a wrong line."""
    users: dict[str, bytes] = {}
    for number, line in _lines(text):
        found = _USER.fullmatch(line)
        if found is None or found[1] in users:
            raise ValueError(f"line {number}: expected user:hash, each user once")
        users[found[1]] = _hash(number, found[2])
    if not users:
        raise ValueError("has no user. Add one: htpasswd -B FILE USER")
    return users


def parse_tokens(text: str) -> list[bytes]:
    """Return the tokens, one per line; the text of a ValueError shows none of them."""
    lines = _lines(text)
    wrong = [number for number, line in lines if not _TOKEN.fullmatch(line)]
    if wrong:
        raise ValueError(f"line {wrong[0]}: expected a token of 16 to 512 characters of A-Z a-z 0-9 - . _ ~ + /")
    if not lines:
        raise ValueError("has no token. Make one: openssl rand -hex 32")
    return [line.encode() for _, line in lines]


def _lines(text: str) -> list[tuple[int, str]]:
    """Return number and text of the lines that are neither empty nor a comment."""
    stripped = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in stripped if line and not line.startswith("#")]
    if len(lines) > _MOST_LINES:
        raise ValueError(f"expected at most {_MOST_LINES} lines")
    return lines


def _hash(number: int, text: str) -> bytes:
    found = _HASH.fullmatch(text)
    if found is None:
        raise ValueError(f"line {number}: expected a bcrypt hash. Make it with htpasswd -B.")
    if int(found[1]) > _HIGHEST_COST:
        raise ValueError(f"line {number}: a bcrypt cost of {found[1]} takes too long. Use at most {_HIGHEST_COST}.")
    return text.encode()


@dataclass(slots=True)
class Credentials:
    """The users and tokens in force. A reload makes new credentials, so results for old files are forgotten."""

    users: Mapping[str, bytes] = field(default_factory=dict)
    tokens: Sequence[bytes] = ()
    _key: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    _valid: set[bytes] = field(default_factory=set, repr=False)
    _wrong: "OrderedDict[bytes, None]" = field(default_factory=OrderedDict, repr=False)

    @property
    def schemes(self) -> list[Scheme]:
        """Return what a client may use; empty if no credentials are required."""
        return [Scheme.BASIC] * bool(self.users) + [Scheme.BEARER] * bool(self.tokens)

    def known(self, authorization: str) -> bool | None:
        """Return whether this `Authorization` value is valid, without blocking; None if only `verify` can find out."""
        scheme, _, value = authorization.partition(" ")
        match scheme.lower():
            case "bearer":
                # digests, all of them, in constant time: the time shows neither length nor place of a difference
                given = self._digest(value.strip().encode())
                return any([hmac.compare_digest(given, self._digest(token)) for token in self.tokens])  # noqa: C419
            case "basic" if self.users:
                digest = self._digest(value.strip().encode())
                if digest in self._valid:
                    return True
                return False if digest in self._wrong else None
        return False

    def verify(self, authorization: str) -> bool:
        """Return the same for Basic, by the hash of its user: about 0.2 s at a bcrypt cost of 12."""
        value = authorization.partition(" ")[2].strip()
        valid = self._password_matches(*_decoded(value))
        digest = self._digest(value.encode())
        if valid:
            self._valid.add(digest)
            return True
        self._wrong[digest] = None
        while len(self._wrong) > _WRONG_KEPT:
            self._wrong.popitem(last=False)
        return False

    def _digest(self, value: bytes) -> bytes:
        return blake2b(value, key=self._key, digest_size=32).digest()

    def _password_matches(self, user: str, password: bytes) -> bool:
        """Check the password. An unknown user costs a hash too, so that the time does not reveal which users exist."""
        if not 0 < len(password) <= _LONGEST_PASSWORD or b"\0" in password:
            return False
        import bcrypt  # noqa: PLC0415 - only where passwords are checked, not in each worker

        hashed = self.users.get(user) or next(iter(self.users.values()))
        return bcrypt.checkpw(password, hashed) and user in self.users


def _decoded(value: str) -> tuple[str, bytes]:
    """Return user and password of the Basic scheme (RFC 7617: UTF-8); both empty if the value is malformed."""
    try:
        user, _, password = base64.b64decode(value, validate=True).partition(b":")
        return user.decode(), password
    except (binascii.Error, ValueError):
        return "", b""
