"""An engine's opinion of a message, as closed types; `policy` decides what follows from it.

Only an engine that looked at the whole message returns `CLEAN`. An engine that met a limit returns `UNSCANNED` with the
limit, one that failed returns `ERROR` with the fault. Nothing else exists, so no unknown reply can become `CLEAN`.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from miltscan.core.edits import HeaderEdit


class Outcome(StrEnum):
    """The kinds of verdict, mildest first, as `worst` ranks them."""

    CLEAN = "clean"
    SPAM = "spam"
    UNSCANNED = "unscanned"
    ERROR = "error"
    INFECTED = "infected"


class Limit(StrEnum):
    """Why a message is `UNSCANNED`; each has its key in `[policy.on_unscanned]`."""

    TOO_LARGE = "too-large"
    TIMEOUT = "timeout"
    NO_ENGINE = "no-engine"
    LIMITS = "limits"
    ENCRYPTED = "encrypted"
    BUSY = "busy"
    ENGINE_UNABLE = "engine-unable"
    ALLOWED = "allowed"
    MALFORMED = "malformed"


class Fault(StrEnum):
    """Why a verdict is `ERROR`; bounded, so that it can be a metric label."""

    CONNECT = "connect"
    CLOSED = "closed"
    GARBLED = "garbled"
    REPORTED = "reported"
    CANARY = "canary"
    SPOOL = "spool"
    MTA_GONE = "mta-gone"
    EXCEPTION = "exception"


HEURISTICS = "Heuristics."
"""What clamd only suspects. With `HeuristicScanPrecedence no` it reports this only if it found nothing else anywhere in
what it was given (clamd.conf(5)), so a message with an allowed one was scanned completely."""


class SpamAction(StrEnum):
    """What an anti-spam engine proposes; `none` is that of an engine that only compares the score. A metric label."""

    NO_ACTION = "no action"
    GREYLIST = "greylist"
    SOFT_REJECT = "soft reject"
    ADD_HEADER = "add header"
    REWRITE_SUBJECT = "rewrite subject"
    QUARANTINE = "quarantine"
    DISCARD = "discard"
    REJECT = "reject"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Advice:
    """What an anti-spam engine proposes: a fact, not an order. `threshold` is the score from which it calls mail spam.

    `symbols` are the names of the rules that matched, those with the greatest effect first. `edits` and `text` (of a
    reply) are empty unless the configuration honours them; both are checked and printable.
    """

    action: SpamAction
    threshold: float
    symbols: tuple[str, ...] = ()
    edits: tuple[HeaderEdit, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One engine's opinion of one message; never an action. Made by one of the functions of the class.

    `server` is the server of the engine that gave it, `detail` is a line for the log (any text, cleaned where shown).
    `allowed` is the ID of the list entry that allows what `signature` names; empty if none does. `part` is the path of
    the part that it is about (`core.mime.part.Part`); empty for the whole message. Behind a suspicion, `rest` is what
    the engine says of the other parts; None if it found nothing there.
    `score` and `advice` are those of an anti-spam engine that looked at the message.
    """

    engine: str
    outcome: Outcome
    signature: str | None = None
    reason: Limit | Fault | None = None
    detail: str = ""
    server: str = ""
    score: float | None = None
    advice: Advice | None = None
    allowed: str = ""
    part: str = ""
    rest: "Verdict | None" = None

    @property
    def suspected(self) -> bool:
        """Whether the engine found only what it suspects, and went on."""
        return self.outcome is Outcome.INFECTED and (self.signature or "").startswith(HEURISTICS)

    @property
    def signatures(self) -> "tuple[str, ...]":
        """The names of all that was found, those of the rest included."""
        return (*filter(None, (self.signature,)), *(self.rest.signatures if self.rest else ()))

    @property
    def detected(self) -> bool:
        """Whether the engine found malware, allowed or not."""
        return self.outcome is Outcome.INFECTED or bool(self.allowed)

    @property
    def failed(self) -> bool:
        """Whether the engine could not do its work, for reasons other than the message."""
        return self.outcome is Outcome.ERROR or self.reason in _FAILURES

    @classmethod
    def clean(cls, engine: str, server: str = "") -> "Verdict":
        """The engine looked at the whole message and found nothing."""
        return cls(engine, Outcome.CLEAN, server=server)

    @classmethod
    def scored(cls, engine: str, server: str, score: float, advice: Advice, *, spam: bool) -> "Verdict":
        """An anti-spam engine looked at the message; `spam` is its opinion."""
        outcome = Outcome.SPAM if spam else Outcome.CLEAN
        return cls(engine, outcome, server=server, score=score, advice=advice)

    @classmethod
    def infected(cls, engine: str, signature: str, server: str = "") -> "Verdict":
        """The engine found what `signature` names."""
        return cls(engine, Outcome.INFECTED, signature=signature, server=server)

    @classmethod
    def unscanned(cls, engine: str, limit: Limit, detail: str = "", server: str = "") -> "Verdict":
        """The engine could not look at the whole message."""
        return cls(engine, Outcome.UNSCANNED, reason=limit, detail=detail, server=server)

    @classmethod
    def error(cls, engine: str, fault: Fault, detail: str = "", server: str = "") -> "Verdict":
        """The engine failed."""
        return cls(engine, Outcome.ERROR, reason=fault, detail=detail, server=server)

    def allowed_by(self, list_id: str, *, complete: bool) -> "Verdict":
        """The verdict on a detection that an entry of the allow list names.

        `complete` means that the engine looked at the whole message all the same; otherwise it stopped there. What it
        says of the rest then stands, which is not allowed by that entry.
        """
        if complete and self.rest:
            found = self.rest.outcome is Outcome.INFECTED
            return self.rest if found else replace(self.rest, signature=self.signature, allowed=list_id)
        if complete:
            return replace(self, outcome=Outcome.CLEAN, allowed=list_id)
        return replace(self, outcome=Outcome.UNSCANNED, reason=Limit.ALLOWED, allowed=list_id)

    @classmethod
    def vouched(cls, outcome: Outcome, reason: Limit | Fault | None = None) -> "Verdict":
        """The outcome at the incoming side and its reason, by a valid receipt."""
        return cls("receipt", outcome, reason=reason)


