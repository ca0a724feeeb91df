"""From verdicts to a decision: the one place that judges. Total, pure, and never raises.

Order: the worst verdict (see `verdict.worst`) decides, the policy names the action for it, a reply and header edits
follow from both. It knows nothing of how an engine came to its opinion.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never

from miltscan.core.action import (
    KEPT,
    Accept,
    Action,
    ActionName,
    Decision,
    Discard,
    HeaderEdit,
    Hold,
    InsertHeader,
    Reject,
    RemoveHeader,
    Reply,
    TempFail,
)
from miltscan.core.message import Header, Message
from miltscan.core.text import printable_ascii
from miltscan.core.verdict import Limit, Outcome, Verdict

STATUS_HEADER = "X-Virus-Status"
SCANNED_HEADER = "X-Virus-Scanned"
_FORGEABLE = b"x-virus-"
_X = {b"x", b"X"}
_ACCEPT = Accept()
_CLEAN_RULE = "clean"


@dataclass(frozen=True, slots=True)
class Policy:
    """The administrator's choices. `scanned_by` is the value of X-Virus-Scanned; None edits no header at all."""

    on_infected: ActionName
    on_error: ActionName
    on_unscanned: Mapping[Limit, ActionName]
    scanned_by: str | None


def decide(policy: Policy, message: Message, verdict: Verdict) -> Decision:
    """The decision on a message on which `verdict` is the worst."""
    forged = () if policy.scanned_by is None else _forged(message.headers)
    if verdict.outcome is Outcome.CLEAN and not forged:
        return _clean(policy.scanned_by)
    rule, name = _rule(policy, verdict)
    action = _action(name, verdict, message.queue_id)
    ours = _ours(policy.scanned_by, status(verdict))
    return Decision(action, rule, (*forged, *ours) if isinstance(action, KEPT) else ())


@lru_cache(maxsize=8)
def _clean(scanned_by: str | None) -> Decision:
    """What nearly every message gets: made once."""
    return Decision(_ACCEPT, _CLEAN_RULE, _ours(scanned_by, "Clean"))


def _rule(policy: Policy, verdict: Verdict) -> tuple[str, ActionName]:
    match verdict.outcome:
        case Outcome.CLEAN:
            return _CLEAN_RULE, ActionName.ACCEPT
        case Outcome.INFECTED:
            return "policy.on_infected", policy.on_infected
        case Outcome.ERROR:
            return "policy.on_error", policy.on_error
        case Outcome.UNSCANNED:
            limit = verdict.reason if isinstance(verdict.reason, Limit) else Limit.NO_ENGINE
            return f"policy.on_unscanned.{limit}", policy.on_unscanned.get(limit, ActionName.TEMPFAIL)
    assert_never(verdict.outcome)


def _action(name: ActionName, verdict: Verdict, queue_id: str) -> Action:
    match name:
        case ActionName.ACCEPT:
            return _ACCEPT
        case ActionName.DISCARD:
            return Discard()
        case ActionName.HOLD:
            return Hold(f"miltscan: {status(verdict)}")
        case ActionName.TEMPFAIL:
            return TempFail(Reply(451, "4.7.1", f"{_explain(verdict)}, try again later{_mark(queue_id)}"))
        case ActionName.REJECT:
            return Reject(_refusal(verdict, queue_id))
    assert_never(name)


def _refusal(verdict: Verdict, queue_id: str) -> Reply:
    """5xx: 552 5.3.4 for a message that is too big (RFC 1870 section 6.1, RFC 3463), 550 5.7.1 for all else."""
    code, enhanced = (552, "5.3.4") if verdict.reason is Limit.TOO_LARGE else (550, "5.7.1")
    return Reply(code, enhanced, f"{_explain(verdict)}{_mark(queue_id)}")


def failed(queue_id: str) -> Decision:
    """The decision on a message at which our own code failed: always a tempfail, whatever the policy says."""
    return Decision(TempFail(Reply(451, "4.3.0", f"Internal error, try again later{_mark(queue_id)}")), "exception")


def unheard(queue_id: str) -> Decision:
    """The decision where the MTA went away before it heard one: nothing was accepted, so the client has its mail."""
    return Decision(TempFail(Reply(451, "4.4.2", f"Connection to the MTA lost{_mark(queue_id)}")), "mta-gone")


_LIMIT_TEXT = {
    Limit.TIMEOUT: "the engine took too long",
    Limit.NO_ENGINE: "no engine is available",
    Limit.LIMITS: "it passes a limit of the engine",
    Limit.ENCRYPTED: "its content is encrypted",
    Limit.BUSY: "too many messages at once",
}


def _explain(verdict: Verdict) -> str:
    if verdict.outcome is Outcome.INFECTED:
        return f"Virus found: {printable_ascii(verdict.signature or 'unnamed')}"
    if verdict.reason is Limit.TOO_LARGE:
        return f"Message too large: {printable_ascii(verdict.detail)}"
    if isinstance(verdict.reason, Limit):
        return f"Message not scanned: {_LIMIT_TEXT[verdict.reason]}"
    return f"Message not scanned ({verdict.reason or 'error'})"


def _mark(queue_id: str) -> str:
    return f" ({printable_ascii(queue_id, 64)})" if queue_id else ""


def status(verdict: Verdict) -> str:
    """The value of X-Virus-Status: `Clean`, `Infected (NAME)` or `Unscanned (REASON)`."""
    match verdict.outcome:
        case Outcome.CLEAN:
            return "Clean"
        case Outcome.INFECTED:
            return f"Infected ({printable_ascii(verdict.signature or 'unnamed')})"
        case Outcome.UNSCANNED | Outcome.ERROR:
            return f"Unscanned ({verdict.reason or 'error'})"
    assert_never(verdict.outcome)


def _ours(scanned_by: str | None, value: str) -> tuple[HeaderEdit, ...]:
    if scanned_by is None:
        return ()
    return InsertHeader(STATUS_HEADER, value), InsertHeader(SCANNED_HEADER, scanned_by)


def _forged(headers: Sequence[Header]) -> tuple[HeaderEdit, ...]:
    """Removes the sender's own X-Virus-* headers: only ours may say what was scanned.

    From the last: removing one moves the index of those behind it.
    """
    # most names are told by one byte
    names = [name for name, _ in headers if name[:1] in _X and name[: len(_FORGEABLE)].lower() == _FORGEABLE]
    if not names:
        return ()
    seen: Counter[bytes] = Counter()
    edits: list[HeaderEdit] = []
    for name in names:
        seen[name.lower()] += 1
        edits.insert(0, RemoveHeader(name.decode("utf-8", "replace"), seen[name.lower()]))
    return tuple(edits)
