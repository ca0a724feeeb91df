"""Names of rotated logs, and their order by age. It reads no file.

maillog.0  maillog.1.gz  mail.log.2.xz           newsyslog(8), savelog(8), logrotate(8)
mail.log-20261127.gz  mail.log-20261127-1795773601    logrotate with dateext, and a second one of a day
maillog-2026112710.zst  mail.log-20261127-10     dateformat with the hour
maillog.20261127T100001.bz2                      newsyslog -t
mail.log.2026-11-27  mail.log_20261127           logadm(8), dateformat
mail-20261127.log.gz  mail.1.log                 logrotate with extension .log
mail.log.old
"""

import re
from collections.abc import Callable, Iterable

_COMPRESSED = r"(?:\.(?:gz|bz2|xz|zst|lz4|Z|z|lzma|lz|lzo|zip))?"
_ROTATION = r"[.-]\d{1,4}|[._-]\d{4}-?\d\d-?\d\d(?:[T._:-]?\d[\d:-]*)?|[.-]old"


def rotations(name: str, others: Iterable[str], changed: Callable[[str], float]) -> list[str]:
    """Those of `others` that are older files of the log `name`, the oldest first.

    Dates and numbers give the order. If both occur, the time of the last change does, which copying a file changes.
    """
    ages = {one: _age(suffix) for one in others if (suffix := _suffix(name, one))}
    if len({kind for kind, _ in ages.values()}) > 1:
        return sorted(ages, key=lambda one: (changed(one), one))
    return sorted(ages, key=lambda one: (ages[one], one))


def _suffix(name: str, other: str) -> str | None:
    """What rotation adds to a name; None for another file."""
    stem, dot, extension = name.rpartition(".")
    patterns = [rf"{re.escape(name)}({_ROTATION}){_COMPRESSED}"]
    if stem and not extension.isdecimal():
        patterns.append(rf"{re.escape(stem)}({_ROTATION}){re.escape(dot + extension)}{_COMPRESSED}")
    return next((found[1] for pattern in patterns if (found := re.fullmatch(pattern, other, re.ASCII))), None)


def _age(suffix: str) -> tuple[int, int]:
    """A key that grows with time: a date grows, the number of a file that is renamed in each rotation falls."""
    digits = re.sub(r"\D", "", suffix)
    if len(digits) >= len("20261127"):
        return 0, int(digits[:14].ljust(14, "0"))
    return 1, -int(digits or 0)
