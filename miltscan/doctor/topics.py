"""The faults that have effects with findings of their own: the topics for `Finding.named` and `Finding.because`."""

import os
from pathlib import Path

NOT_ROOT = "not root"
"""This user may not see or do what a finding is about."""
NO_MILTSCAN = "miltscan does not run"
PLAIN_SENDMAIL = "the configuration is not that of an incoming sendmail"
NO_SPOOL = "spool.directory cannot be used"
SHARED_PID_FILE = "both sendmails have one pid file"


def loose_folder(folder: Path) -> str:
    """Others may write to a folder above a socket."""
    return f"{folder} is open to others"


def no_file(name: str) -> str:
    """The .cf file of incoming or delivery is missing."""
    return f"no {name}.cf"


def no_sendmail(name: str) -> str:
    """The incoming or the delivery sendmail does not run."""
    return f"{name} does not run"


def overloaded(name: str) -> str:
    """The load of this host is above the limit of the incoming or the delivery sendmail."""
    return f"{name} is overloaded"


def refuses(name: str) -> str:
    """The incoming or the delivery sendmail runs, and has closed its ports."""
    return f"{name} refuses connections"


def no_start(file: str) -> str:
    """A sendmail does not start with this .cf file."""
    return f"no start with {file}"


def no_engine(server: str) -> str:
    """A server of an engine, by its name in findings, cannot scan."""
    return f"{server} does not scan"


def old_mail(name: str) -> str:
    """Mail waits too long in the queue of the incoming or the delivery sendmail."""
    return f"old mail in the {name} queue"


def denied(problem: OSError | str) -> tuple[str, ...]:
    """The cause of a failure for lack of rights, of an exception or of its text; none for any other failure.

    As root, and for `check` as miltscan's own user, no finding has this topic: the failure then stands for itself.
    """
    text = problem if isinstance(problem, str) else problem.strerror or ""
    return (NOT_ROOT,) if "permission denied" in text.lower() or text == os.strerror(1) else ()
