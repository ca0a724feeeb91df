"""The prober: a process of its own that sends the probes on their interval, and tells what became of them.

A thread sends, and may wait long for a reply; the main thread takes the supervisor's orders meanwhile, so that nothing
waits for a probe at the end: its connection breaks then, and no message is lost by that.
"""

import threading
import time
from multiprocessing.connection import wait

from miltscan.config.keyfile import Loaded
from miltscan.core.probe import ProbeKind, Stage
from miltscan.errors import ConfigError
from miltscan.processes.link import DRAIN, Link, received
from miltscan.scanning.probe_run import Result, run_probes, signing_key
from miltscan.telemetry import log, metrics
from miltscan.telemetry.process import Usage

_FIRST = 2.0  # seconds that the workers get to be ready
_AGAIN = 10.0  # seconds, or the interval if that is less, until a probe that failed is repeated
_BEAT = 5.0  # seconds


class Prober:
    """`loaded` is replaced by each reload, which lets it probe at once."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._wake = threading.Event()
        self._ended = False
        self._well: set[ProbeKind] = set()

    def run(self, link: Link) -> None:
        """Until told to drain, or until the supervisor has died."""
        usage = Usage("prober")
        threading.Thread(target=self._probe_for_ever, name="prober", daemon=True).start()
        while not wait([link], _BEAT) or self._obey(received(link)):
            usage.tell()
        self._ended = True
        self._wake.set()

    def _obey(self, order: object) -> bool:
        """Carry out one order; False if it is to end."""
        if isinstance(order, Loaded):
            self._loaded = order
            log.configure(order.settings.log.format, order.settings.log.level)
            self._wake.set()
        return order not in (DRAIN, None)

    def _probe_for_ever(self) -> None:
        self._wake.wait(_FIRST)
        while not self._ended:
            self._wake.clear()
            self._wake.wait(self.probe())

    def probe(self) -> float:
        """Send both probes; the seconds until the next ones. Never raises: a fault of ours is counted and told."""
        options, keys = self._loaded.settings.probe, self._loaded.keys
        try:
            results = [self._told(result) for result in run_probes(options, signing_key(keys))]
        except ConfigError as error:  # a reload has taken the keys away
            log.logger().error("probe_off", why=str(error))
            return options.interval
        except Exception as error:  # noqa: BLE001 - see above
            metrics.EXCEPTIONS.child(metrics.Place.PROBE).inc()
            log.logger().error("exception", where=metrics.Place.PROBE, exc_info=error)
            return options.interval
        return options.interval if all(result.well for result in results) else min(options.interval, _AGAIN)

    def _told(self, result: Result) -> Result:
        kind = result.message
        _measure(result)
        if not result.well:
            self._well.discard(kind)
            log.logger().error("probe_fails", message=kind, why=result.why, reply=result.reply)
        elif kind not in self._well:
            self._well.add(kind)
            log.logger().info("probe_works", message=kind, reply=result.reply)
        return result


def _measure(result: Result) -> None:
    kind = result.message
    metrics.PROBE_SUCCESS.child(kind).set(result.well)
    metrics.PROBE_LAST_RUN.child(kind).set(time.time())
    for stage in Stage:
        if stage in result.seconds:
            metrics.PROBE_SECONDS.child(kind, stage).set(result.seconds[stage])
        else:
            metrics.PROBE_SECONDS.forget(kind, stage)
