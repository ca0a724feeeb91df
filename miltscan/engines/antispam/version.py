"""The version of an anti-spam server, as it names itself; only for a person to read."""

import re
from time import monotonic

from miltscan.engines.wire import DeadlineError, Target, Wire

_LONGEST = 65536  # bytes of an answer
_MAIL = b"Subject: version\r\n\r\nWhich version is this?\r\n"
_ASKED = {
    "rspamd": (b"GET /ping HTTP/1.0\r\n\r\n", re.compile(rb"\r\nServer: (rspamd/[\w.-]{1,20})\r\n")),
    "spamd": (
        b"HEADERS SPAMC/1.5\r\nContent-length: %d\r\n\r\n" % len(_MAIL) + _MAIL,
        re.compile(rb"\nX-Spam-Checker-Version: (SpamAssassin [\w.-]{1,20})"),
    ),
}


def antispam_version(kind: str, target: Target, timeout: float) -> str | None:
    """What a server of this engine type says within `timeout` seconds; None if it says nothing of that form."""
    request, form = _ASKED[kind]
    wire = Wire(target, monotonic() + timeout, lambda: None)
    try:
        wire.connect()
        wire.send(request)
        found = form.search(wire.receive(_LONGEST))
    except (DeadlineError, OSError):
        return None
    finally:
        wire.close()
    return found[1].decode() if found else None
