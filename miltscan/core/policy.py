"""From verdicts to a decision: the one place that judges. Total, pure, and never raises.

The worst verdict (see `verdict.worst`) decides, the policy names the action for it, and reply and header edits follow
from both. An optional engine that did not scan the message marks it; where the message would be accepted, that engine's
own `on_error` may still keep it out. How an engine came to its opinion is unknown here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, assert_never

from miltscan.core.action import (
    DEFAULT_AREA,
    KEPT,
    Accept,
    Action,
    ActionName,
    Choice,
    Copy,
    Decision,
    Discard,
    Hold,
    Quarantine,
    Redirect,
    Reject,
    Reply,
    TempFail,
)
from miltscan.core.edits import HeaderEdit, InsertHeader, RemoveHeader, in_order, removals
from miltscan.core.lists import ListEntry
from miltscan.core.message import Message
from miltscan.core.reply_text import queue_mark, reason_text, status
from miltscan.core.rules import NO_RULES, Rules
from miltscan.core.text import printable_ascii, readable
from miltscan.core.verdict import Limit, Outcome, Verdict, missing

STATUS_HEADER = "X-Virus-Status"
SCANNED_HEADER = "X-Virus-Scanned"
MISSING_HEADER = "X-Virus-Unscanned-By"
SPAM_HEADER = "X-Spam-Status"
"""With X-Spam-Flag, X-Spam-Score and X-Spam-Level, on which users filter; as SpamAssassin writes them."""
_ACCEPT = Accept()
_ACCEPTED = Choice(ActionName.ACCEPT)
_TEMPFAILED = Choice(ActionName.TEMPFAIL)
_CLEAN_RULE = "clean"
DENY_RULE = "list.deny"
"""The name of the rule that refuses what an entry of the deny list names."""
SPAM_RULE = "policy.on_spam"
"""The rule of a decision for which spam is the reason."""
BUILTIN_RULES = frozenset(
    {"clean", "exception", "handover", "mta-gone", "other", "probe", "quarantine", "receipt", "undecided"}
)
"""Names of decisions that no rule of the configuration makes; `other` is a metric label."""
BUILTIN_PREFIXES = ("policy.", "list.", "engine.")
"""How further ones begin."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The administrator's choices. `scanned_by` is the value of X-Virus-Scanned; None adds no header.

    `foreign` is how the names of headers begin that are removed because only miltscan may add them, in lower case.
    `optional` names the engines that are not required, `on_engine_error` the action at a failure of those engines that
    have one of their own. `filters` names the anti-spam engines. `rules` come first (`ruled`).
    """

    on_infected: Choice
    on_error: Choice
    on_unscanned: Mapping[Limit, Choice]
    scanned_by: str | None
    foreign: tuple[bytes, ...] = ()
    optional: frozenset[str] = frozenset()
    on_engine_error: Mapping[str, Choice] = field(default_factory=dict)
    on_spam: Choice = _ACCEPTED
    filters: frozenset[str] = frozenset()
    rules: Rules = NO_RULES


def is_builtin(rule: str) -> bool:
    """Whether this is the name of a decision that no rule of the configuration made."""
    return rule in BUILTIN_RULES or rule.startswith(BUILTIN_PREFIXES)


def is_of_policy(rule: str) -> bool:
    """Whether this is the name of a decision that the rules and the policy of a configuration make."""
    return not is_builtin(rule) or rule.startswith(("clean", "policy.", "engine."))


def decide(policy: Policy, message: Message, verdict: Verdict, verdicts: Sequence[Verdict] = ()) -> Decision:
    """The decision of the policy without its rules; `verdict` is the worst of `verdicts`, those of all engines."""
    seen = _seen(policy, message, verdicts)
    if verdict.outcome is Outcome.CLEAN and not (any(seen) or verdict.allowed):
        return _clean(policy.scanned_by)
    rule, choice = _rule(policy, verdict)
    deciding = verdict
    if choice.action is ActionName.ACCEPT:
        # one more failure never makes the answer milder: a message accepted after one may be stopped by another
        for one in verdicts:
            other, stopping = _rule_of_optional(policy, one) if one in seen.absent else _rule(policy, one)
            if stopping.action is not ActionName.ACCEPT:
                deciding, rule, choice = one, other, stopping
                break
    action = action_of(choice, deciding, message.queue_id)
    return Decision(action, rule, _marks(policy, verdict, seen) if isinstance(action, KEPT) else ())


class _Seen(NamedTuple):
    """What marks a message: forged fields, and the verdicts of engines that are missing or look for spam."""

    forged: tuple[RemoveHeader, ...]
    absent: Sequence[Verdict]
    opinions: Sequence[Verdict]


def _seen(policy: Policy, message: Message, verdicts: Sequence[Verdict]) -> _Seen:
    absent = missing(verdicts, policy.optional) if policy.optional else ()
    opinions = [one for one in verdicts if one.engine in policy.filters] if policy.filters else ()
    return _Seen(removals(message.headers, policy.foreign), absent, opinions)


def marks(policy: Policy, message: Message, verdict: Verdict, verdicts: Sequence[Verdict]) -> tuple[HeaderEdit, ...]:
    """The header edits of a message that is kept: forged fields out, the result of the scan in."""
    return _marks(policy, verdict, _seen(policy, message, verdicts))


def _marks(policy: Policy, verdict: Verdict, seen: _Seen) -> tuple[HeaderEdit, ...]:
    forged, absent, opinions = seen
    unscanned_by = [one for one in absent if one.engine not in policy.filters]
    ours = (*_ours(policy.scanned_by, status(verdict), unscanned_by), *_about_spam(policy, opinions))
    if not opinions:
        return (*forged, *ours)
    advised = [edit for one in opinions if one.advice for edit in one.advice.edits]
    return in_order([*forged, *advised, *ours])


@lru_cache(maxsize=8)
def _clean(scanned_by: str | None) -> Decision:
    """The decision on nearly every message, made once."""
    return Decision(_ACCEPT, _CLEAN_RULE, _ours(scanned_by, "Clean"))


def _rule(policy: Policy, verdict: Verdict) -> tuple[str, Choice]:
    match verdict.outcome:
        case Outcome.CLEAN:
            return _CLEAN_RULE, _ACCEPTED
        case Outcome.INFECTED:
            return "policy.on_infected", policy.on_infected
        case Outcome.SPAM:
            return SPAM_RULE, policy.on_spam
        case Outcome.ERROR:
            if verdict.engine in policy.on_engine_error:
                return _engine_rule(verdict.engine), policy.on_engine_error[verdict.engine]
            return "policy.on_error", policy.on_error
        case Outcome.UNSCANNED:
            limit = verdict.reason if isinstance(verdict.reason, Limit) else Limit.NO_ENGINE
            return f"policy.on_unscanned.{limit}", policy.on_unscanned.get(limit, _TEMPFAILED)
    assert_never(verdict.outcome)


def _rule_of_optional(policy: Policy, verdict: Verdict) -> tuple[str, Choice]:
    """Only a failure of the engine counts: sending the message again would not change what the engine cannot scan."""
    choice = policy.on_engine_error.get(verdict.engine) if verdict.failed else None
    return _engine_rule(verdict.engine), choice or _ACCEPTED


def _engine_rule(engine: str) -> str:
    return f"engine.{readable(engine)}.on_error"


def action_of(choice: Choice, verdict: Verdict, queue_id: str, rule: str = "") -> Action:
    """The action that was chosen, with a reply that fits the verdict and names the `rule` of the configuration."""
    return _elsewhere(choice) or _here(choice, verdict, queue_id, f" [{rule}]" if rule else "")


def _here(choice: Choice, verdict: Verdict, queue_id: str, by: str) -> Action:
    match choice.action:
        case ActionName.ACCEPT | ActionName.REDIRECT | ActionName.COPY:  # the last two without an address
            return _ACCEPT
        case ActionName.DISCARD:
            return Discard(choice.area)
        case ActionName.HOLD:
            return Hold(f"miltscan: {reason_text(verdict) if verdict.outcome is Outcome.SPAM else status(verdict)}{by}")
        case ActionName.QUARANTINE:
            return Quarantine(choice.area or DEFAULT_AREA)
        case ActionName.TEMPFAIL:
            return TempFail(Reply(451, "4.7.1", f"{reason_text(verdict)}{by}, try again later{queue_mark(queue_id)}"))
        case ActionName.REJECT:
            return Reject(_refusal(verdict, queue_id, by))
    assert_never(choice.action)


def _elsewhere(choice: Choice) -> Action | None:
    """The action that sends the message to other addresses; None for others."""
    to = tuple(map(str.encode, choice.to))
    if not to:
        return None
    return Copy(to) if choice.action is ActionName.COPY else Redirect(to)


def _refusal(verdict: Verdict, queue_id: str, by: str) -> Reply:
    """5xx: 552 5.3.4 for a message that is too big (RFC 1870 section 6.1, RFC 3463), 550 5.7.1 for all else."""
    code, enhanced = (552, "5.3.4") if verdict.reason is Limit.TOO_LARGE else (550, "5.7.1")
    advised = verdict.advice.text if verdict.outcome is Outcome.SPAM and verdict.advice else ""
    return Reply(code, enhanced, f"{advised or reason_text(verdict)}{by}{queue_mark(queue_id)}")


def denial(entry: ListEntry, queue_id: str) -> Decision:
    """The decision on a message that an entry of the deny list names: the sender learns what is denied, not where."""
    what = "Content"
    if entry.signature:
        what = f"{printable_ascii(entry.signature)} in this message"
    elif entry.sender and not entry.digest:
        what = "Sender"
    return Decision(Reject(Reply(550, "5.7.1", f"{what} denied here{queue_mark(queue_id)}")), DENY_RULE)


def failed(queue_id: str) -> Decision:
    """The decision on a message where our own code failed: always a tempfail, independent of the policy."""
    return _try_again("Internal error", queue_id, "exception")


def not_kept(queue_id: str) -> Decision:
    """The decision on a message that the quarantine could not store: the client keeps its mail."""
    return _try_again("Message could not be stored", queue_id, "quarantine")


def not_handed_over(queue_id: str) -> Decision:
    """The decision on a message of which the delivery sendmail did not take a copy: the client keeps its mail."""
    return _try_again("Message could not be handed over", queue_id, "handover")


def not_signed(queue_id: str) -> Decision:
    """The decision on a message that the delivery side would refuse without a receipt: the client keeps its mail."""
    return _try_again("Message could not be stored", queue_id, "receipt")


def _try_again(why: str, queue_id: str, rule: str) -> Decision:
    return Decision(TempFail(Reply(451, "4.3.0", f"{why}, try again later{queue_mark(queue_id)}")), rule)


def connection_lost(queue_id: str) -> Decision:
    """The decision where the MTA closed the connection before it received one: the client keeps its mail."""
    return Decision(TempFail(Reply(451, "4.4.2", f"Connection to the MTA lost{queue_mark(queue_id)}")), "mta-gone")


def _ours(scanned_by: str | None, value: str, absent: Sequence[Verdict] = ()) -> tuple[HeaderEdit, ...]:
    """Our headers, which replace the sender's own: only ours may say what was scanned."""
    if scanned_by is None:
        return ()
    ours = (InsertHeader(STATUS_HEADER, value), InsertHeader(SCANNED_HEADER, scanned_by))
    if not absent:
        return ours
    engines = ", ".join(f"{one.engine} ({one.reason or 'error'})" for one in absent)
    return (*ours, InsertHeader(MISSING_HEADER, printable_ascii(engines)))


