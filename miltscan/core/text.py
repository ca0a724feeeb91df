"""Cleans hostile bytes for a reader or a protocol line."""

from functools import lru_cache


def readable(data: bytes | str, limit: int = 1000) -> str:
    r"""The text for a log field: at most `limit` characters, each printable, everything else as an escape.

    Control characters, C1 controls and direction overrides could rewrite a terminal's screen; a byte that is not UTF-8
    would break the JSON encoder. Escapes look like Python's: `\x1b`, `\u202e`.
    """
    text = data[: 4 * (limit + 1)].decode("utf-8", "backslashreplace") if isinstance(data, bytes) else data
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return text if text.isprintable() else "".join(map(_escape, text))


_LINES = str.maketrans("", "", "\n\t")


def printable_lines(text: str) -> str:
    """Text of any length for a terminal: each unprintable character but line feed and tab becomes an escape."""
    return text if text.translate(_LINES).isprintable() else "".join(c if c in "\n\t" else _escape(c) for c in text)


def _escape(character: str) -> str:
    return (
        character if character.isprintable() else character.encode("unicode_escape", "backslashreplace").decode("ascii")
    )


@lru_cache(maxsize=256)  # the same few signatures occur again and again
def printable_ascii(data: bytes | str, limit: int = 200) -> str:
    """The text for an SMTP reply or a header: printable ASCII only (RFC 5321 4.2), at most `limit` characters."""
    text = data.decode("ascii", "replace") if isinstance(data, bytes) else data
    return "".join(c if " " <= c <= "~" else "?" for c in text[:limit])
