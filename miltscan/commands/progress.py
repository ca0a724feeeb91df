"""A progress bar for long work, on standard error, and only if that is a terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from miltscan.commands.terminal import terminal_codes


class Update(Protocol):
    """Takes how much is done, and of how much, if that was unknown before."""

    def __call__(self, done: float, total: float | None = None, /) -> None:
        """Draw it."""


@contextmanager
def progress(title: str, total: float | None = None, *, shown: bool = True, prints: bool = False) -> Iterator[Update]:
    """Show a bar from the first update to the end of the block.

    Work that `prints` lines on a terminal has none: the lines show how far it is. Output is not redirected to the bar,
    as rich does by default: it would not be cleaned, and that for a file or a pipe would go to the terminal.
    """
    if not shown or not sys.stderr.isatty() or (prints and sys.stdout.isatty()):
        yield lambda _done, _total=None: None
        return
    from rich.console import Console  # noqa: PLC0415 - the service loads this module, and never draws a bar
    from rich.progress import Progress  # noqa: PLC0415 - as above

    console = Console(file=terminal_codes())
    bar = Progress(console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
    task = bar.add_task(title, total=total)

    def update(done: float, known: float | None = None) -> None:
        bar.start()  # does nothing from the second time on
        bar.update(task, completed=done, total=known)

    try:
        yield update
    finally:
        bar.stop()
