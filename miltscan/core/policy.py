"""From verdicts to a decision: the one place that judges. Total, pure, and never raises.

Order: the worst verdict decides (see `verdict.worst`), the policy names the action for it, a reply and header edits
follow from both. It knows nothing of how an engine came to its opinion.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never

from miltscan.core.action import (
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
from miltscan.core.verdict import Limit, Outcome, Verdict, worst

STATUS_HEADER = "X-Virus-Status"
SCANNED_HEADER = "X-Virus-Scanned"
_FORGEABLE = b"x-virus-"
_X = {b"x", b"X"}
_ACCEPT = Accept()
_KEPT = (Accept, Hold)


@dataclass(frozen=True, slots=True)
class Policy:
    """The administrator's choices. `scanned_by` is the value of X-Virus-Scanned; None edits no header at all."""

    on_infected: ActionName
    on_error: ActionName
    on_unscanned: Mapping[Limit, ActionName]
    scanned_by: str | None


def decide(policy: Policy, message: Message, verdicts: Sequence[Verdict]) -> Decision:
    """The decision on a message whose engines gave `verdicts`."""
    verdict = worst(verdicts)
    rule, name = _rule(policy, verdict)
    action = _action(name, verdict, message.queue_id)
    return Decision(action, rule, _edits(policy, message.headers, verdict, action))


def _rule(policy: Policy, verdict: Verdict) -> tuple[str, ActionName]:
    match verdict.outcome:
        case Outcome.CLEAN:
            return "clean", ActionName.ACCEPT
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


def _edits(policy: Policy, headers: Sequence[Header], verdict: Verdict, action: Action) -> tuple[HeaderEdit, ...]:
    if policy.scanned_by is None or not isinstance(action, _KEPT):
        return ()
    forged = [*_forged(headers)]
    forged.reverse()  # from the last: removing one moves the index of those behind it
    return (*forged, *_ours(policy.scanned_by, status(verdict)))


@lru_cache(maxsize=64)  # nearly every message gets the same two
def _ours(scanned_by: str, value: str) -> tuple[HeaderEdit, ...]:
    return InsertHeader(STATUS_HEADER, value), InsertHeader(SCANNED_HEADER, scanned_by)


def _forged(headers: Sequence[Header]) -> Iterator[RemoveHeader]:
    """The sender's own X-Virus-* headers: only ours may say what was scanned."""
    seen: Counter[bytes] = Counter()
    for name, _ in headers:
        if name[:1] in _X and name[: len(_FORGEABLE)].lower() == _FORGEABLE:  # most names are told by one byte
            seen[name.lower()] += 1
            yield RemoveHeader(name.decode("utf-8", "replace"), seen[name.lower()])
