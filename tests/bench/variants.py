"""The pairs that `make bench-tuning` compares: one without any setting, some with one setting each, and the profiles.

A variant is a profile of sendmail/ with m4 lines after it, which take precedence, and the two queue intervals.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variant:
    """m4 lines for each side, intervals of queue runs (p: a persistent runner), profile, nice of delivery."""

    incoming: str = ""
    delivery: str = ""
    incoming_runs: str = "5m"
    delivery_runs: str = "5m"
    profile: str = "default"
    delivery_nice: int = 0


def _define(name: str, value: object) -> str:
    return f"define(`{name}', `{value}')dnl\n"


def _group(runners: int, more: str = "") -> str:
    """Return the lines of one queue group, which replaces that of the profile."""
    return f"define(`_QUEUE_GROUP_', `')dnl\nQUEUE_GROUP(`mqueue', `F=f, R={runners}{more}')dnl\n"


_NO_GROUP = "define(`_QUEUE_GROUP_', `')dnl\n"
_SYNC_FIRST = _define("confSAFE_QUEUE", "True")
_QUEUE_ONLY = _define("confDELIVERY_MODE", "queueonly")
_BY_NAME = _define("confQUEUE_SORT_ORDER", "filename")
_INTERACTIVE = _define("confDELIVERY_MODE", "interactive")
_IN_MEMORY = _define("confSAFE_QUEUE", "interactive")
_BARE = _NO_GROUP + _SYNC_FIRST
_PAUSED = _define("confMIN_QUEUE_AGE", "1m")
_IDENT = _define("confTO_IDENT", "5s")
_ALONE = "".join(_define(f"{name}_MAILER_MAXMSGS", 1) for name in ("SMTP", "RELAY", "LOCAL"))

VARIANTS = {
    "untuned": Variant(_BARE, _NO_GROUP),
    "PostMilter": Variant(_NO_GROUP, _NO_GROUP),
    "8 runners": Variant(_group(8) + _SYNC_FIRST, _group(8)),
    "by file name": Variant(_BARE + _BY_NAME, _NO_GROUP + _BY_NAME),
    "ident": Variant(_BARE + _IDENT, _NO_GROUP + _IDENT),
    "delivery interactive": Variant(_BARE, _NO_GROUP + _INTERACTIVE + _IN_MEMORY),
    "queueonly, 1 runner": Variant(_BARE + _QUEUE_ONLY, _NO_GROUP, "p1s"),
    "queueonly, 4 runners": Variant(_group(4) + _SYNC_FIRST + _QUEUE_ONLY, _NO_GROUP, "p1s"),
    "queueonly, 8 runners": Variant(_group(8) + _SYNC_FIRST + _QUEUE_ONLY, _NO_GROUP, "p1s"),
    "queueonly, 16 runners": Variant(_group(16) + _SYNC_FIRST + _QUEUE_ONLY, _NO_GROUP, "p1s"),
    "queueonly, 32 runners": Variant(_group(32) + _SYNC_FIRST + _QUEUE_ONLY, _NO_GROUP, "p1s"),
    "a session a message": Variant(_group(16) + _SYNC_FIRST + _QUEUE_ONLY + _ALONE, _NO_GROUP, "p1s"),
    "default": Variant(),
    "burst": Variant(incoming_runs="p1s", profile="burst", delivery_nice=13),
    "burst, nice 5": Variant(_group(16, ", N=5"), "", "p1s", profile="burst", delivery_nice=5),
    "burst, nice 19": Variant(_group(16, ", N=19"), "", "p1s", profile="burst", delivery_nice=19),
    "burst, not niced": Variant(_group(16), "", "p1s", profile="burst"),
    "burst, delivery interactive": Variant("", _INTERACTIVE + _IN_MEMORY, "p1s", "5m", "burst", 13),
    "burst, delivery queueonly": Variant("", _QUEUE_ONLY + _BY_NAME + _PAUSED, "p1s", "p1s", "burst", 13),
}
