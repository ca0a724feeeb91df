"""The request to spamd for one message: the head of the SPAMC protocol, and a Received: line in front. Pure.

    SYMBOLS SPAMC/1.5
    Content-length: 1234

spamd takes client, HELO, user and envelope sender from the topmost Received: line. The MTA adds its own only later, so
that this one has the form of sendmail's (spamd/PROTOCOL and Mail::SpamAssassin::Message::Metadata::Received).
"""

import re
from email.utils import formatdate

from miltscan.engines.antispam.engine import Question

_UNFIT = re.compile(r"[^A-Za-z0-9._:\[\]-]", re.ASCII)
_UNFIT_ADDRESS = re.compile(r"[^!-;=?-~]", re.ASCII)
_LONGEST = 255


def spamd_request(question: Question) -> bytes:
    """The head of the request and the line; the message follows as it is."""
    line = received_line(question, formatdate())
    head = f"SYMBOLS SPAMC/1.5\r\nContent-length: {len(line) + question.size}\r\n\r\n"
    return head.encode() + line


def received_line(question: Question, date: str) -> bytes:
    """The Received: line of a message that arrived at `date` (RFC 5322), in three lines."""
    client, given = question.client, question.circumstances
    name, address = _fit(client.name), _fit(client.address)
    if client.address == "local":
        name, address = "localhost", "127.0.0.1"
    source = f"[{address}]" if name == "unknown" or name.startswith("[") else f"{name} [{address}]"
    user = " (authenticated bits=0)" if question.envelope.authenticated or given.user else ""
    tls = (
        f"\r\n\t(version={_fit(given.tls_version)} cipher={_fit(given.cipher)} verify=NO)" if given.tls_version else ""
    )
    protocol = f"ESMTP{'S' if given.tls_version else ''}{'A' if user else ''}"
    sender = _UNFIT_ADDRESS.sub("?", question.envelope.sender.decode("utf-8", "replace").strip("<>"))[:_LONGEST]
    text = (
        f"Received: from {_fit(given.helo)} ({source}){user}\r\n"
        f"\tby {_fit(given.mta) if given.mta else 'localhost'} (miltscan) with {protocol} id {_fit(question.queue_id)}"
        f"{tls}\r\n\t(envelope-from <{sender}>); {date}\r\n"
    )
    return text.encode("ascii")


def _fit(text: str) -> str:
    """The text as one word of the line: what could end it, or begin another part, becomes `?`."""
    return _UNFIT.sub("?", text[:_LONGEST]) or "unknown"
