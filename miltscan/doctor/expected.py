"""What rules, lists and policy say of the two messages of `doctor --send`, as far as that is known before."""

import time
from dataclasses import dataclass
from pathlib import Path

from miltscan.config.settings import Settings
from miltscan.core.action import Decision
from miltscan.core.explained import Case, consult_lists, explained
from miltscan.core.facts import OF_FILTERS, WeekTime
from miltscan.core.finding import Finding, warning
from miltscan.core.lists import Lists
from miltscan.core.message import NO_CONTENT, Client, Envelope, Message
from miltscan.core.policy import Policy, is_builtin
from miltscan.core.released import parse_head
from miltscan.core.verdict import Verdict
from miltscan.errors import ListError, MiltscanError
from miltscan.scanning.assemble import ruled_policy
from miltscan.scanning.listfile import ListFile

TEST_SIGNATURES = ("Eicar-Test-Signature", "Win.Test.EICAR_HDB-1", "Eicar-Signature")
"""Names of the test signature, by database."""
_UNKNOWN = OF_FILTERS | {"client_name", "daemon", "direction", "tls"}


@dataclass(frozen=True, slots=True)
class Expectation:
    """Finds the decision on a message that this host sends to `recipient` over SMTP, with an empty sender."""

    policy: Policy
    lists: Lists
    recipient: str

    def decision(self, content: bytes, verdict: Verdict) -> Decision | None:
        """The decision; None if that depends on something that is not known."""
        now = time.localtime()
        envelope = Envelope(b"<>", (f"<{self.recipient}>".encode(),))
        headers = parse_head(content.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        message = Message(Client("localhost", "127.0.0.1"), envelope, "", b"", headers, len(content), NO_CONTENT)
        week_time = WeekTime(now.tm_wday, now.tm_hour * 60 + now.tm_min)
        case = Case(message, (verdict,), week_time, _UNKNOWN)
        (found,) = explained(self.policy, consult_lists(self.policy, case, self.lists, time.time()))
        return found.decision

    def infected(self, content: bytes) -> Decision | None:
        """The decision on the test signature, if it is the same for each of its names."""
        decisions = [self.decision(content, Verdict.infected("clamd", name)) for name in TEST_SIGNATURES]
        return decisions[0] if len({one.action.name if one else None for one in decisions}) == 1 else None


def expectation(settings: Settings, recipient: str) -> Expectation:
    """What to expect with these settings. Raises SourceError; lists that cannot be read count as empty."""
    lists = Lists()
    if settings.lists.file:
        try:
            lists = ListFile(Path(settings.lists.file)).read()
        except ListError:  # a finding of its own
            lists = Lists()
    return Expectation(ruled_policy(settings, "localhost"), lists, recipient)


def passing_findings(settings: Settings) -> list[Finding]:
    """A warning where a rule lets the test signature pass, whoever sends it to whom."""
    try:
        decision = expectation(settings, settings.probe.recipient).infected(b"\r\n\r\n")
    except MiltscanError:  # a finding of its own
        return []
    if decision is None or decision.reply or is_builtin(decision.rule):
        return []
    text = (
        f'rule "{decision.rule}" decides "{decision.action.name}" on the test signature: a test with it proves nothing'
    )
    return [warning("rule", text, 'add unless = { class = "Test" } to the rule')]
