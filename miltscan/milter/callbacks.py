"""The milter: passes libmilter's callbacks to a session, its message to the pipeline, and the decision to the MTA.

The only module that imports pymilter, by its C module: plain functions cost less than `Milter.Base` (docs/lab/cost.md).
It decides nothing and scans nothing. It keeps only which sessions, transactions and EOMs are open.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from time import monotonic
from typing import Protocol

import milter

from miltscan.core.message import NO_CIRCUMSTANCES, Circumstances, Client
from miltscan.core.policy import connection_lost, failed
from miltscan.core.report import Place, Report
from miltscan.core.verdict import Fault, Verdict
from miltscan.errors import MtaGoneError
from miltscan.milter.answer import CONTINUE, TEMPFAIL, Context, carry_out, is_connected
from miltscan.milter.session import MtaSession, Runtime, catch_what_c_raises
from miltscan.milter.steps import any_macro, take_chunk, take_eoh, take_header, take_recipient

_NAME = "miltscan"  # a constant: libmilter keeps the pointer
_NOREPLY: int = milter.NOREPLY
_REJECT: int = milter.REJECT
_RECIPIENT_ACTIONS: int = milter.ADDRCPT | milter.DELRCPT
_ACTIONS: int = (
    milter.ADDHDRS | milter.CHGHDRS | milter.QUARANTINE | _RECIPIENT_ACTIONS | milter.ADDRCPT_PAR  # granted or not
)
_ASKED_OF_RECIPIENTS = "{rcpt_mailer} {rcpt_host} {rcpt_addr}"
"""The macros at RCPT where recipients may have different decisions, instead of the MTA's own list."""
_ASKED = "i {auth_type} {auth_authen} {tls_version} {cipher} s j {daemon_name}"
"""The macros at MAIL where an engine or a rule uses them, instead of the MTA's own list: `s` is the name in HELO."""
_MACROS = ("s", "{auth_authen}", "{tls_version}", "{cipher}", "j", "{daemon_name}")
"""In the order of `Circumstances`."""
_STEPS: int = (  # no HELO callback: its name is decoded as strict UTF-8 in C, and nothing needs it
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
_PROGRESS = 1.0  # seconds between two progress packets: a socket buffer takes those of the longest scan, read or not
_SLOW = 1.0  # seconds after a tick for which EOMs count as slow: a slow one ticks that often


class Recorder(Protocol):
    """Is notified of what happens; called from libmilter's threads, must neither block nor raise."""

    def done(self, report: Report) -> None:
        """A message was decided, and the decision was sent to the MTA."""

    def exception(self, where: Place, error: Exception) -> None:
        """Our own code raised an exception at `where`."""


class Milter:
    """The filter of one worker process: libmilter has one set of callbacks for each process.

    `admit` is called when a session begins, before any of its data counts; if it raises, the session is refused.
    `runtime` may be replaced at any time. `kick` is called when several EOMs are open and slow (see `threads`).
    `clock` is the time in seconds as its owner counts it; by it an EOM last made progress or ended at `alive`.
    """

    def __init__(self, runtime: Runtime, recorder: Recorder, kick: Callable[[], None]) -> None:
        self.runtime = runtime
        self._recorder = recorder
        self._kick = kick
        self.admit: Callable[[], None] = _nothing
        # sets, because adding and discarding are atomic: a lock costs more than all the rest of a count
        self._sessions: set[MtaSession] = set()
        self._transactions: set[MtaSession] = set()
        self._eoms: set[MtaSession] = set()
        self._writes: set[MtaSession] = set()
        self._slow_until = 0.0
        self.clock = 0.0
        self.alive = 0.0

    @property
    def sessions(self) -> int:
        """The number of open sessions."""
        return len(self._sessions)

    @property
    def transactions(self) -> int:
        """The number of open transactions."""
        return len(self._transactions)

    def silent(self, seconds: float) -> str | None:
        """The queue ID of a message whose EOM or body has made no progress for so long, unless it waits for the MTA."""
        for session in (*self._eoms, *self._writes):
            if self.clock - session.alive > seconds:
                return session.queue_id
        return None

    def register(self, listener: int) -> None:
        """Hand the callbacks and the descriptor of a listening socket to libmilter."""
        catch_what_c_raises()
        milter.set_exception_policy(milter.CONTINUE)
        milter.set_flags(_ACTIONS | milter.SETSYMLIST)
        milter.set_connect_callback(self._connect)
        milter.set_envfrom_callback(self._mail)
        milter.set_envrcpt_callback(take_recipient)
        milter.set_header_callback(take_header)
        milter.set_eoh_callback(take_eoh)
        milter.set_body_callback(self._body)
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
        try:
            self.admit()
        except Exception as error:  # noqa: BLE001 - who the peer is, is unknown: fail closed
            self._recorder.exception(Place.CONNECT, error)
            return _REJECT
        runtime = self.runtime
        steps = options[1] & (_STEPS & ~milter.P_NR_RCPT if runtime.answers_recipients else _STEPS)
        asks = milter.SETSYMLIST if runtime.inquires or runtime.splits else 0
        actions = options[0] & (_ACTIONS | asks)
        options[:] = [actions, steps, 0, 0]
        if actions & milter.SETSYMLIST:
            if runtime.inquires:
                ctx.setsymlist(milter.M_ENVFROM, _ASKED)
            if runtime.splits:
                ctx.setsymlist(milter.M_ENVRCPT, _ASKED_OF_RECIPIENTS)
        session = MtaSession(b"" if steps & milter.P_HDR_LEADSPC else b" ", runtime)
        session.steps.editable = actions & _RECIPIENT_ACTIONS == _RECIPIENT_ACTIONS
        session.answers_recipients = not steps & milter.P_NR_RCPT
        session.adds_with_arguments = bool(actions & milter.ADDRCPT_PAR)
        ctx.setpriv(session)
        return CONTINUE

    def _connect(self, ctx: Context, name: str, _family: int, address: tuple[str, int] | str | None) -> int:
        session: MtaSession = ctx.getpriv()
        session.steps.client = Client(name, address[0] if isinstance(address, tuple) else "local")
        self._sessions.add(session)
        return _NOREPLY

    def _mail(self, ctx: Context, sender: bytes, *arguments: bytes) -> int:
        session: MtaSession | None = ctx.getpriv()
        if session is None:  # QUIT_NC began a session without negotiation: how the MTA sends header values is unknown
            return TEMPFAIL
        if session not in self._sessions:  # a client name that is not UTF-8 kept C from calling `_connect`
            session.steps.client = Client("unknown", _macro(ctx, "{client_addr}") or "unknown")
            self._sessions.add(session)
        if session.spool:
            self._end(session)
        session.begin(self.runtime)
        session.queue_id = _macro(ctx, "i")
        session.steps.circumstances = _circumstances(ctx) if session.runtime.inquires else NO_CIRCUMSTANCES
        self._transactions.add(session)
        try:
            too_large = session.mail(sender, arguments, authenticated=bool(ctx.getsymval("{auth_type}")))
            return self._refuse_announced(ctx, session, too_large) if too_large else CONTINUE
        except Exception as error:  # noqa: BLE001 - it is raised again at EOM
            session.error = error
            return CONTINUE

    def _refuse_announced(self, ctx: Context, session: MtaSession, verdict: Verdict) -> int:
        """Reject a message whose announced size is too large, if the policy rejects such; else wait for its bytes."""
        announced = session.runtime.announced
        if announced is None:
            return CONTINUE
        message = session.message(_macro(ctx, "i"), settled=verdict)
        report = announced.process(message, _nothing)
        if report.decision.reply is None:
            return CONTINUE
        self._end(session)
        code = carry_out(ctx, report.decision)
        self._recorder.done(report)
        return code

    def _body(self, ctx: Context, chunk: bytes) -> int:
        """Store a chunk of the body; this hangs if the disk of the spool does."""
        session: MtaSession = ctx.getpriv()
        session.alive = self.clock
        self._writes.add(session)
        try:
            return take_chunk(ctx, chunk)
        finally:
            self._writes.discard(session)

    def _eom(self, ctx: Context) -> int:
        """The end of a message: scan it, decide, and carry the decision out.

        Every exception of a message ends here, also those of earlier steps, which `MtaSession.eom` raises again. If one
        left this function, pymilter would return CONTINUE, and the MTA would accept the message unscanned.
        """
        session: MtaSession = ctx.getpriv()
        code = TEMPFAIL
        began = monotonic()
        try:
            self._enter(session, began)
            queue_id = _macro(ctx, "i")
            try:
                message = session.eom(queue_id, _macro(ctx, "{msg_id}").encode())
                report = session.runtime.pipeline.process(message, partial(self._tick, ctx, session))
                session.recycle(report)
                session.alive = inf  # libmilter may have to wait for the MTA, which is no hang of ours
                try:
                    code = carry_out(ctx, report.decision)
                except milter.error:
                    if is_connected(ctx):
                        raise
                    report = report._replace(decision=connection_lost(queue_id))
            except MtaGoneError:  # its retry must find a free slot
                report = _abandoned(session, queue_id, monotonic() - began)
            except Exception as error:  # noqa: BLE001 - a fault of an earlier step, or a bug: the client keeps its mail
                self._recorder.exception(Place.EOM, error)
                report = _failure(session, queue_id, error)
                with suppress(milter.error):  # without our reply, or without the MTA, the client receives the MTA's 451
                    carry_out(ctx, report.decision)
            finally:
                self.alive = self.clock
                self._eoms.discard(session)
                self._end(session)
            self._recorder.done(report)
        except Exception as error:  # noqa: BLE001 - what cannot be recorded changes no decision
            with suppress(Exception):
                self._recorder.exception(Place.EOM, error)
        return code

    def _enter(self, session: MtaSession, now: float) -> None:
        session.alive = self.clock
        self._eoms.add(session)
        if now < self._slow_until:
            self._request_thread()

    def _tick(self, ctx: Context, session: MtaSession) -> None:
        """Show that the EOM goes on: to the watch over this worker, and to the MTA. Raises MtaGoneError."""
        now = monotonic()
        self._slow_until = now + _SLOW
        self._request_thread()
        if now >= session.next_progress:
            session.alive, session.next_progress = inf, now + _PROGRESS
            try:
                ctx.progress()
            except milter.error:
                raise MtaGoneError from None
        session.alive = self.alive = self.clock

    def _request_thread(self) -> None:
        """Let slow EOMs delay no other session. Never for fast ones: a kick costs a fifth of a message."""
        if len(self._eoms) > 1:
            self._kick()

    def _end(self, session: MtaSession) -> None:
        session.end()
        self._transactions.discard(session)

    def _abort(self, ctx: Context) -> int:
        session: MtaSession | None = ctx.getpriv()
        if session:
            self._end(session)
            session.steps.abort()
        return CONTINUE

    def _close(self, ctx: Context) -> int:
        session: MtaSession | None = ctx.getpriv()
        if session:
            self._end(session)
            self._sessions.discard(session)
        return CONTINUE


def _macro(ctx: Context, name: str) -> str:
    try:
        return ctx.getsymval(name) or ""
    except UnicodeDecodeError:  # pymilter decodes as strict UTF-8, and a Message-ID may hold any bytes
        return ""


def _circumstances(ctx: Context) -> Circumstances:
    """What the macros say of the session; each text may hold any bytes, which are kept as escapes."""
    return Circumstances(*(any_macro(ctx, name) for name in _MACROS))


def _nothing() -> None:
    """The tick of a step in which no engine is asked."""


def _abandoned(session: MtaSession, queue_id: str, seconds: float) -> Report:
    verdict = Verdict.error("session", Fault.MTA_GONE, "the MTA closed the connection during the scan")
    return Report(session.message(queue_id), verdict, connection_lost(queue_id), (), 0.0, seconds)


def _failure(session: MtaSession, queue_id: str, error: Exception) -> Report:
    verdict = Verdict.error("miltscan", Fault.EXCEPTION, f"{type(error).__name__}: {error}")
    return Report(session.message(queue_id), verdict, failed(queue_id), (), 0.0, 0.0)
