"""The tracer: a process that turns the records of the workers into spans and exports them by OTLP over HTTP.

It is a process, not a thread of a worker or of the exporter, because OpenTelemetry takes about 30 MB, and because a
collector that does not answer must delay neither mail nor a scrape. It runs only if `tracing.endpoint` is set. No other
module imports opentelemetry, and this one only while it runs.
"""

# ruff: noqa: PLC0415  imports inside functions, for the reason above

import logging
import signal
import socket
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Protocol

from miltscan import __version__
from miltscan.processes.link import ChildLink, received
from miltscan.processes.signals import Signals
from miltscan.telemetry import log, service_metrics
from miltscan.telemetry.stream import Record, received_records
from miltscan.telemetry.upkeep import Upkeep

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from structlog.typing import FilteringBoundLogger

_TIMEOUT = 3.0  # seconds for one export with its retries; a stop of the service may have to wait for two exports
_BEAT = 5.0  # seconds between two signs of life and two calls of Upkeep.update, at most, in addition to one export
_NANOSECONDS = 1_000_000_000


class Export(Protocol):
    """An exporter of spans."""

    def export(self, spans: "list[ReadableSpan]") -> object:
        """Return SpanExportResult.SUCCESS or FAILURE, within `_TIMEOUT`."""


def run_tracer(channel: socket.socket, endpoint: str, link: ChildLink) -> None:
    """Export records until TERM or the death of the supervisor; the last export takes what has arrived by then."""
    signals = Signals([signal.SIGTERM])
    tracer, upkeep = Tracer(endpoint), Upkeep("tracer")
    channel.settimeout(0)  # non-blocking
    ending = False
    while not ending:
        link.beat()
        wait([channel, link, signals.fileno()], _BEAT)
        upkeep.update()
        ending = signal.SIGTERM in signals.read() or (link.poll() and received(link) is None)
        tracer.export(received_records(channel))
    tracer.export(received_records(channel))


class Tracer:
    """Makes spans of records and exports them; logs once that the export fails, and once that it works again."""

    def __init__(
        self, endpoint: str, sender: Export | None = None, logger: "FilteringBoundLogger | None" = None
    ) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        self._library_log = _LastMessage()
        resource = Resource.create({"service.name": "miltscan", "service.version": __version__})
        provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False)
        self._spans = _collect_in(provider)
        self._tracer = provider.get_tracer("miltscan", __version__)
        self._sender: Any = sender or OTLPSpanExporter(endpoint, timeout=_TIMEOUT)
        self._log = logger or log.logger()
        self._endpoint = endpoint
        self._works: bool | None = None

    def export(self, records: list[Record]) -> None:
        """Export all records in one request; a failure drops them."""
        if not records:
            return
        from opentelemetry.sdk.trace.export import SpanExportResult

        for record in records:
            self._trace(record)
        spans, self._spans[:] = [*self._spans], []
        works = self._sender.export(spans) is SpanExportResult.SUCCESS
        service_metrics.TRACES.child("exported" if works else "failed").inc(len(records))
        if works == self._works:
            return
        self._works = works
        if works:
            self._log.info("tracing_works", endpoint=self._endpoint)
        else:
            self._log.warning("tracing_fails", endpoint=self._endpoint, why=self._library_log.text)

    def _trace(self, record: Record) -> None:
        """Make a span of the message, and within it one of the wait for a slot and one of each engine, in order."""
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind, set_span_in_context

        begin = record["ended"] - round(record["seconds"] * _NANOSECONDS)
        whole = self._tracer.start_span("message", Context(), SpanKind.SERVER, record["attributes"], start_time=begin)
        within = set_span_in_context(whole, Context())
        end = begin + round(record["waited"] * _NANOSECONDS)
        self._tracer.start_span("wait for a scan slot", within, start_time=begin).end(end)
        for engine in record["engines"]:
            begin, end = end, end + round(engine["seconds"] * _NANOSECONDS)
            name, attributes = f"scan {engine['name']}", engine["attributes"]
            part = self._tracer.start_span(name, within, SpanKind.CLIENT, attributes, start_time=begin)
            _finish(part, end, failed=engine["failed"])
        _finish(whole, record["ended"], failed=record["failed"])


def _finish(span: Any, end: int, *, failed: bool) -> None:  # noqa: ANN401 - a type of the extra
    from opentelemetry.trace import StatusCode

    if failed:
        span.set_status(StatusCode.ERROR)
    span.end(end)


def _collect_in(provider: Any) -> "list[ReadableSpan]":  # noqa: ANN401 - a type of the extra
    """Return the list that receives each span when it ends."""
    from opentelemetry.sdk.trace import SpanProcessor

    ended: list[ReadableSpan] = []

    class Collector(SpanProcessor):
        def on_end(self, span: "ReadableSpan") -> None:
            ended.append(span)

    provider.add_span_processor(Collector())
    return ended


class _LastMessage(logging.Handler):
    """Keeps the last message that OpenTelemetry logged: on standard error it would break the format of our log."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        library = logging.getLogger("opentelemetry")
        library.handlers, library.propagate = [self], False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message; logging calls this."""
        self.text = record.getMessage()
