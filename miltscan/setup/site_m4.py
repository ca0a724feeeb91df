"""Settings of both sendmails: site.m4 for a host that has none, and whether a person has changed its sendmail.mc."""

import re
from collections.abc import Mapping

_NOTE = """\
dnl Written by `miltscan setup'. Edit it and run `miltscan setup' again, which then keeps the file, and builds and
dnl restarts both sendmails. Local domains are those of /etc/mail/local-host-names. sendmail/README.md has all settings.
"""
_NOT_A_CHOICE = re.compile(r"dnl\b|#|$|VERSIONID\(|divert\(|.*#DAEMON_")
"""Lines of sendmail.mc that decide nothing, or that Debian's scripts change at an upgrade."""
_BUILT = re.compile(rb"^##### (built by|in) .*\n", re.MULTILINE)


def site_text(example: str, chosen: Mapping[str, str]) -> str:
    """The example with these settings enabled, and all others disabled."""
    lines = []
    for line in example.splitlines():
        found = re.match(r"(?:dnl )?define\(`(SITE_\w+)', `[^']*'\)dnl(.*)", line)
        if not found:
            continue
        name, comment = found[1], found[2].strip()
        enabled = f"define(`{name}', `{chosen[name]}')dnl" if name in chosen else f"dnl {line.removeprefix('dnl ')}"
        lines.append(f"{enabled}   {comment}".rstrip() if name in chosen else enabled)
    known = "\n".join(lines)
    lines += [f"define(`{name}', `{value}')dnl" for name, value in chosen.items() if f"(`{name}'" not in known]
    return _NOTE + "\n".join(lines) + "\n"


def changed_by_a_person(own: str, distribution: str) -> bool:
    """Whether a sendmail.mc differs from that of the distribution in more than comments."""
    return _choices(own) != _choices(distribution)


def _choices(text: str) -> list[str]:
    lines = (line.strip() for line in text.split("divert(0)", 1)[-1].splitlines())
    return [re.sub(r"dnl\b.*", "", line).strip() for line in lines if not _NOT_A_CHOICE.match(line)]


def same_build(one: bytes, other: bytes) -> bool:
    """Whether two .cf files differ only in when and where they were built."""
    return _BUILT.sub(b"", one) == _BUILT.sub(b"", other)
