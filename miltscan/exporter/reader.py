"""Reads the status page of the exporter on this host, for `miltscan status`. It serves no request."""

import http.client
from typing import Any

import orjson

from miltscan.config.tables import ExporterSettings
from miltscan.core.finding import Finding, error
from miltscan.errors import StartError
from miltscan.exporter.access import load_tokens
from miltscan.exporter.exchange import STEP_TIMEOUT
from miltscan.status.page import API

_START = "run: systemctl start miltscan; journalctl -u miltscan shows why it ended"
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - it connects and does not listen
_TIMEOUT = 2 * STEP_TIMEOUT


class NoStatusError(Exception):
    """The service did not answer; `finding` says why and what to do."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.line)
        self.finding = finding


def read_status(exporter: ExporterSettings) -> dict[str, Any]:
    """Return the content of the status page. Raises NoStatusError.

    A certificate is not compared with a name, because the connection stays on this host.
    """
    if exporter.listen is None:
        raise NoStatusError(error("exporter", 'exporter.listen = "off"', "set exporter.listen to an address"))
    host, port = _ANY.get(exporter.listen.host.strip("[]"), exporter.listen.host.strip("[]")), exporter.listen.port
    subject = f"exporter {exporter.listen}"
    try:
        token = load_tokens(exporter)[0].decode() if exporter.token_file else ""
        connection = _connection(host, port, tls=bool(exporter.certificate))
        connection.request("GET", API, headers={"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        content = response.read()
    except StartError as problem:
        raise NoStatusError(error(subject, str(problem), "run this command as root")) from None
    except (OSError, http.client.HTTPException) as problem:
        why = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
        raise NoStatusError(error(subject, f"miltscan does not answer: {why}", _START)) from None
    if response.status == http.client.UNAUTHORIZED:
        raise NoStatusError(error(subject, "requires credentials", "set exporter.token_file: docs/access.md"))
    if response.status != http.client.OK:
        remedy = "read its log: journalctl -u miltscan"
        raise NoStatusError(error(subject, f"answers with status {response.status}", remedy))
    try:
        answer: dict[str, Any] = orjson.loads(content)
        answer["assessment"]["level"]
    except (ValueError, TypeError, LookupError):
        remedy = "another program may listen there: change exporter.listen, then restart miltscan"
        raise NoStatusError(error(subject, "answers with something else than a status", remedy)) from None
    return answer


def _connection(host: str, port: int, *, tls: bool) -> http.client.HTTPConnection:
    if not tls:
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    import ssl  # noqa: PLC0415 - as in `access`

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=context)
