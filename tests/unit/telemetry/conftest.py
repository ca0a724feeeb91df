"""Decided messages, for log lines and metrics."""

from collections.abc import Callable, Iterator

import pytest

from miltscan.core.action import Accept, Decision
from miltscan.core.message import Client, Envelope, Message
from miltscan.core.report import Report, Timed
from miltscan.core.verdict import Verdict
from miltscan.telemetry import metrics

MakeReport = Callable[..., Report]


class _NoContent:
    def retain(self) -> None:
        """Nothing is used again."""

    def fileno(self) -> int:
        raise AssertionError("telemetry must not read the message")


def _report(  # noqa: PLR0913 - one name per thing a test may vary
    verdict: Verdict | None = None,
    decision: Decision | None = None,
    *,
    client: Client = Client("mail.example.test", "192.0.2.7"),  # noqa: B008 - immutable
    sender: bytes = b"<sender@example.test>",
    recipients: tuple[bytes, ...] = (b"<one@example.org>", b"<two@example.org>"),
    message_id: bytes = b"<1@example.test>",
    engines: int = 1,
) -> Report:
    verdict = verdict or Verdict.clean("clamd", "unix:/run/clamd.ctl")
    message = Message(client, Envelope(sender, recipients), "4AB12CD3", message_id, (), 3000, _NoContent())
    timed = (Timed(verdict, 0.01234),) * engines
    return Report(message, verdict, decision or Decision(Accept(), "clean"), timed, 0.0001, 0.0134)


@pytest.fixture
def make_report() -> MakeReport:
    """Return a function that makes a report, clean and accepted by default."""
    return _report


@pytest.fixture(autouse=True)
def _fresh_metrics() -> Iterator[None]:
    """Let counts begin at 0, in memory."""
    for family in metrics.FAMILIES:
        family.reset()
    yield
    for family in metrics.FAMILIES:
        family.reset()
