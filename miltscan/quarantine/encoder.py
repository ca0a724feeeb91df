"""How the message in an entry's file is encoded: zstd, then age, each if the area says so.

With age a scanner knows public keys only: it can write and not read. Both libraries are optional, and imported only
where an area or an entry needs them; without them there is one line that says so.
"""

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, BinaryIO, Protocol

from miltscan.errors import EntryError, StoreError
from miltscan.quarantine.entry import Encoding, Entry

_CHUNK = 2**17  # bytes
_EXTRAS = {"zstandard": "zstd", "pyrage": "age"}


class Sink(Protocol):
    """What takes the encoded message."""

    def write(self, data: bytes, /) -> int:
        """Write all of `data`."""


class Reader(Protocol):
    """What gives the message."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, none at the end."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """The encoding of new entries: `compress` by zstd, then encrypt to the age public keys `encrypt_to`."""

    compress: bool = False
    encrypt_to: tuple[str, ...] = ()

    @property
    def encoding(self) -> tuple[Encoding, ...]:
        """Its steps in their order."""
        return (Encoding.ZSTD,) * self.compress + (Encoding.AGE,) * bool(self.encrypt_to)

    def prepare(self) -> None:
        """Import what it needs and read the keys, so that a mistake is known before the first message. StoreError."""
        if self.compress:
            _library("zstandard")
        if self.encrypt_to:
            _public_keys(self.encrypt_to)

    def encode(self, source: Reader, target: Sink) -> None:
        """Encode the message from `source` to `target`. Raises StoreError, and OSError of the two."""
        if self.compress:
            source = _library("zstandard").ZstdCompressor(level=3).stream_reader(source)
        if self.encrypt_to:
            pyrage, keys = _library("pyrage"), _public_keys(self.encrypt_to)
            try:
                pyrage.encrypt_io(source, target, keys)
            except pyrage.EncryptError as error:  # also an OSError of the two
                raise StoreError(f"cannot encrypt the message: {error}") from None
        else:
            while chunk := source.read(_CHUNK):
                target.write(chunk)


PLAIN = Encoder()
"""The message as received."""


def _public_keys(texts: Sequence[str]) -> list[Any]:
    pyrage = _library("pyrage")
    keys = []
    for text in texts:
        try:
            keys.append(pyrage.x25519.Recipient.from_str(text))
        except pyrage.RecipientError:
            raise StoreError(
                f"{text[:80]!r} is not an age public key. Expected age1... as age-keygen prints it."
            ) from None
    return keys


def identities(text: str, name: str) -> list[Any]:
    """The identities in the text of an age identity file `name`, as age-keygen writes it. Raises StoreError."""
    pyrage = _library("pyrage")
    lines = (line.strip() for line in text.splitlines())
    found = []
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        try:
            found.append(pyrage.x25519.Identity.from_str(line))
        except pyrage.IdentityError:  # the line is a secret: it is not shown
            raise StoreError(f"{name}: line {number} is not an age identity. Expected AGE-SECRET-KEY-1...") from None
    if not found:
        raise StoreError(f"{name}: no age identity. Expected a line AGE-SECRET-KEY-1... as age-keygen writes it.")
    return found


def decoded(entry: Entry, source: BinaryIO, keys: Sequence[Any]) -> BinaryIO:
    """The message as received, from `source` at its encoded form; size and digest were checked.

    A plain message is read from the file itself, of any size. A decoded one is in memory only: what is encrypted on
    disk does not return there. `keys` are from `identities`. Raises EntryError without the name of the entry, and
    OSError.
    """
    plain = _memory_file() if entry.encoding else _rest_of(source)
    try:
        if not entry.encoding:
            _copy(entry, plain, _Nowhere())
            plain.seek(0)
            return plain
        with _memory_file() as packed:
            if Encoding.AGE in entry.encoding:
                _decrypt(source, packed, keys)
                packed.seek(0)
                source = packed
            _copy(entry, source, plain)
    except BaseException:
        plain.close()
        raise
    plain.seek(0)
    return plain


def _memory_file() -> BinaryIO:
    return os.fdopen(os.memfd_create("miltscan", os.MFD_CLOEXEC), "w+b")


class _Nowhere:
    """Takes what is only checked."""

    def write(self, data: bytes) -> int:
        """Drop it."""
        return len(data)


class _Rest(io.RawIOBase):
    """The rest of a file as a file of its own, which begins at its offset 0; it owns the descriptor."""

    def __init__(self, descriptor: int, start: int) -> None:
        self._descriptor, self._start, self._position = descriptor, start, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to this offset, from the begin, the position or the end."""
        end = os.fstat(self._descriptor).st_size - self._start
        self._position = max(0, offset + (0, self._position, end)[whence])
        return self._position

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        """Read what fits."""
        data = os.pread(self._descriptor, len(buffer), self._start + self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Close the descriptor as well."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def _rest_of(file: BinaryIO) -> BinaryIO:
    return io.BufferedReader(_Rest(os.dup(file.fileno()), file.tell()), _CHUNK)


def _decrypt(source: BinaryIO, target: BinaryIO, keys: Sequence[Any]) -> None:
    if not keys:
        raise EntryError("is encrypted. Name the file of the identity: quarantine.identity, or --identity FILE.")
    pyrage = _library("pyrage")
    try:
        pyrage.decrypt_io(source, target, keys)
    except pyrage.DecryptError as error:
        raise EntryError(f"is encrypted for other keys than this identity's, or damaged ({error})") from None
    except OSError as error:  # a damaged chunk
        raise EntryError(f"is damaged: age reports {error}") from None


def _copy(entry: Entry, source: BinaryIO, target: Sink) -> None:
    """Copy the message, unpacked, to `target`; it must have the size and the digest of the entry."""
    reader: Reader = source
    fault: type[Exception] = OSError
    if Encoding.ZSTD in entry.encoding:
        zstandard = _library("zstandard")
        reader, fault = zstandard.ZstdDecompressor().stream_reader(source), zstandard.ZstdError
    digest, size = hashlib.sha256(), 0
    try:
        while size <= entry.size and (chunk := reader.read(_CHUNK)):  # a damaged file may unpack to any size
            digest.update(chunk)
            target.write(chunk)
            size += len(chunk)
    except fault as error:
        raise EntryError(f"is damaged: {error}") from None
    if size != entry.size:
        raise EntryError(f"is damaged: {size} bytes of the message instead of {entry.size}")
    if digest.hexdigest() != entry.digest:
        raise EntryError("is damaged: the message has another SHA-256 than when it was stored")


def _library(name: str) -> Any:  # noqa: ANN401 - a module that may be missing has no type
    try:
        return import_module(name)
    except ImportError:
        extra = _EXTRAS[name]
        raise StoreError(
            f"{extra} needs the Python package {name}. Run: pip install --no-build-isolation --require-hashes"
            " -r deploy/requirements-quarantine.txt"
        ) from None
