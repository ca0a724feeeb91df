"""The conditions of rules: one constructor for each key. A condition never raises, and may not be decided yet.

A condition on a fact that is not known (None) is neither met nor failed: `test` returns None. Pure.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from miltscan.core.address import ip_address_of
from miltscan.core.anomalies import ANOMALIES
from miltscan.core.condition_values import (
    OpenSource,
    UnfitError,
    host_or_network,
    one_of,
    read_sources,
    read_values,
    shown_value,
)
from miltscan.core.facts import Facts
from miltscan.core.file_types import FileType
from miltscan.core.lookup import Kind, host_keys, is_named
from miltscan.core.message import Direction
from miltscan.core.patterns import address_keys, pattern, plain_forms
from miltscan.core.signature import CLASSES, signature_classes
from miltscan.core.verdict import Fault, Limit, Outcome, SpamAction
from miltscan.core.weektime import hours
from miltscan.core.wildcards import Glob

Test = Callable[[Facts], bool | None]
_HIGHEST = 1e6  # of a score; also infinity and NaN are mistakes
_DEEPEST = 20  # messages and archives within each other: beyond that a message is not scanned completely


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: its key and values as text, the fields of `Facts` that it reads, and its test.

    `headers` are the names of the headers that it reads, in lower case.
    """

    key: str
    text: str
    reads: tuple[str, ...] = field(compare=False)
    test: Test = field(compare=False, repr=False)
    headers: tuple[bytes, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return f"{self.key} = {self.text}"


def condition(key: str, value: object, open_source: OpenSource) -> Condition:
    """The condition `key = value`; sizes are in bytes. Raises KeyError for an unknown key, UnfitError for a value."""
    reads, make = _MAKERS[key]
    test = make(value, open_source)
    headers = tuple(map(_header_name, value)) if key == "header" and isinstance(value, Mapping) else ()
    return Condition(key, shown_value(value), reads, test, headers)


def _of(attribute: str, holds: Callable[[Any], bool]) -> Test:
    at = Facts._fields.index(attribute)

    def test(facts: Facts) -> bool | None:
        fact = facts[at]
        return None if fact is None else holds(fact)

    return test


def _choice(attribute: str, names: Iterable[str]) -> Callable[[object, OpenSource], Test]:
    read = one_of(names)

    def make(value: object, _open: OpenSource) -> Test:
        return _of(attribute, frozenset(read_values(value, read)).__contains__)

    return make


def _class(value: object, _open: OpenSource) -> Test:
    wanted = frozenset(read_values(value, one_of(CLASSES)))
    return _of("signature", lambda name: bool(name) and not wanted.isdisjoint(signature_classes(name)))


def _globs(attribute: str) -> Callable[[object, OpenSource], Test]:
    """An empty fact has no form: `*` must not match the signature of a message without one."""

    def make(value: object, open_source: OpenSource) -> Test:
        sources, globs = read_sources(value, Glob, open_source)

        def holds(text: str) -> bool:
            return bool(text) and (
                any(one.matches(text) for one in globs) or any(one.has(Kind.TEXT, text) for one in sources)
            )

        return _of(attribute, holds)

    return make


def _exactly(attribute: str) -> Callable[[object, OpenSource], Test]:
    def make(value: object, _open: OpenSource) -> Test:
        return _of(attribute, frozenset(read_values(value, str)).__contains__)

    return make


def _address(attribute: str) -> Callable[[object, OpenSource], Test]:
    def make(value: object, open_source: OpenSource) -> Test:
        sources, patterns = read_sources(value, pattern, open_source)
        wanted = frozenset(patterns)

        def named(path: bytes) -> bool:
            return not wanted.isdisjoint(address_keys(path))

        def holds(path: bytes) -> bool:
            forms = [(Kind.ADDRESS, form) for form in plain_forms(path) or ("<>",)]
            return named(path) or any(is_named(one, forms) for one in sources)

        return _of(attribute, holds if sources else named)

    return make


def _client(value: object, open_source: OpenSource) -> Test:
    sources, places = read_sources(value, host_or_network, open_source)
    networks = [one for one in places if not isinstance(one, str)]
    names = frozenset(one for one in places if isinstance(one, str))

    def test(facts: Facts) -> bool | None:
        if facts.client is None or facts.client_name is None:
            return None
        address, name = ip_address_of(facts.client), facts.client_name.lower().rstrip(".")
        return (
            (address is not None and any(address in network for network in networks))
            or (bool(names) and not names.isdisjoint(host_keys(name)))
            or any(is_named(one, ((Kind.NETWORK, facts.client), (Kind.HOST, name))) for one in sources)
        )

    return test


def _flag(attribute: str) -> Callable[[object, OpenSource], Test]:
    def make(value: object, _open: OpenSource) -> Test:
        if not isinstance(value, bool):
            raise UnfitError(("", value, "expected true or false"))
        return _of(attribute, lambda fact: fact is value)

    return make


def _size(fits: Callable[[int, int], bool]) -> Callable[[object, OpenSource], Test]:
    def make(value: object, _open: OpenSource) -> Test:
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise UnfitError(("", value, 'expected a size such as "1MiB"'))
        return _of("size", lambda size: fits(size, value))

    return make


def _score(value: object, _open: OpenSource) -> Test:
    """A number for any engine, or a table of a number for each named one, of which one must be reached."""
    limits = value if isinstance(value, Mapping) else {"": value}
    unfit = [
        (f".{name}" if name else "", limit, "expected a number such as 8.5")
        for name, limit in limits.items()
        if not isinstance(limit, int | float) or isinstance(limit, bool) or not abs(limit) < _HIGHEST
    ]
    if unfit or not limits:
        raise UnfitError(*unfit or [("", value, "expected a number such as 8.5")])
    if "" in limits:
        return _of("scores", lambda scores: any(score >= limits[""] for score in scores.values()))
    return _of("scores", lambda scores: any(name in scores and scores[name] >= limits[name] for name in limits))


def _spam_action(value: object, _open: OpenSource) -> Test:
    """One of the actions, by any engine."""
    wanted = frozenset(read_values(value, one_of(SpamAction)))
    return _of("spam_actions", lambda actions: not wanted.isdisjoint(actions.values()))


def _header(value: object, _open: OpenSource) -> Test:
    """Every named header must have one of its forms, in any of its occurrences."""
    if not isinstance(value, Mapping) or not value:
        raise UnfitError(("", value, 'expected a table such as { "List-Id" = "*" }'))
    forms: list[tuple[bytes, list[Glob]]] = []
    mistakes = []
    for name, given in value.items():
        try:
            forms.append((_header_name(name), read_values(given, Glob)))
        except UnfitError as error:
            mistakes += [(f".{name}{place}", one, expected) for place, one, expected in error.mistakes]
        except ValueError as error:
            mistakes.append(("", name, str(error)))
    if mistakes:
        raise UnfitError(*mistakes)

    def test(facts: Facts) -> bool | None:
        if facts.headers is None:
            return None
        for name, globs in forms:
            values = [_unfolded(one) for one in facts.headers.values_of(name)]
            if not any(one.matches(text) for one in globs for text in values):
                return False
        return True

    return test


def _header_name(name: str) -> bytes:
    if not name.isascii() or not name.isprintable() or ":" in name or " " in name or not name:
        raise ValueError("expected the name of a header")
    return name.lower().encode()


def _unfolded(value: bytes) -> str:
    return value.replace(b"\r\n", b"").replace(b"\n", b"").decode("utf-8", "backslashreplace").strip()


def _attachment(value: object, open_source: OpenSource) -> Test:
    """A pattern of one of the names of one of the attachments, in any reading."""
    sources, globs = read_sources(value, Glob, open_source)

    def named(name: str) -> bool:
        return any(one.matches(name) for one in globs) or any(one.has(Kind.TEXT, name) for one in sources)

    return _of("attachments", lambda found: any(named(name) for one in found for name in one.names))


def _type(value: object, _open: OpenSource) -> Test:
    wanted = frozenset(read_values(value, one_of(FileType)))
    return _of("attachments", lambda found: any(one.type in wanted for one in found))


def _anomaly(value: object, _open: OpenSource) -> Test:
    wanted = frozenset(read_values(value, one_of(ANOMALIES)))
    return _of("anomalies", lambda found: not wanted.isdisjoint(found))


def _depth(value: object, _open: OpenSource) -> Test:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _DEEPEST:
        raise UnfitError(("", value, f"expected a number from 1 to {_DEEPEST}"))
    return _of("depth", lambda depth: depth >= value)


def _macro(value: object, _open: OpenSource) -> Test:
    """What an engine calls so."""
    if not isinstance(value, bool):
        raise UnfitError(("", value, "expected true or false"))
    return _of("signature", lambda name: ("Macro" in signature_classes(name)) is value)


def _time(value: object, _open: OpenSource) -> Test:
    wanted = read_values(value, hours)
    return _of("now", lambda now: any(one.contains(now) for one in wanted))


_MAKERS: Mapping[str, tuple[tuple[str, ...], Callable[[object, OpenSource], Test]]] = {
    "outcome": (("outcome",), _choice("outcome", Outcome)),
    "reason": (("reason",), _choice("reason", (*Limit, *Fault))),
    "engine": (("engine",), _exactly("engine")),
    "signature": (("signature",), _globs("signature")),
    "class": (("signature",), _class),
    "score_from": (("scores",), _score),
    "spam_action": (("spam_actions",), _spam_action),
    "sender": (("sender",), _address("sender")),
    "recipient": (("recipient",), _address("recipient")),
    "client": (("client", "client_name"), _client),
    "direction": (("direction",), _choice("direction", Direction)),
    "authenticated": (("authenticated",), _flag("authenticated")),
    "user": (("user",), _globs("user")),
    "tls": (("tls",), _flag("tls")),
    "size_from": (("size",), _size(lambda size, limit: size >= limit)),
    "size_to": (("size",), _size(lambda size, limit: size <= limit)),
    "header": (("headers",), _header),
    "attachment": (("attachments",), _attachment),
    "type": (("attachments",), _type),
    "encrypted": (("encrypted",), _flag("encrypted")),
    "macro": (("signature",), _macro),
    "anomaly": (("anomalies",), _anomaly),
    "depth_from": (("depth",), _depth),
    "daemon": (("daemon",), _exactly("daemon")),
    "time": (("now",), _time),
}
"""For each key the facts that it reads, and what makes its test."""
CONDITIONS = (*_MAKERS,)
"""Every key of the grammar."""
