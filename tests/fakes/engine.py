"""An engine that answers by script, for tests of what is made of its verdicts; it reads no message."""

from collections.abc import Callable

from miltscan.core.message import Message
from miltscan.core.verdict import Verdict
from miltscan.engines.base import Tick


class ScriptedEngine:
    """Gives `verdict` or raises it, after `work`; keeps the deadlines that it was given."""

    def __init__(
        self,
        verdict: Verdict | Exception,
        work: Callable[[Tick], None] = lambda _tick: None,
        *,
        name: str = "fake",
        required: bool = True,
    ) -> None:
        self.name = name
        self.required = required
        self.verdict = verdict
        self.work = work
        self.deadlines: list[float] = []

    @property
    def asked(self) -> int:
        """How often it was asked."""
        return len(self.deadlines)

    def start(self) -> None:
        """As an engine without servers."""

    def probe(self) -> None:
        """As an engine without servers."""

    def scan(self, _message: Message, deadline: float, tick: Tick) -> Verdict:
        """By the script."""
        self.deadlines.append(deadline)
        self.work(tick)
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict
