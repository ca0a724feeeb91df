"""The request to rspamd for one message (https://docs.rspamd.com/developers/protocol/). Pure.

HTTP by h11, which the exporter uses too, on our own `Wire`. httpx would bound each read instead of the exchange, could
not call the tick of a message that waits, and takes 10 MB in each worker.
"""

import h11

from miltscan.core.text import printable_ascii
from miltscan.engines.antispam.engine import Question

_RECIPIENTS_NAMED = 500  # above that many the request would exceed what rspamd reads of headers
_LONGEST = 500  # characters of a value


def rspamd_request(question: Question) -> bytes:
    """The request line and header fields; the message follows as it is. The connection serves one request."""
    client, given = question.client, question.circumstances
    address = client.address.removeprefix("IPv6:")
    fields = [
        ("IP", "" if address == "unknown" else "127.0.0.1" if address == "local" else address),
        ("Helo", given.helo),
        ("Hostname", "" if client.name == "unknown" or client.name.startswith("[") else client.name),
        ("From", _address(question.envelope.sender)),
        *(("Rcpt", _address(recipient)) for recipient in question.envelope.recipients[:_RECIPIENTS_NAMED]),
        ("User", given.user),
        ("Queue-Id", question.queue_id),
        ("MTA-Name", given.mta),
        ("MTA-Tag", "miltscan"),
        ("TLS-Version", given.tls_version),
        ("TLS-Cipher", given.cipher if given.tls_version else ""),
    ]
    headers = [
        ("Host", "rspamd"),
        ("Connection", "close"),
        ("Content-Length", str(question.size)),
        *((name, clean) for name, value in fields if (clean := printable_ascii(value, _LONGEST).strip())),
    ]
    sent = h11.Connection(h11.CLIENT).send(h11.Request(method="POST", target="/checkv2", headers=headers))
    assert sent is not None  # noqa: S101 - for mypy: a request always has bytes
    return sent


def _address(path: bytes) -> str:
    """An address without its angle brackets; the empty sender stays `<>`, by which rspamd knows a bounce."""
    text = path.decode("utf-8", "backslashreplace")
    return text if text == "<>" else text.removeprefix("<").removesuffix(">")
