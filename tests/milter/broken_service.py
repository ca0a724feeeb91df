"""`miltscan` with one defect put into it, to see what the service makes of a bug of ours.

python broken_service.py DEFECT run --config FILE
"""

import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import milter

from miltscan.cli import run_cli
from miltscan.core import ruled
from miltscan.core.early import ruled_at_rcpt
from miltscan.core.message import Envelope
from miltscan.core.policy import decide
from miltscan.core.session import Session
from miltscan.daemon import run, watch, worker
from miltscan.daemon.recorder import MessageRecorder
from miltscan.daemon.worker import Worker
from miltscan.errors import StartError
from miltscan.milter.callbacks import Milter
from miltscan.processes import admission, supervisor
from miltscan.telemetry import traces


def fails(error: BaseException) -> Callable[..., NoReturn]:
    """A function that raises, with any arguments."""

    def function(*_arguments: object, **_options: object) -> NoReturn:
        raise error

    return function


def for_marked(defect: Callable[..., object], function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as it is, but the defect where the sender is <bug@example.org>."""

    def replaced(policy: object, message: Any, *verdicts: object) -> Any:  # noqa: ANN401 - as `decide`
        if message.envelope.sender == b"<bug@example.org>":
            defect()
        return function(policy, message, *verdicts)

    return replaced


def for_recipient(defect: Callable[..., object], function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as it is, but the defect where its last argument is, or has, the recipient <bug@example.test>."""

    def replaced(*arguments: Any, **options: object) -> Any:  # noqa: ANN401 - as `function`
        subject = arguments[-1]
        if b"<bug@example.test>" in (subject, *getattr(subject, "envelope", NOBODY).recipients):
            defect()
        return function(*arguments, **options)

    return replaced


def main_loop(_milter: Milter) -> None:
    """A libmilter that ends at once."""


def stuck(*_arguments: object, **_options: object) -> None:
    """A function that never returns."""
    threading.Event().wait()


def stuck_after_start(function: Callable[..., object]) -> Callable[..., object]:
    """The function once, then one that never returns."""
    calls = iter([function])

    def replaced(*arguments: object) -> object:
        return next(calls, stuck)(*arguments)

    return replaced


NOBODY = Envelope(b"", ())
Patch = tuple[object, str, Any]
IMPATIENT: tuple[Patch, ...] = (  # no test can wait for half a minute
    (supervisor, "_SILENCE", 2.0),
    (supervisor, "_TICK", 0.25),
    (watch, "SILENCE", 2.0),
)
DEFECTS: dict[str, tuple[Patch, ...]] = {
    "decide": ((ruled, "decide", for_marked(fails(RuntimeError("defect in decide")), decide)),),
    "rcpt": ((Session, "rcpt", for_recipient(fails(RuntimeError("defect at RCPT")), Session.rcpt)),),
    "ruling": ((worker, "ruled_at_rcpt", for_recipient(fails(RuntimeError("defect at RCPT")), ruled_at_rcpt)),),
    "refused": ((MessageRecorder, "recipient_refused", fails(RuntimeError("defect at RCPT"))),),
    "escape": ((Milter, "_enter", fails(RuntimeError("defect behind every handler"))),),
    "boot": ((Worker, "__init__", fails(StartError("a worker cannot start here"))),),
    "boot-bug": ((Worker, "__init__", fails(RuntimeError("defect at start"))),),
    "no-otel": ((traces, "find_spec", fails(ModuleNotFoundError("opentelemetry"))),),
    "hasty": ((run, "_LEAVE_AFTER", 0.5),),
    "no-filter": ((admission, "_SO_ATTACH_FILTER", 9999),),
    "serve": ((Milter, "main", main_loop),),
    "impatient": IMPATIENT,
    "dead-disk": ((run, "_RELOAD", 0.5), (run, "_try_spool", stuck_after_start(run._try_spool))),  # noqa: SLF001
    "deadlock": (*IMPATIENT, (ruled, "decide", for_marked(stuck, decide))),
    # a libmilter that does not answer the question of its own worker, which no MTA asks
    "mute": (*IMPATIENT, (milter, "register", partial(milter.register, unknown=stuck))),
}

if __name__ == "__main__":
    for place, name, defect in DEFECTS[sys.argv.pop(1)]:
        assert hasattr(place, name), name  # a name that is used nowhere would be no defect
        setattr(place, name, defect)
    run_cli()
