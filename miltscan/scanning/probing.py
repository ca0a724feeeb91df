"""A pipeline that knows probes: they are scanned like any message, and then rejected with the proof of the scan.

The core defines what a probe is. All else is ordinary mail.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from miltscan.core.keys import Keyring
from miltscan.core.message import Message
from miltscan.core.policy import failed
from miltscan.core.probe import Probe, named, probe_decision, verify_probe
from miltscan.core.report import Report
from miltscan.core.verdict import Fault, Verdict
from miltscan.engines.base import Tick
from miltscan.scanning.pipeline import Processor
from miltscan.scanning.receipts import body_digest


@dataclass(frozen=True, slots=True)
class Probing:
    """Probes go through `scanning`, which makes no receipt for them; all else through `ordinary`.

    `raised` is notified of exceptions here and at probes.
    """

    ordinary: Processor
    scanning: Processor
    keys: Keyring
    raised: Callable[[Exception], None]

    def process(self, message: Message, tick: Tick) -> Report:
        """As the pipeline's."""
        probe = recognized(self.keys, message, self.raised)
        if probe is None:
            return self.ordinary.process(message, tick)
        try:
            report = self.scanning.process(message, tick)
        except Exception as error:  # noqa: BLE001 - a bug: the client of a probe receives the same reply as any other
            self.raised(error)
            verdict = Verdict.error("miltscan", Fault.EXCEPTION, f"{type(error).__name__}: {error}")
            report = Report(message, verdict, failed(message.queue_id), (), 0.0, 0.0)
        return report._replace(
            decision=probe_decision(probe, report.verdict.outcome, report.decision), probe=probe.kind
        )


def recognized(keys: Keyring, message: Message, raised: Callable[[Exception], None]) -> Probe | None:
    """The probe that the message is; None for all else. An exception is reported to `raised`."""
    if message.settled or not named(message.headers):
        return None
    try:
        return verify_probe(keys, message.headers, partial(body_digest, message), time.time())
    except Exception as error:  # noqa: BLE001 - the message is treated as ordinary mail
        raised(error)
        return None