_SEVEREST = (Outcome.SPAM, Outcome.ERROR, Outcome.UNSCANNED, Outcome.CLEAN)
_STARS = 50  # of X-Spam-Level, as SpamAssassin has at most
_TESTS_SHOWN = 20


def _about_spam(policy: Policy, opinions: Sequence[Verdict]) -> Iterator[HeaderEdit]:
    """The fields X-Spam-* by the most severe of the opinions, with the highest score of equals."""
    if policy.scanned_by is None or not opinions:
        return
    worst = min(opinions, key=lambda one: (_SEVEREST.index(one.outcome), -(one.score or 0.0)))
    if worst.score is None or worst.advice is None:
        yield InsertHeader(SPAM_HEADER, f"Unscanned ({worst.reason or 'error'})")
        return
    spam = worst.outcome is Outcome.SPAM
    tests = ",".join(worst.advice.symbols[:_TESTS_SHOWN]) or "none"
    if stars := "*" * min(_STARS, max(0, int(worst.score))):
        yield InsertHeader("X-Spam-Level", stars)
    yield InsertHeader("X-Spam-Score", f"{worst.score:.1f}")
    summary = f"{'Yes' if spam else 'No'}, score={worst.score:.1f} required={worst.advice.threshold:.1f}"
    yield InsertHeader(SPAM_HEADER, printable_ascii(f"{summary} tests={tests} engine={worst.engine}", 700))
    if spam:
        yield InsertHeader("X-Spam-Flag", "YES")
