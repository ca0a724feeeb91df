"""Addresses of the envelope, and the patterns by which lists and rules name them. Pure."""

import re
from functools import lru_cache

_NAME = re.compile(r"[^\s@<>]+")
_LABELS = 32  # of a domain: a hostile one of thousands would make as many keys


def pattern(text: str) -> str:
    """The pattern of addresses that `text` is, in lower case; ValueError with what was expected.

    `user@domain`, `user@` for this user in any domain or without one, `@domain`, `.domain` for a domain and those below
    it, `<>` for the empty sender.
    """
    bare = text.strip().lower()
    if bare == "<>":
        return bare
    bare = bare.removeprefix("<").removesuffix(">")
    user, at, domain = bare.rpartition("@")
    named = domain or user if at else bare.removeprefix(".")
    if not (at or bare.startswith(".")) or not _NAME.fullmatch(named) or not bare.isprintable() or " " in bare:
        raise ValueError('expected an address, @domain, user@, .domain for a domain and those below it, or "<>"')
    return bare


@lru_cache(maxsize=64)  # many rules ask about the same few addresses
def address_keys(path: bytes) -> tuple[str, ...]:
    """The patterns that match an address of the envelope, as RCPT or MAIL gave it; the most special first.

    Of an address without a domain, such as `RCPT TO:<postmaster>`, sendmail looks for `postmaster@` (check_rcpt of its
    proto.m4).
    """
    address = path.strip().removeprefix(b"<").removesuffix(b">").decode("utf-8", "backslashreplace").lower()
    if not address:
        return ("<>",)
    user, at, domain = address.rpartition("@")
    if not at:
        return (address, f"{address}@")
    labels = domain.split(".")[-_LABELS:]
    return (address, f"{user}@", f"@{domain}", *("." + ".".join(labels[start:]) for start in range(len(labels))))
