"""A collector of traces: takes OTLP over HTTP on a port of loopback, decodes it, and keeps the spans."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """`status` is what it answers; `spans` and `resource` are what it was sent; a request waits while not `open`."""

    def __init__(self) -> None:
        self.status = 200
        self.spans: list[Span] = []
        self.resource: dict[str, object] = {}
        self.requests = 0
        self.open = threading.Event()
        self.open.set()
        self.url = ""

    def take(self, path: str, data: bytes) -> int:
        """The answer to a request."""
        self.requests += 1
        self.open.wait(60)
        if path != "/v1/traces":
            return 404
        if self.status == 200:
            for part in ExportTraceServiceRequest.FromString(data).resource_spans:
                self.resource = attributes(part.resource)
                self.spans += [span for scope in part.scope_spans for span in scope.spans]
        return self.status

    def messages(self) -> dict[str, Span]:
        """The spans of messages, by queue ID."""
        return {
            str(attributes(span)["miltscan.queue_id"]): span for span in list(self.spans) if not span.parent_span_id
        }

    def parts(self, whole: Span) -> list[Span]:
        """The children of a span, in order."""
        return sorted(
            (span for span in list(self.spans) if span.parent_span_id == whole.span_id),
            key=lambda span: (span.start_time_unix_nano, span.name.startswith("scan")),
        )


def attributes(of: Any) -> dict[str, object]:  # noqa: ANN401 - a span or a resource
    """Its attributes as plain values."""
    return {pair.key: _plain(pair.value) for pair in of.attributes}


def _plain(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    return [_plain(item) for item in value.array_value.values] if kind == "array_value" else getattr(value, kind or "")


@contextmanager
def collector() -> Iterator[Collector]:
    """One that runs."""
    made = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(made.take(self.path, data))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Nothing on standard error."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield made
        finally:
            made.open.set()
            server.shutdown()
            thread.join()
