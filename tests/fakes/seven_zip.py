"""7-Zip as a script: what it prints and how it ends, for each command and password, without any process."""

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from miltscan.unpacker.child import Allowance

RULER = "------------------- ----- ------------ ------------  ------------------------\n"


class Played(NamedTuple):
    """One run: its output, its messages, its exit status, and why it was broken off."""

    output: Sequence[bytes] = ()
    messages: str = ""
    status: int = 0
    broken_off: str = ""
    host_fault: str = ""
    is_cut: bool = False
    late: bool = False


def listed(*sizes: int | None, method: str = "") -> Played:
    """The list of files of these sizes."""
    rows = [f"{'':20}..... {'' if size is None else size:>12} {'':12}  {number}\n" for number, size in enumerate(sizes)]
    return Played([f"Method = {method}\n{RULER}{''.join(rows)}{RULER}totals\n".encode()])


WRONG = Played(messages="ERROR: Wrong password : a\n", status=2)


class FakeSevenZip:
    """Stands for `Sandboxed`. `plays` has a run for each command letter and password; `seen` is what was asked."""

    def __init__(self, plays: Mapping[tuple[str, str], Played]) -> None:
        self.plays = plays
        self.seen: list[tuple[str, str]] = []
        self.allowances: list[Allowance] = []

    def __call__(
        self, command: Sequence[str], _file: int, given: bytes, allowance: Allowance, _locale: str
    ) -> "_Running":
        """Start it."""
        letter = f"{command[1]} -slt" if "-slt" in command else command[1]
        self.seen.append((letter, given.decode("utf-8", "replace").removesuffix("\n")))
        self.allowances.append(allowance)
        return _Running(self.plays.get(self.seen[-1], WRONG))


class _Running:
    def __init__(self, played: Played) -> None:
        self._played = played
        self.messages, self.status = played.messages, played.status
        self.broken_off, self.host_fault = played.broken_off, played.host_fault
        self.is_cut, self.late = played.is_cut, played.late

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def pieces(self) -> Iterator[bytes]:
        """The output."""
        yield from self._played.output
