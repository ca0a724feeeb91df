"""What rules may ask of one message and one of its recipients, as an immutable value. Pure; it decides nothing."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from miltscan.core.edits import Header
from miltscan.core.message import Direction
from miltscan.core.verdict import Fault, Limit, Outcome, SpamAction

if TYPE_CHECKING:
    from miltscan.core.attachments import Attachment


class WeekTime(NamedTuple):
    """A time of the week where the host is: Monday is weekday 0, and `minute` counts from midnight."""

    weekday: int
    minute: int


class HeaderIndex:
    """The values of a message's headers by name; made at the first question, as most messages are asked none."""

    def __init__(self, headers: Sequence[Header]) -> None:
        self._headers = headers

    @cached_property
    def _by_name(self) -> Mapping[bytes, list[bytes]]:
        index: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for name, value in self._headers:
            index[name.lower()].append(value)
        return dict(index)

    def values_of(self, name: bytes) -> Sequence[bytes]:
        """The values of all headers of this name (in lower case), each with its folds."""
        return self._by_name.get(name, ())


class Facts(NamedTuple):
    """The facts; None is one that is not known yet, such as the outcome while the envelope arrives.

    An empty text means that there is none: no `signature` (also where the allow list names it), no `user`. `client` is
    an IP address, or what stands for it in `message.Client`. `engine` is the one whose verdict decides. `scores` and
    `spam_actions` hold those of each anti-spam engine. `attachments`, `anomalies` and `encrypted` are empty where
    the structure of the message was not read, and `depth` is 0.
    """

    now: WeekTime | None = None
    client: str | None = None
    client_name: str | None = None
    daemon: str | None = None
    tls: bool | None = None
    authenticated: bool | None = None
    user: str | None = None
    sender: bytes | None = None
    recipient: bytes | None = None
    direction: Direction | None = None
    size: int | None = None
    headers: HeaderIndex | None = None
    outcome: Outcome | None = None
    reason: Limit | Fault | str | None = None
    engine: str | None = None
    signature: str | None = None
    scores: Mapping[str, float] | None = None
    spam_actions: Mapping[str, SpamAction] | None = None
    attachments: "Sequence[Attachment] | None" = None
    anomalies: frozenset[str] | None = None
    encrypted: bool | None = None
    depth: int | None = None


NOTHING_KNOWN = Facts()
OF_CIRCUMSTANCES = frozenset({"daemon", "tls", "user"})
"""The fields that need `message.Circumstances`."""
OF_ATTACHMENTS = frozenset({"attachments", "anomalies", "depth"})
"""The fields for which the attachments have to be looked at."""
OF_STRUCTURE = OF_ATTACHMENTS | {"encrypted"}
"""The fields that come from reading the structure of the message."""
OF_FILTERS = frozenset({"scores", "spam_actions"})
"""The fields that anti-spam engines fill, which are asked last."""
