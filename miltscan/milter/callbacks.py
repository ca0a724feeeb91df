"""The milter: libmilter's callbacks to the conversation, its message to the pipeline, the decision to the MTA.

The only module that imports pymilter, by its C module: plain functions cost less than `Milter.Base` (measured). It
decides nothing, scans nothing and keeps nothing but which sessions, transactions and EOMs are under way.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, Protocol, assert_never

import milter

from miltscan.core.action import (
    Accept,
    Decision,
    Discard,
    Hold,
    InsertHeader,
    Reject,
    RemoveHeader,
    TempFail,
)
from miltscan.core.message import Client
from miltscan.core.policy import failed, unheard
from miltscan.core.report import Place, Report
from miltscan.core.verdict import Fault, Verdict
from miltscan.milter.conversation import Conversation, Runtime, catch_what_c_raises

Context = Any
"""pymilter's context of a connection; the package has no types."""

_NAME = "miltscan"  # a constant: libmilter keeps the pointer
_CONTINUE: int = milter.CONTINUE
_NOREPLY: int = milter.NOREPLY
_TEMPFAIL: int = milter.TEMPFAIL
_REJECT: int = milter.REJECT
_DISCARD: int = milter.DISCARD
_ACTIONS: int = milter.ADDHDRS | milter.CHGHDRS | milter.QUARANTINE
_STEPS: int = (  # HELO is not taken: its name is decoded as strict UTF-8 in C, and nothing needs it
    milter.P_NOHELO
    | milter.P_NOEOH
    | milter.P_NODATA
    | milter.P_NOUNKNOWN
    | milter.P_NR_CONN
    | milter.P_NR_RCPT
    | milter.P_NR_HDR
    | milter.P_NR_EOH
    | milter.P_NR_BODY
    | milter.P_HDR_LEADSPC
)
_SLOW = 1.0  # seconds after a tick for which EOMs are taken to be slow: a slow one ticks that often


class Watcher(Protocol):
    """Hears what goes on; called from libmilter's threads, must neither block nor raise."""

    def done(self, report: Report) -> None:
        """A message was decided, and the MTA told."""

    def exception(self, where: Place, error: Exception) -> None:
        """Our own code failed at `where`."""


class Milter:
    """The filter of one worker process: libmilter has one set of callbacks a process.

    `runtime` may be replaced at any time. `kick` is called when several EOMs are in hand and slow (see `pool`).
    """

    def __init__(self, runtime: Runtime, watcher: Watcher, kick: Callable[[], None]) -> None:
        self.runtime = runtime
        self._watcher = watcher
        self._kick = kick
        # sets, as adding and discarding is one step for all threads: a lock costs more than all the rest of a count
        self._sessions: set[Conversation] = set()
        self._transactions: set[Conversation] = set()
        self._eoms: set[Conversation] = set()
        self._slow_until = 0.0

    @property
    def sessions(self) -> int:
        """How many are open."""
        return len(self._sessions)

    @property
    def transactions(self) -> int:
        """How many are open."""
        return len(self._transactions)

    def register(self, listener: int) -> None:
        """Hand the callbacks and the descriptor of a listening socket to libmilter."""
        catch_what_c_raises()
        milter.set_exception_policy(milter.CONTINUE)
        milter.set_flags(_ACTIONS)
        milter.set_connect_callback(self._connect)
        milter.set_envfrom_callback(self._mail)
        milter.set_envrcpt_callback(_quiet(_rcpt))
        milter.set_header_callback(_header)
        milter.set_eoh_callback(_eoh)
        milter.set_body_callback(_quiet(_body))
        milter.set_eom_callback(self._eom)
        milter.set_abort_callback(self._abort)
        milter.set_close_callback(self._close)
        milter.setconn(f"fd:{listener}")  # a patch of Debian's libmilter
        milter.register(_NAME, negotiate=self._negotiate)
        milter.opensocket(False)  # noqa: FBT003 - pymilter takes it by position

    def main(self) -> None:
        """Serve until libmilter is stopped."""
        milter.main()

    def _negotiate(self, ctx: Context, options: list[int]) -> int:
        steps = options[1] & _STEPS
        options[:] = [options[0] & _ACTIONS, steps, 0, 0]
        ctx.setpriv(Conversation(b"" if steps & milter.P_HDR_LEADSPC else b" ", self.runtime))
        return _CONTINUE

    def _connect(self, ctx: Context, name: str, _family: int, address: tuple[str, int] | str | None) -> int:
        talk: Conversation = ctx.getpriv()
        talk.session.client = Client(name, address[0] if isinstance(address, tuple) else "local")
        self._sessions.add(talk)
        return _NOREPLY

    def _mail(self, ctx: Context, sender: bytes, *arguments: bytes) -> int:
        talk: Conversation | None = ctx.getpriv()
        if talk is None:  # QUIT_NC began a session without a negotiation: what the MTA keeps of a header is not known
            return _TEMPFAIL
        if talk not in self._sessions:  # a client name that is no UTF-8 kept C from calling `_connect`
            talk.session.client = Client("unknown", _macro(ctx, "{client_addr}") or "unknown")
            self._sessions.add(talk)
        if talk.spool:
            self._end(talk)
        talk.begin(self.runtime)
        self._transactions.add(talk)
        try:
            too_large = talk.mail(sender, arguments, authenticated=bool(ctx.getsymval("{auth_type}")))
            return self._announced(ctx, talk, too_large) if too_large else _CONTINUE
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised again at EOM
            talk.error = error
            return _CONTINUE

    def _announced(self, ctx: Context, talk: Conversation, verdict: Verdict) -> int:
        """The announced size is too large: refuse at once if the policy refuses, else wait for the bytes."""
        message = talk.message(_macro(ctx, "i"), settled=verdict)
        report = talk.runtime.pipeline.process(message, _nothing)
        if report.decision.reply is None:
            return _CONTINUE
        self._end(talk)
        code = _carry_out(ctx, report.decision)
        self._watcher.done(report)
        return code

    def _eom(self, ctx: Context) -> int:
        """The last door: what it raised would count as CONTINUE, and the message be accepted unscanned."""
        code = _TEMPFAIL
        try:
            report, code = self._finish(ctx, ctx.getpriv())
            self._watcher.done(report)
        except Exception as error:  # noqa: BLE001 - a decision stands even if nobody can be told of it
            with suppress(Exception):
                self._watcher.exception(Place.EOM, error)
        return code

    def _finish(self, ctx: Context, talk: Conversation) -> tuple[Report, int]:
        self._enter(talk)
        try:
            return self._scan(ctx, talk)
        finally:
            self._eoms.discard(talk)
            self._end(talk)

    def _scan(self, ctx: Context, talk: Conversation) -> tuple[Report, int]:
        queue_id = _macro(ctx, "i")
        try:
            message = talk.eom(queue_id, _macro(ctx, "{msg_id}").encode())
            report = talk.runtime.pipeline.process(message, partial(self._tick, ctx))
            try:
                return report, _carry_out(ctx, report.decision)
            except milter.error:
                if _listens(ctx):
                    raise
                return report._replace(decision=unheard(queue_id)), _TEMPFAIL
        except Exception as error:  # noqa: BLE001 - whatever it is, the client keeps its mail
            self._watcher.exception(Place.EOM, error)
            report = _failure(talk, queue_id, error)
            with suppress(milter.error):  # the MTA may be gone; without our text it says its own 451
                _carry_out(ctx, report.decision)
            return report, _TEMPFAIL

    def _enter(self, talk: Conversation) -> None:
        self._eoms.add(talk)
        if monotonic() < self._slow_until:
            self._ask_for_thread()

    def _tick(self, ctx: Context) -> None:
        self._slow_until = monotonic() + _SLOW
        self._ask_for_thread()
        _progress(ctx)

    def _ask_for_thread(self) -> None:
        """So that slow EOMs hold up nobody. Never where EOMs are fast: a kick for each costs a fifth of a message."""
        if len(self._eoms) > 1:
            self._kick()

    def _end(self, talk: Conversation) -> None:
        talk.end()
        self._transactions.discard(talk)

    def _abort(self, ctx: Context) -> int:
        talk: Conversation | None = ctx.getpriv()
        if talk:
            self._end(talk)
            talk.session.abort()
        return _CONTINUE

    def _close(self, ctx: Context) -> int:
        talk: Conversation | None = ctx.getpriv()
        if talk:
            self._end(talk)
            self._sessions.discard(talk)
        return _CONTINUE