OWN_VERDICTS = frozenset({"miltscan", "none", "pipeline", "receipt", "session", "spool"})
"""What stands for the engine in verdicts that no engine gave; an engine of this name would lend them its `on_error`."""
_FAILURES = (Limit.TIMEOUT, Limit.NO_ENGINE, Limit.ENGINE_UNABLE)
_NOT_SCANNED = (Outcome.UNSCANNED, Outcome.ERROR)
_RANK = {outcome: rank for rank, outcome in enumerate(Outcome)}
_NO_VERDICT = Verdict.unscanned("none", Limit.NO_ENGINE, "no required engine gave a verdict")


def worst(verdicts: Sequence[Verdict], optional: Container[str] = ()) -> Verdict:
    """The verdict that decides: infected, error, unscanned, spam, clean, in this order; the first of equals.

    Of the engines named in `optional` only what they found counts, allowed or not. Without a verdict of a required
    engine the message is `UNSCANNED`: the silence of an engine is not an opinion. An allowed detection stands before
    others of its outcome, because it marks the message.
    """
    if len(verdicts) == 1 and not _is_optional(verdicts[0], optional):
        return verdicts[0]
    counting = [
        one for one in verdicts if one.detected or one.outcome is Outcome.SPAM or not _is_optional(one, optional)
    ]
    if not any(one.outcome is Outcome.INFECTED or not _is_optional(one, optional) for one in counting):
        return _NO_VERDICT
    return max(counting, key=severity)


def combined(verdicts: Sequence[Verdict]) -> Verdict:
    """One engine's verdict on a message, of which these are the verdicts on it as a whole and on its parts.

    The worst one, the first of equals; a suspicion keeps what else was found as its rest. What is encrypted, and
    usually accepted, hides nothing else that was not scanned.
    """
    ordered = sorted(verdicts, key=_weight, reverse=True)
    if not ordered[0].suspected:
        return ordered[0]
    suspicions: dict[str | None, Verdict] = {}
    for one in ordered:
        if one.suspected:
            suspicions.setdefault(one.signature, one)
    rest = next((one for one in ordered if one.outcome in _NOT_SCANNED), None)
    first, *others = suspicions.values()
    for one in reversed(others):
        rest = replace(one, rest=rest)
    return replace(first, rest=rest)


def _weight(verdict: Verdict) -> tuple[int, bool, bool]:
    return _RANK[verdict.outcome], not verdict.suspected, verdict.reason is not Limit.ENCRYPTED


def severity(verdict: Verdict) -> tuple[int, bool]:
    """What `worst` compares."""
    return _RANK[verdict.outcome], bool(verdict.allowed)


def missing(verdicts: Sequence[Verdict], optional: Container[str]) -> tuple[Verdict, ...]:
    """The verdicts of optional engines that did not look at the whole message: they mark it, but do not decide."""
    return tuple(
        one for one in verdicts if one.outcome in _NOT_SCANNED and not one.allowed and _is_optional(one, optional)
    )


def _is_optional(verdict: Verdict, optional: Container[str]) -> bool:
    """Whether the verdict is that of an optional engine, and not our own under its name."""
    return verdict.engine in optional and verdict.engine not in OWN_VERDICTS
