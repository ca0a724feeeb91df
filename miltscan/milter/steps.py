"""The steps of a message between MAIL and EOM: functions of the context alone, as libmilter calls them.

The MTA expects no reply to them, but to RCPT where rules or `split-at-rcpt` refuse recipients there.
"""

from collections.abc import Callable
from typing import Any

import milter

from miltscan.core.message import Destination
from miltscan.core.split import SPLIT
from miltscan.milter.answer import CONTINUE, Context, carry_out
from miltscan.milter.session import MtaSession

_NOREPLY: int = milter.NOREPLY


def _unanswered(step: Callable[..., None]) -> Callable[..., int]:
    """A step to which the MTA expects no reply: the first error is kept for the EOM, and later steps are skipped."""

    def guarded(ctx: Context, *arguments: Any) -> int:  # noqa: ANN401 - as libmilter passes them
        session: MtaSession = ctx.getpriv()
        if session.error is None:
            try:
                step(session, ctx, *arguments)
            except Exception as error:  # noqa: BLE001 - it is raised again at EOM
                session.error = error
        return _NOREPLY

    return guarded


def _answered(session: MtaSession, ctx: Context, recipient: bytes, arguments: tuple[bytes, ...]) -> int:
    """Refuse a recipient, by a rule or because it needs a transaction of its own; else add it with its destination."""
    target = (any_macro(ctx, "{rcpt_mailer}"), any_macro(ctx, "{rcpt_host}"), any_macro(ctx, "{rcpt_addr}"))
    local = target[0] == "local"
    if refusal := session.refusal(recipient, local=local):
        message, ruling = refusal
        code = carry_out(ctx, ruling.decision)
        session.runtime.refused(message, ruling)
        return code
    if session.needs_another(recipient):
        return carry_out(ctx, SPLIT)
    destination = Destination(arguments, target) if session.runtime.splits else None
    session.steps.rcpt(recipient, local=local, destination=destination)
    return CONTINUE if session.answers_recipients else _NOREPLY


def take_recipient(ctx: Context, recipient: bytes, *arguments: bytes) -> int:
    """As `_unanswered` does, unless the MTA waits for an answer; an error is kept for the EOM all the same."""
    session: MtaSession = ctx.getpriv()
    if session.error is None:
        try:
            if session.runtime.splits or session.answers_recipients:
                return _answered(session, ctx, recipient, arguments)
            session.steps.rcpt(recipient, local=ctx.getsymval("{rcpt_mailer}") == "local")
        except Exception as error:  # noqa: BLE001 - as above
            session.error = error
    return CONTINUE if session.answers_recipients else _NOREPLY


def any_macro(ctx: Context, name: str) -> str:
    """The value of a macro that may hold any bytes, which are kept as escapes; empty if the MTA sends none."""
    try:
        return ctx.getsymval(name) or ""
    except UnicodeDecodeError as error:  # pymilter decodes as strict UTF-8; the bytes are in the error
        return error.object.decode("utf-8", "backslashreplace")


def take_header(ctx: Context, name: str, value: bytes) -> int:
    """As `_unanswered` does, in one function: there are many headers, and each call costs."""
    session: MtaSession = ctx.getpriv()
    try:
        session.steps.header(name.encode(), value)
    except Exception as error:  # noqa: BLE001 - as above
        session.error = session.error or error
    return _NOREPLY


def take_eoh(_ctx: Context) -> int:
    """Only from an MTA that cannot omit this step; the next one shows as well that the headers end."""
    return _NOREPLY


def _store(session: MtaSession, _ctx: Context, chunk: bytes) -> None:
    session.body(chunk)


take_chunk = _unanswered(_store)
