"""Carries a decision out: header edits, the reply, and the code that libmilter returns to the MTA."""

from typing import Any, assert_never

import milter

from miltscan.core.action import (
    Accept,
    AddRecipient,
    Copy,
    Decision,
    Discard,
    Hold,
    Quarantine,
    Redirect,
    Reject,
    RemoveRecipient,
    TempFail,
)
from miltscan.core.edits import ChangeHeader, InsertHeader, RemoveHeader

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
            case ChangeHeader(name, index, value):
                ctx.chgheader(name, index, space + value)
            case RemoveHeader(name, index):
                ctx.chgheader(name, index, None)
    if decision.recipients:
        _edit_recipients(ctx, decision)
    match decision.action:
        case Accept() | Copy():
            return CONTINUE
        case Hold(reason):
            ctx.quarantine(reason)
            return CONTINUE
        case Discard() | Quarantine() | Redirect():  # it was stored, or handed over
            return _DISCARD
        case TempFail(reply) | Reject(reply):
            # libmilter formats the text: a bare % would be a directive; its class must fit the code we return
            ctx.setreply(str(reply.code), reply.status, reply.text.replace("%", "%%"))
            return TEMPFAIL if isinstance(decision.action, TempFail) else _REJECT
    assert_never(decision.action)


def _edit_recipients(ctx: Context, decision: Decision) -> None:
    takes_arguments = ctx.getpriv().adds_with_arguments
    for edit in decision.recipients:
        address = edit.address.decode()
        match edit:
            case RemoveRecipient():
                ctx.delrcpt(address)
            case AddRecipient(_, arguments) if arguments and takes_arguments:
                ctx.addrcpt(address, b" ".join(arguments).decode())
            case AddRecipient():
                ctx.addrcpt(address)


def is_connected(ctx: Context) -> bool:
    """Whether the MTA still accepts a packet; pymilter raises the same error for a lost connection and a wrong call."""
    try:
        ctx.progress()
    except milter.error:
        return False
    return True
