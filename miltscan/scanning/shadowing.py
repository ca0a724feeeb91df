"""A pipeline that asks a candidate for its policy about each message; nothing follows from the answer."""

from collections.abc import Callable
from dataclasses import dataclass

from miltscan.core.message import Message
from miltscan.core.policy import Policy
from miltscan.core.report import Report
from miltscan.core.shadow import shadow_of
from miltscan.engines.base import Tick
from miltscan.scanning.pipeline import Processor, week_time


@dataclass(frozen=True, slots=True)
class Shadowing:
    """`candidate` is asked after `processor` has decided. `failed` is notified of exceptions here."""

    processor: Processor
    candidate: Policy
    failed: Callable[[Exception], None]

    def process(self, message: Message, tick: Tick) -> Report:
        """As the processor's."""
        report = self.processor.process(message, tick)
        try:
            return report._replace(shadow=shadow_of(self.candidate, report, week_time()))
        except Exception as error:  # noqa: BLE001 - a candidate must not stop mail
            self.failed(error)
            return report
