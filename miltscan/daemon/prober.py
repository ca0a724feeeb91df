"""The prober: a process that sends the probes at their interval and records the results.

A thread sends a probe and may wait long for a reply. Meanwhile the main thread obeys the supervisor's orders, so that
a stop need not wait for a probe: its connection breaks, by which no message is lost.
"""

import threading
import time
from multiprocessing.connection import wait

from miltscan.config.keyfile import Loaded
from miltscan.core.probe import ProbeKind, Stage
from miltscan.core.report import Place
from miltscan.errors import ConfigError
from miltscan.processes.link import DRAIN, ChildLink, received
from miltscan.scanning.probe_run import Result, run_probes, signing_key
from miltscan.telemetry import log, sandwich_metrics, service_metrics
from miltscan.telemetry.upkeep import Upkeep

_FIRST = 2.0  # seconds for the workers to become ready
_RETRY = 10.0  # seconds, or the interval if that is less, until a failed probe is repeated
_TICK = 5.0  # seconds between two updates of the process metrics


class Prober:
    """Sends the probes; a reload replaces `loaded` and sends the next ones at once."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._wake = threading.Event()
        self._ended = False
        self._working: set[ProbeKind] = set()

    def run(self, link: ChildLink) -> None:
        """Run until the order to drain or the death of the supervisor."""
        upkeep = Upkeep("prober")
        threading.Thread(target=self._probe_repeatedly, name="prober", daemon=True).start()
        while not wait([link], _TICK) or self._obey(received(link)):
            link.beat()
            upkeep.update()
        self._ended = True
        self._wake.set()

    def _obey(self, order: object) -> bool:
        """Carry out one order; False if the prober must end."""
        if isinstance(order, Loaded):
            self._loaded = order
            log.configure(order.settings.log.format, order.settings.log.level)
            self._wake.set()
        return order not in (DRAIN, None)

    def _probe_repeatedly(self) -> None:
        self._wake.wait(_FIRST)
        while not self._ended:
            self._wake.clear()
            self._wake.wait(self.probe())

    def probe(self) -> float:
        """Send both probes; return the seconds until the next ones. An exception is counted and logged."""
        options, keys = self._loaded.settings.probe, self._loaded.keys
        try:
            results = [self._recorded(result) for result in run_probes(options, signing_key(keys))]
        except ConfigError as error:  # a reload removed the keys
            log.logger().error("probe_off", why=str(error))
            return options.interval
        except Exception as error:  # noqa: BLE001 - see above
            service_metrics.EXCEPTIONS.child(Place.PROBE).inc()
            log.logger().error("exception", where=Place.PROBE, exc_info=error)
            return options.interval
        return options.interval if all(result.well for result in results) else min(options.interval, _RETRY)

    def _recorded(self, result: Result) -> Result:
        kind = result.message
        _measure(result)
        if not result.well:
            self._working.discard(kind)
            log.logger().error("probe_fails", message=kind, why=result.why, reply=result.reply)
        elif kind not in self._working:
            self._working.add(kind)
            log.logger().info("probe_works", message=kind, reply=result.reply)
        return result


def _measure(result: Result) -> None:
    kind = result.message
    sandwich_metrics.PROBE_SUCCESS.child(kind).set(result.well)
    sandwich_metrics.PROBE_LAST_RUN.child(kind).set(time.time())
    for stage in Stage:
        if stage in result.seconds:
            sandwich_metrics.PROBE_SECONDS.child(kind, stage).set(result.seconds[stage])
        else:
            sandwich_metrics.PROBE_SECONDS.forget(kind, stage)