def _quiet(step: Callable[..., None]) -> Callable[..., int]:
    """A step whose answer is not awaited: the first error is kept for the EOM, and the steps after it are skipped."""

    def guarded(ctx: Context, *arguments: Any) -> int:  # noqa: ANN401 - as libmilter hands them over
        talk: Conversation = ctx.getpriv()
        if talk.error is None:
            try:
                step(talk, ctx, *arguments)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is raised again at EOM
                talk.error = error
        return _NOREPLY

    return guarded


def _rcpt(talk: Conversation, ctx: Context, recipient: bytes, *_arguments: bytes) -> None:
    talk.session.rcpt(recipient, local=ctx.getsymval("{rcpt_mailer}") == "local")


def _header(ctx: Context, name: str, value: bytes) -> int:
    """As `_quiet` makes them, in one piece: there are many headers, and each call costs."""
    talk: Conversation = ctx.getpriv()
    try:
        talk.session.header(name.encode(), value)
    except Exception as error:  # noqa: BLE001 - as above
        talk.error = talk.error or error
    return _NOREPLY


def _eoh(_ctx: Context) -> int:
    """From an MTA that cannot leave it out; what follows says the same."""
    return _NOREPLY


def _body(talk: Conversation, _ctx: Context, chunk: bytes) -> None:
    talk.body(chunk)


def _macro(ctx: Context, name: str) -> str:
    try:
        return ctx.getsymval(name) or ""
    except UnicodeDecodeError:  # pymilter decodes as strict UTF-8, and a Message-ID may be anything
        return ""


def _nothing() -> None:
    """The tick of a step that asks no engine."""


def _progress(ctx: Context) -> None:
    with suppress(milter.error):  # the MTA is gone: the scan ends by itself, and so does the session
        ctx.progress()


def _listens(ctx: Context) -> bool:
    """Whether the MTA still takes a packet; pymilter tells a lost connection from a wrong call by nothing else."""
    try:
        ctx.progress()
    except milter.error:
        return False
    return True


def _failure(talk: Conversation, queue_id: str, error: Exception) -> Report:
    verdict = Verdict.error("miltscan", Fault.EXCEPTION, f"{type(error).__name__}: {error}")
    return Report(talk.message(queue_id), verdict, failed(queue_id), (), 0.0, 0.0)


def _carry_out(ctx: Context, decision: Decision) -> int:
    """Tell the MTA; milter.error if it does not listen any more. The code to return from the callback."""
    space = "" if ctx.getpriv().session.lead else " "
    for edit in decision.edits:
        match edit:
            case InsertHeader(name, value):
                # an MTA that keeps the space of the sender's headers adds none to ours
                ctx.addheader(name, space + value, 0)
            case RemoveHeader(name, index):
                ctx.chgheader(name, index, None)
    match decision.action:
        case Accept():
            return _CONTINUE
        case Hold(reason):
            ctx.quarantine(reason)
            return _CONTINUE
        case Discard():
            return _DISCARD
        case TempFail(reply) | Reject(reply):
            # libmilter formats the text: a bare % would be a directive; its class must fit the code we return
            ctx.setreply(str(reply.code), reply.status, reply.text.replace("%", "%%"))
            return _TEMPFAIL if isinstance(decision.action, TempFail) else _REJECT
    assert_never(decision.action)
