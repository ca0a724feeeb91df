"""`miltscan` with one defect put into it, to see what the service makes of a bug of ours.

python broken_service.py DEFECT run --config FILE
"""

import sys
from collections.abc import Callable
from typing import Any, NoReturn

from miltscan.cli import run_cli
from miltscan.core.policy import decide
from miltscan.daemon.worker import Worker
from miltscan.errors import StartError
from miltscan.milter.callbacks import Milter
from miltscan.processes import admission
from miltscan.scanning import pipeline
from miltscan.telemetry import traces


def fails(error: BaseException) -> Callable[..., NoReturn]:
    """A function that raises, with any arguments."""

    def function(*_arguments: object, **_options: object) -> NoReturn:
        raise error

    return function


def for_marked(error: BaseException, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as it is, but a failure where the sender is <bug@example.org>."""

    def replaced(policy: object, message: Any, *verdicts: object) -> Any:  # noqa: ANN401 - as `decide`
        if message.envelope.sender == b"<bug@example.org>":
            raise error
        return function(policy, message, *verdicts)

    return replaced


def main_loop(_milter: Milter) -> None:
    """A libmilter that ends at once."""


DEFECTS: dict[str, tuple[object, str, Any]] = {
    "decide": (pipeline, "decide", for_marked(RuntimeError("defect in decide"), decide)),
    "escape": (Milter, "_enter", fails(RuntimeError("defect behind every handler"))),
    "boot": (Worker, "__init__", fails(StartError("a worker cannot start here"))),
    "boot-bug": (Worker, "__init__", fails(RuntimeError("defect at start"))),
    "no-otel": (traces, "find_spec", fails(ModuleNotFoundError("opentelemetry"))),
    "no-filter": (admission, "_SO_ATTACH_FILTER", 9999),
    "serve": (Milter, "main", main_loop),
}

if __name__ == "__main__":
    setattr(*DEFECTS[sys.argv.pop(1)])
    run_cli()
