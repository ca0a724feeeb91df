"""The values of a condition, as the configuration has them: read one by one, with all mistakes at once. Pure."""

from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_network
from typing import TypeVar

from miltscan.core.address import Network
from miltscan.core.lookup import Check, Source
from miltscan.core.text import readable

T = TypeVar("T")
OpenSource = Callable[[str, Check], Source]
"""Opens `file:/path` or `access:TAG`; raises ValueError with what was expected, also of a line that fails the check."""

_SOURCES = ("file:", "access:")
_MOST = 10_000  # values of one list: more belong into a file


class UnfitError(ValueError):
    """Values that a condition cannot have: for each its place below the key (`[2]`), itself, and what is expected."""

    def __init__(self, *mistakes: tuple[str, object, str]) -> None:
        super().__init__(*(f"{place} {expected}" for place, _, expected in mistakes))
        self.mistakes = mistakes


def shown_value(value: object) -> str:
    """A value for people, in the notation of the configuration; texts are printable."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{readable(value, 200)}"'
        case Mapping():
            rows = ", ".join(f"{readable(str(name), 80)} = {shown_value(one)}" for name, one in value.items())
            return f"{{ {rows} }}"
        case list() | tuple():
            return "[" + ", ".join(map(shown_value, value)) + "]"
    return readable(str(value), 200)


def read_values(value: object, read: Callable[[str], T]) -> list[T]:
    """Each value of a list, or the only one, as `read` returns it; raises UnfitError with all that it refuses."""
    given = value if isinstance(value, list) else [value]
    if not given:
        raise UnfitError(("", value, "expected at least one value; a condition without any never matches"))
    if len(given) > _MOST:
        raise UnfitError(("", "...", f"expected at most {_MOST} values; put more into a file, and name it file:/path"))
    result, mistakes = [], []
    for position, one in enumerate(given, 1):
        try:
            if not isinstance(one, str) or not one.strip():
                raise ValueError("expected a text in quotation marks")  # noqa: TRY301 - collected below
            result.append(read(one))
        except ValueError as error:
            mistakes.append((f"[{position}]" if isinstance(value, list) else "", one, str(error)))
    if mistakes:
        raise UnfitError(*mistakes)
    return result


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """Return a reader of one of these names; for another one it raises ValueError with all of them."""
    known = tuple(map(str, names))

    def read(text: str) -> str:
        if text not in known:
            raise ValueError("expected one of " + ", ".join(f'"{name}"' for name in known))
        return text

    return read


def read_sources(value: object, read: Callable[[str], T], open_source: OpenSource) -> tuple[list[Source], list[T]]:
    """The sources that a list names, and its other values."""
    opened: list[Source] = []

    def each(text: str) -> list[T]:
        if text.startswith(_SOURCES):
            opened.append(open_source(text, read))
            return []
        return [read(text)]

    return opened, [one for several in read_values(value, each) for one in several]


def host_or_network(text: str) -> Network | str:
    """A network or an address, or else the name of a host or of a domain."""
    if text[:1].isdigit() or ":" in text:
        try:
            return ip_network(text)
        except ValueError:
            raise ValueError("expected an address or a network such as 192.0.2.0/24, without bits after it") from None
    name = text.lower()
    if not name.isascii() or not name.replace("-", "").replace(".", "").replace("_", "").isalnum():
        raise ValueError("expected a network, an address, a host's name, or .domain for a domain and those below it")
    return name
