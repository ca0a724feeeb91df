"""Carries a decision out: header edits, the reply, and the code that libmilter returns to the MTA."""

from typing import Any, assert_never

import milter

from miltscan.core.action import Accept, Decision, Discard, Hold, Quarantine, Reject, TempFail
from miltscan.core.edits import InsertHeader, RemoveHeader

Context = Any
"""pymilter's context of a connection; the package has no types."""

CONTINUE: int = milter.CONTINUE
TEMPFAIL: int = milter.TEMPFAIL
_REJECT: int = milter.REJECT
_DISCARD: int = milter.DISCARD


def carry_out(ctx: Context, decision: Decision) -> int:
    """Send the decision to the MTA; returns the callback's code. Raises milter.error if the connection is lost."""
    space = "" if ctx.getpriv().steps.lead else " "
    for edit in decision.edits:
        match edit:
            case InsertHeader(name, value):
                # an MTA that keeps the leading space of the sender's headers adds none to ours
                ctx.addheader(name, space + value, 0)
            case RemoveHeader(name, index):
                ctx.chgheader(name, index, None)
    match decision.action:
        case Accept():
            return CONTINUE
        case Hold(reason):
            ctx.quarantine(reason)
            return CONTINUE
        case Discard() | Quarantine():  # it was stored
            return _DISCARD
        case TempFail(reply) | Reject(reply):
            # libmilter formats the text: a bare % would be a directive; its class must fit the code we return
            ctx.setreply(str(reply.code), reply.status, reply.text.replace("%", "%%"))
            return TEMPFAIL if isinstance(decision.action, TempFail) else _REJECT
    assert_never(decision.action)


def is_connected(ctx: Context) -> bool:
    """Whether the MTA still accepts a packet; pymilter raises the same error for a lost connection and a wrong call."""
    try:
        ctx.progress()
    except milter.error:
        return False
    return True
