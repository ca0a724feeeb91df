"""Writes a line of miltscan's log to syslog: what a command has changed, where the service's log is out of its reach.

Facility mail, so that it stands among the lines of both sendmails, which `trace` reads. A host without syslog loses it.
"""

import syslog
from collections.abc import Mapping

from miltscan.telemetry.log_line import json_line

_LIMIT = 2000  # bytes; RFC 5424 section 6.1: a receiver should accept 2,048, priority and head included
_PRIORITIES = {"info": syslog.LOG_INFO, "warning": syslog.LOG_WARNING, "error": syslog.LOG_ERR}


def write_audit(event: str, level: str, fields: Mapping[str, object]) -> None:
    """Write the line of `event`; `level` is info, warning or error."""
    line = json_line(level, {"event": event, **fields}, _LIMIT)
    syslog.openlog("miltscan", syslog.LOG_PID, syslog.LOG_MAIL)
    syslog.syslog(_PRIORITIES[level], line.decode("ascii"))
