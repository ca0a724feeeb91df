"""The `miltscan` program, `python -m miltscan` too: starts the service itself, and leaves all else to `cli`.

The library of the command line takes 6 MB, which each process of a service would keep. The service is one command with
one option, so it is started without; whoever writes that command in another way pays for it, and gets the same.
"""

# ruff: noqa: PLC0415  imports inside functions, for the reason above

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from miltscan.errors import MiltscanError

_INTERRUPTED = 130  # as the shell says: 128 and SIGINT


def main() -> None:
    """The program; ends the process."""
    match sys.argv[1:]:
        case ["run"]:
            sys.exit(_run(None))
        case ["run", "-c" | "--config", file]:
            sys.exit(_run(Path(file)))
        case _:
            from miltscan import cli

            cli.run_cli()


def _run(config: Path | None) -> int:
    """`miltscan run`; the exit status."""
    from miltscan.config.apart import in_child
    from miltscan.config.settings import load_settings

    try:
        settings = in_child(partial(load_settings, config))
        with _as_if_absent("rich"):
            from miltscan.daemon.run import run_service
        return run_service(settings, config)
    except MiltscanError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    except KeyboardInterrupt:  # before the service listens to signals
        return _INTERRUPTED


@contextmanager
def _as_if_absent(package: str) -> Iterator[None]:
    """None in `sys.modules` is how the language says that a module cannot be imported.

    structlog imports rich where it is installed, for tracebacks on a terminal. Ours are two fields, and 4.5 MB less.
    """
    if package in sys.modules:  # it is too late
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # as above
    try:
        yield
    finally:
        del sys.modules[package]


if __name__ == "__main__":
    main()
