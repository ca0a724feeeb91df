"""Records what the milter of a worker reports: metrics, log, status page and traces. It never raises, nor decides."""

from collections import deque
from collections.abc import Sequence

from structlog.typing import FilteringBoundLogger

from miltscan.core.message import Message
from miltscan.core.report import Place, Report
from miltscan.core.ruled import Ruling
from miltscan.scanning.spool import on_disk
from miltscan.status.events import Reporter
from miltscan.telemetry import log, mail_metrics, recording, service_metrics
from miltscan.telemetry.stream import ReportStream
from miltscan.telemetry.upkeep import Upkeep

_HOSTS_KEPT = 1000  # refused hosts that are remembered


class MessageRecorder:
    """Records what the milter reports in the metrics, the log and the status page. Never raises."""

    def __init__(self, logger: FilteringBoundLogger, number: int, reporter: Reporter | None = None) -> None:
        self.log = logger
        self.number = number
        self._reporter = reporter
        self._reports: deque[Report] = deque()
        self._refusals: deque[Ruling] = deque()
        self._upkeep = Upkeep(str(number))
        self._refused: set[str] = set()

    def done(self, report: Report) -> None:
        """Write the line of a decided message; `publish` counts it later. A probe has a line and is not counted."""
        is_mail = report.probe is None
        if is_mail:
            self._reports.append(report)
        try:
            log.message(report, self.number)
            if report.kept and report.kept.error:
                kept = report.kept
                self.log.error("store_fails", queue_id=report.message.queue_id, area=kept.area, why=kept.error)
            if report.copies and report.copies.error:
                self.log.error("copy_fails", queue_id=report.message.queue_id, why=report.copies.error)
            if report.shadow and report.shadow.differs:
                self.log.info(
                    "shadow_differs",
                    queue_id=report.message.queue_id,
                    rule=report.decision.rule,
                    action=report.decision.action.name,
                    shadow_rule=report.shadow.rule,
                    shadow_action=report.shadow.action,
                    recipients_count=report.shadow.differs,
                )
            if self._reporter and is_mail:
                self._reporter.message(report)
        except Exception as error:  # noqa: BLE001 - the MTA must receive the decision even if it cannot be logged
            self.exception(Place.REPORT, error)

    def recipient_refused(self, message: Message, ruling: Ruling) -> None:
        """Log that a rule refused the only recipient of `message` at RCPT; `publish` counts it later."""
        self._refusals.append(ruling)
        try:
            log.recipient_refused(self.log, message, ruling)
        except Exception as error:  # noqa: BLE001 - as above
            self.exception(Place.REPORT, error)

    def publish(self, sessions: int, transactions: int) -> None:
        """Update the metrics; `sessions` and `transactions` are the numbers that are open.

        Counting many messages at once costs a fifth of counting each (docs/lab/cost.md). The price: a worker that is
        killed loses up to a quarter of a second of counts. Each message still has its log line.
        """
        try:
            # take the reports off one by one, as other threads append meanwhile
            reports = [self._reports.popleft() for _ in range(len(self._reports))]
            recording.record_reports(reports)
            if self._reporter and reports:
                self._reporter.messages(reports)
            recording.record_refusals([self._refusals.popleft() for _ in range(len(self._refusals))])
            mail_metrics.SESSIONS.child().set(sessions)
            mail_metrics.TRANSACTIONS.child().set(transactions)
            files, size = on_disk()
            mail_metrics.SPOOL_FILES.child().set(files)
            mail_metrics.SPOOL_BYTES.child().set(size)
            self._upkeep.update()
        except Exception as error:  # noqa: BLE001 - as above
            self.exception(Place.REPORT, error)

    def refused(self, peer: str) -> None:
        """Count a connection of a host that may not connect; log each host once, so that none can fill the log."""
        service_metrics.PEERS_REFUSED.child().inc()
        if peer not in self._refused:
            if len(self._refused) >= _HOSTS_KEPT:
                self._refused.clear()
            self._refused.add(peer)
            self.log.warning("peer_refused", peer=peer)

    def hangs(self, why: str) -> None:
        """Log why this worker ends."""
        self.log.error("child_hangs", child=f"worker {self.number}", why=why)

    def exception(self, where: Place, error: Exception) -> None:
        """Count and log an exception of our own code."""
        service_metrics.EXCEPTIONS.child(where).inc()
        self.log.error("exception", where=where, exc_info=error)


class StreamingRecorder(MessageRecorder):
    """A recorder that also sends each message to other processes: to the tracer, to the archive of the keeper.

    It is used only where one of them runs, so that other services pay nothing.
    """

    def __init__(
        self, logger: FilteringBoundLogger, number: int, reporter: Reporter, streams: Sequence[ReportStream]
    ) -> None:
        super().__init__(logger, number, reporter)
        self._streams = streams

    def done(self, report: Report) -> None:
        """Record the message, and keep it for the streams until the next `publish`."""
        super().done(report)
        if report.probe is None:
            try:
                for stream in self._streams:
                    stream.add(report)
            except Exception as error:  # noqa: BLE001 - as above
                self.exception(Place.REPORT, error)

    def publish(self, sessions: int, transactions: int) -> None:
        """Update the metrics, and send the messages."""
        super().publish(sessions, transactions)
        try:
            for stream in self._streams:
                stream.send()
        except Exception as error:  # noqa: BLE001 - as above
            self.exception(Place.REPORT, error)
