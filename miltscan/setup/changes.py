"""The kinds of steps of a plan. They are values: `perform.py` carries them out, and records how to undo them."""

from dataclasses import dataclass
from enum import StrEnum


class Awaited(StrEnum):
    """What a step may wait for."""

    SCANNER = "clamd has signatures and passes its self-test"
    HANDED_OVER = "the delivery queue is empty"


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Write a file. `line` is the only line that it adds: undo removes just that from a file that changed later."""

    path: str
    content: bytes
    why: str
    line: str = ""

    @property
    def title(self) -> str:
        """What the step does."""
        return f"write {self.path}"


@dataclass(frozen=True, slots=True)
class RestoreFile:
    """Give a file its former content, mode, owner and time; remove it if it did not exist."""

    path: str
    why: str

    @property
    def title(self) -> str:
        """What the step does."""
        return f"restore {self.path}"


@dataclass(frozen=True, slots=True)
class RunProgram:
    """Run a program. `units` and `files` are what it changes, `folders` what it makes: recorded before it runs."""

    argv: tuple[str, ...]
    why: str
    units: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What the step does."""
        return f"run {' '.join(self.argv)}"


@dataclass(frozen=True, slots=True)
class WaitFor:
    """Wait until a condition holds. If it is not `needed`, the plan goes on after `seconds` without it."""

    condition: Awaited
    why: str
    seconds: float
    needed: bool = True

    @property
    def title(self) -> str:
        """What the step does."""
        return f"wait until {self.condition}"


Change = WriteFile | RestoreFile | RunProgram | WaitFor


def command(
    *argv: str, why: str, units: tuple[str, ...] = (), files: tuple[str, ...] = (), folders: tuple[str, ...] = ()
) -> RunProgram:
    """A step that runs a program."""
    return RunProgram(argv, why, units, files, folders)
