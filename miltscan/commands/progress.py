"""A progress bar for long work, on standard error, and only if that is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

from miltscan.commands.terminal import terminal_codes


@contextmanager
def progress(title: str, total: float | None, *, shown: bool = True) -> Iterator[Callable[[float], None]]:
    """Show a bar until the block ends; what it yields takes how much of `total` is done (None: unknown)."""
    if not shown or not sys.stderr.isatty():
        yield lambda _done: None
        return
    with Progress(console=Console(file=terminal_codes()), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)
