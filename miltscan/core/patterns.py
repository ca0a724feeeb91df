"""Addresses of the envelope, and the patterns by which lists and rules name them. Pure."""

import re
from functools import lru_cache

_NAME = re.compile(r"[^\s@<>]+")
_LABELS = 32  # of a domain: a hostile one of thousands would make as many keys
_HOPS = 4  # of a route in the user's part
_ORDINARY = re.compile(r'[^\s\\"()<>;:]+')
_SEPARATORS = "@.,:;%!"


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
    """The patterns that match an address of the envelope, as RCPT or MAIL gave it; the first one is its plain form.

    Anybody may write an address in forms that reach the same mailbox, and no rule must depend on the form: those of
    `plain_forms`, and `user+detail` for `user`. Of an address without a domain sendmail looks for `postmaster@`
    (check_rcpt of its proto.m4).
    """
    keys: list[str] = []
    for address in plain_forms(path):
        user, at, domain = address.rpartition("@") if "@" in address else (address, "", "")
        bare, plus, _ = user.partition("+")
        users = (user, bare) if bare and plus else (user,)
        keys += [f"{one}{at}{domain}" for one in users]
        keys += [f"{one}@" for one in users]
        keys += domain_keys(domain) if at else ()
    return (*dict.fromkeys([*keys, _shown(_bare(path))]),) if keys else ("<>",)


def domain_keys(domain: str) -> tuple[str, ...]:
    """The patterns that match a domain: `@domain`, and `.domain` for it and each one above it."""
    labels = domain.split(".")[-_LABELS:]
    return (f"@{domain}", *("." + ".".join(labels[start:]) for start in range(len(labels))))


def plain_forms(path: bytes) -> tuple[str, ...]:
    """The address as sendmail reads it, in lower case, and those that a route in its user's part leads to.

    None for `<>`. It is without comments, quotes, a source route (`@host:user@domain`) and the dots at the end of its
    domain; blanks between two words are a dot (tests/e2e/test_addresses.py). Of `user%domain@host` and
    `domain!user@host` sendmail makes `user@domain`, where the host is its own.
    """
    text = _bare(path)
    address = text if _ORDINARY.fullmatch(text) else _words(_unquoted(text))
    if address.startswith("@"):
        address = address.partition(":")[2] or address
    user, at, domain = address.rpartition("@") if "@" in address else (address, "", "")
    forms = [f"{user}{at}{domain.rstrip('.;')}"]
    for _ in range(_HOPS):
        if "%" in user:
            user, _, domain = user.rpartition("%")
        elif "!" in user:
            domain, _, user = user.partition("!")
        else:
            break
        forms.append(f"{user}@{domain}")
    return tuple(map(_shown, forms)) if address else ()


def _bare(path: bytes) -> str:
    return path.strip().removeprefix(b"<").removesuffix(b">").decode("utf-8", "surrogateescape")


def _shown(text: str) -> str:
    """In lower case; bytes that are not UTF-8 are escapes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").lower()


def _unquoted(text: str) -> str:
    """What is in the innermost angle brackets; a comment is a blank, and what a backslash or quotes protect is bare."""
    said, comments, quoted, characters = list[str](), 0, False, iter(text)
    for one in characters:
        if one == "\\":
            protected = next(characters, "")
            said += protected if not comments else ""
        elif comments:
            comments += (one == "(") - (one == ")")
        elif one == '"':
            quoted = not quoted
        elif quoted or one not in "(<>":
            said.append(one)
        elif one == "(":
            comments = 1
            said.append(" ")
        elif one == "<":
            said.clear()
        else:
            break
    return "".join(said)


def _words(text: str) -> str:
    """The text without blanks: a dot between two words, nothing next to a character that separates them anyway."""
    joined: list[str] = []
    for word in text.split():
        if joined and joined[-1][-1] not in _SEPARATORS and word[0] not in _SEPARATORS:
            joined.append(".")
        joined.append(word)
    return "".join(joined)
