"""rspamd's replies to /checkv2, parsed purely into a closed set. Total: never raises.

    {"is_skipped": false, "score": 7.3, "required_score": 15.0, "action": "add header",
     "symbols": {"GTUBE": {"name": "GTUBE", "score": 0.0}, ...}, "messages": {"smtp_message": "..."},
     "milter": {"add_headers": {"X-Spamd-Bar": {"value": "+++", "order": -1}}, "remove_headers": {"X-Spam": 0}}}

rspamd answers 200 with "no action" and without symbols to an empty body, so that this counts only for an empty message.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import h11
import orjson

from miltscan.core.edits import Header, HeaderEdit, InsertHeader, RemoveHeader
from miltscan.core.text import printable_ascii
from miltscan.core.verdict import Fault, Limit, SpamAction
from miltscan.engines.antispam.engine import Question
from miltscan.engines.antispam.reply import SYMBOLS_KEPT, Scored, SpamReply, garbled, is_score, symbol
from miltscan.engines.reply import Failed, Limited

_OK = 200
_ACTIONS = {str(action): action for action in SpamAction if action is not SpamAction.NONE}
_SPAM = frozenset(
    {
        SpamAction.ADD_HEADER,
        SpamAction.REWRITE_SUBJECT,
        SpamAction.QUARANTINE,
        SpamAction.DISCARD,
        SpamAction.REJECT,
    }
)
"""The other actions are those below rspamd's score for spam; a soft reject is mostly that of a rate limit."""
_OURS = ("x-virus-", "x-miltscan-")
_NOT_ITS = frozenset({"x-spam-flag", "x-spam-status", "x-spam-score", "x-spam-level", "subject"})
"""Ours, and what only a rule changes, which would lose its tag otherwise."""
_RESULTS = "authentication-results"
_FIELD_NAME = re.compile(r"[!-9;-~]{1,100}", re.ASCII)
_FOLD = re.compile(r"[\r\n]+[ \t]*")
_EDITS = 30  # fields that one reply may add
_LONGEST = 2000  # characters of a field that is added
_TEXT = 200  # characters of a reply


class Honoured(NamedTuple):
    """What of rspamd's proposals is carried out: its header edits, Authentication-Results, and its reply text."""

    headers: bool = False
    authentication_results: bool = False
    message: bool = False


def parse_rspamd(data: bytes, question: Question, honoured: Honoured) -> SpamReply:
    """All that rspamd sent on one connection, as its reply to this message."""
    try:
        status, body = _received(data)
    except h11.RemoteProtocolError as error:
        return Failed(Fault.GARBLED if data else Fault.CLOSED, f"HTTP: {error}" if data else "closed without a reply")
    try:
        answer = orjson.loads(body)
    except ValueError:
        return garbled(f"HTTP {status} without valid JSON")
    if not isinstance(answer, dict):
        return garbled("JSON, but not an object")
    if status != _OK or "error" in answer:
        return Failed(Fault.REPORTED, f"HTTP {status}: {printable_ascii(str(answer.get('error', '')))}")
    return _scored(answer, question, honoured)


def _received(data: bytes) -> tuple[int, bytes]:
    """Status and body of the one response that is all of `data`; raises h11.RemoteProtocolError for anything else."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="POST", target="/checkv2", headers=[("Host", "rspamd")]))
    connection.send(h11.EndOfMessage())
    if data:
        connection.receive_data(data)
    connection.receive_data(b"")
    status, body = 0, b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif not isinstance(event, h11.InformationalResponse):
            raise h11.RemoteProtocolError("the response ends too early")
    if connection.trailing_data[0]:
        raise h11.RemoteProtocolError("more than one response")
    return status, body


def _scored(answer: Mapping[str, Any], question: Question, honoured: Honoured) -> SpamReply:
    action, score, threshold = answer.get("action"), answer.get("score"), answer.get("required_score")
    symbols = answer.get("symbols")
    if not isinstance(action, str) or action not in _ACTIONS:
        return garbled(f"unknown action {printable_ascii(repr(action), 60)}")
    if not is_score(score) or not is_score(threshold):
        return garbled("no score")
    if not isinstance(symbols, dict) or not all(isinstance(one, dict) for one in symbols.values()):
        return garbled("no symbols")
    known = _ACTIONS[action]
    if answer.get("is_skipped") and known not in _SPAM:
        return Limited(Limit.LIMITS, "rspamd skipped the message by its own settings")
    if not symbols and question.size:
        return garbled("no symbol, although the message is not empty")
    names = sorted(symbols, key=lambda name: -abs(_weight(symbols[name])))[:SYMBOLS_KEPT]
    return Scored(
        known in _SPAM,
        float(score or 0.0),
        float(threshold or 0.0),
        known,
        tuple(map(symbol, names)),
        tuple(_edits(answer.get("milter"), question.headers, honoured)),
        _text(answer.get("messages")) if honoured.message else "",
    )


def _weight(entry: Mapping[str, Any]) -> float:
    score = entry.get("score")
    return float(score) if is_score(score) and score else 0.0


def _text(messages: object) -> str:
    text = messages.get("smtp_message") if isinstance(messages, dict) else None
    return printable_ascii(text, _TEXT) if isinstance(text, str) else ""


def _edits(milter: object, headers: Sequence[Header], honoured: Honoured) -> Iterator[HeaderEdit]:
    """The header edits that may be carried out; what is malformed, or belongs to us, is left out."""
    if not isinstance(milter, dict):
        return
    removed, added = milter.get("remove_headers"), milter.get("add_headers")
    for name, index in removed.items() if isinstance(removed, dict) else ():
        if isinstance(index, int) and _is_honoured(name, honoured):
            yield from _removals(name, index, headers)
    fields = [
        InsertHeader(name, value)
        for name, given in (added.items() if isinstance(added, dict) else ())
        if _is_honoured(name, honoured)
        for value in _values(given)
    ]
    yield from reversed(fields[:_EDITS])  # each one is inserted above the one before it


def _is_honoured(name: str, honoured: Honoured) -> bool:
    lower = name.lower()
    if not _FIELD_NAME.fullmatch(name) or lower.startswith(_OURS) or lower in _NOT_ITS:
        return False
    return honoured.authentication_results if lower == _RESULTS else honoured.headers


def _removals(name: str, index: int, headers: Sequence[Header]) -> Iterator[RemoveHeader]:
    """Rspamd counts from 1, backwards from -1, and means all fields of the name by 0."""
    count = sum(field.lower() == name.lower().encode() for field, _ in headers)
    chosen = range(1, count + 1) if index == 0 else [index if index > 0 else count + 1 + index]
    for one in reversed(chosen):
        if 1 <= one <= count:
            yield RemoveHeader(name, one)


def _values(given: object) -> Iterator[str]:
    """The value or values of a field: a text, an object with `value`, or a list of both."""
    for one in given if isinstance(given, list) else [given]:
        value = one.get("value") if isinstance(one, dict) else one
        if isinstance(value, str):
            lines = _FOLD.split(value[:_LONGEST])
            yield "\n\t".join(printable_ascii(line, _LONGEST) for line in lines if line.strip())
