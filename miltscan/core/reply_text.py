"""The words of replies and headers about a verdict, for the client and for who reads the message. Decides nothing."""

from typing import assert_never

from miltscan.core.text import printable_ascii
from miltscan.core.verdict import Limit, Outcome, Verdict

_LIMIT_TEXT = {
    Limit.TIMEOUT: "the engine took too long",
    Limit.NO_ENGINE: "no engine is available",
    Limit.LIMITS: "it exceeds a limit of the engine",
    Limit.ENCRYPTED: "its content is encrypted",
    Limit.BUSY: "too many messages at once",
    Limit.ENGINE_UNABLE: "the engine was not able to scan it",
    Limit.ALLOWED: "the engine stopped at a detection that is allowed",
    Limit.MALFORMED: "an attachment cannot be decoded",
}


def reason_text(verdict: Verdict) -> str:
    """Why a message is not accepted, as its client reads it."""
    if verdict.outcome is Outcome.INFECTED:
        return f"Virus found: {_found(verdict)}"
    if verdict.outcome is Outcome.SPAM:
        return "Message detected as spam"
    if verdict.outcome is Outcome.CLEAN:
        return "Message not accepted here"
    if verdict.reason is Limit.TOO_LARGE:
        return f"Message too large: {printable_ascii(verdict.detail)}"
    if isinstance(verdict.reason, Limit):
        return f"Message not scanned: {_LIMIT_TEXT[verdict.reason]}"
    return f"Message not scanned ({verdict.reason or 'error'})"


def _found(verdict: Verdict) -> str:
    """What was found, and in which part if not in the message as a whole."""
    name = printable_ascii(verdict.signature or "unnamed")
    return f"{name} in part {printable_ascii(verdict.part, 40)}" if verdict.part else name


def queue_mark(queue_id: str) -> str:
    """The end of a reply, by which the message is found in the logs."""
    return f" ({printable_ascii(queue_id, 64)})" if queue_id else ""


def status(verdict: Verdict) -> str:
    """The value of X-Virus-Status: `Clean`, `Infected (NAME)` or `Unscanned (REASON)`; spam is free of viruses.

    A detection that is allowed shows as `Clean (allowed: NAME)` or `Unscanned (allowed: NAME)`.
    """
    if verdict.allowed:
        kind = "Clean" if verdict.outcome is Outcome.CLEAN else "Unscanned"
        return f"{kind} (allowed: {printable_ascii(verdict.signature or 'unnamed')})"
    match verdict.outcome:
        case Outcome.CLEAN | Outcome.SPAM:
            return "Clean"
        case Outcome.INFECTED:
            return f"Infected ({_found(verdict)})"
        case Outcome.UNSCANNED | Outcome.ERROR:
            return f"Unscanned ({verdict.reason or 'error'})"
    assert_never(verdict.outcome)
