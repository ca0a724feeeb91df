"""The messages that a sendmail holds in its queue: reads them, hands one over, deletes one.

A held message is a control file `hf...` and a data file (sendmail's doc/op, appendix B); its queue runs leave it alone.
The files are read here because `mailq -qQ` cuts long addresses and has neither year nor subject.

To release one, sendmail has two ways (measured with 8.17, tests/e2e/test_hold.py):

    -qQ -qIID -Q    makes `hf` a `qf` file. If the next host is down then, and the message is older than
                    Timeout.queuereturn (5 days), sendmail bounces it to its sender at once.
    -qQ -qIID       tries to deliver it, and after a temporary failure it is still held.

So the second one is used, with a Timeout.queuereturn that no message reaches. Both exit with 0 if they do nothing: only
the queue shows the result.
"""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from miltscan.core.header_text import header_text
from miltscan.core.text import readable
from miltscan.errors import QueueError
from miltscan.sandwich.cf import CfFile, parse_cf
from miltscan.sandwich.logforms import QUEUE_ID
from miltscan.sandwich.queues import base_of, control_files

_LARGEST = 2**24  # bytes of a control file: a message may have thousands of recipients
_HEADER = re.compile(rb"H(?:\?[^?]*\?)?([^\s:]+)[ \t]*:[ \t]*(.*)")
_RECIPIENT = re.compile(rb"R[A-Za-z]*:(.*)")
_FOLD = re.compile(rb"\n[ \t]+")
_SENT = re.compile(rf"\.\.\. Sent \((?:\d\.\d\.\d )?({QUEUE_ID.pattern}) Message accepted for delivery\)")
_REFUSED = re.compile(r"^5\d\d[ -].*", re.MULTILINE)
_ELSEWHERE = ("/usr/sbin", "/usr/lib", "/usr/libexec")  # not in the PATH of every root
_NEVER = "10000d"
_OPTIONS = (f"-OTimeout.queuereturn={_NEVER}", f"-OTimeout.queuewarn={_NEVER}", "-OQueueLA=1000000")
"""The last one: otherwise sendmail skips a queue run while the host is busy."""


class Held(NamedTuple):
    """A held message. Addresses have their angle brackets, `size` counts the bytes of its body; None if that is lost.

    `arrived` is in seconds since the epoch, `status` is the result of the last attempt to deliver it. All bytes are the
    sender's own, except these of sendmail's and `reason`; the subject is decoded and readable.
    """

    queue_id: str
    control: Path
    data: Path
    arrived: float
    size: int | None
    reason: bytes
    status: bytes
    sender: bytes
    recipients: tuple[bytes, ...]
    message_id: bytes
    subject: str


class HandedOver(NamedTuple):
    """The result of a release: the queue IDs at the next host, and why the message was refused or is still held.

    With `refused` sendmail returned it to its sender. With `held` it is held for the recipients that the next host has
    not accepted.
    """

    queue_ids: tuple[str, ...]
    refused: str = ""
    held: str = ""


def read_cf(file: Path) -> CfFile:
    """The content of a .cf file. Raises QueueError."""
    try:
        return parse_cf(file.read_text(errors="replace"))
    except OSError as problem:
        raise QueueError(f"{file}: {problem.strerror}. Name the .cf file of the sendmail with --cf") from None


def read_held(conf: CfFile) -> list[Held]:
    """The held messages, the newest first. Raises QueueError if the queue is not readable."""
    found: dict[str, Held] = {}
    for queue in conf.queues:
        try:
            for path in control_files(queue, "hf"):
                with suppress(FileNotFoundError):  # released meanwhile
                    found[path.name] = _read(path, conf.queues[0])
        except OSError as problem:
            text = f"{problem.filename or queue}: {problem.strerror}"
            raise QueueError(f"{text}. Run this command as root" if _denied(problem) else text) from None
    return sorted(found.values(), key=lambda one: (-one.arrived, one.queue_id))


def _denied(problem: OSError) -> bool:
    return isinstance(problem, PermissionError) and os.geteuid() != 0


def _read(path: Path, queue: str) -> Held:
    lines = _lines(path)
    queue_id = path.name[2:]
    data = _data_file(path, queue, _first(lines, b"d"))
    try:
        size = data.stat().st_size
    except FileNotFoundError:
        size = None
    arrived = _first(lines, b"T")
    headers = [(found[1], found[2]) for line in lines if line[:1] == b"H" and (found := _HEADER.match(line))]
    return Held(
        queue_id,
        path,
        data,
        float(arrived) if arrived.isdigit() else 0.0,
        size,
        _first(lines, b"q"),
        _first(lines, b"M"),
        _first(lines, b"S"),
        tuple(found[1] for line in lines if (found := _RECIPIENT.match(line))),
        next((value for name, value in headers if name.lower() == b"message-id"), b""),
        header_text(headers, b"subject"),
    )


def _lines(path: Path) -> list[bytes]:
    """The lines of a control file, each with its code letter, unfolded."""
    with path.open("rb") as file:
        return _FOLD.sub(b" ", file.read(_LARGEST)).split(b"\n")


def _first(lines: Iterable[bytes], code: bytes) -> bytes:
    """The value of the first line with this code letter; empty without one."""
    return next((line[1:] for line in lines if line[:1] == code), b"")


def _data_file(control: Path, queue: str, other: bytes) -> Path:
    """The data file: in the folder `df` next to `qf`, if the queue has one; `other` is the folder of a `d` line."""
    folder = control.parent.parent if control.parent.name == "qf" else control.parent
    if other:
        folder = Path(base_of(queue), os.fsdecode(other))
    split = folder / "df"
    return (split if split.is_dir() else folder) / f"df{control.name[2:]}"


def hand_over(one: Held, conf: Path) -> HandedOver:
    """Let the sendmail of this .cf file deliver a held message, and wait for the result. Raises QueueError."""
    if not one.data.exists():
        return HandedOver((), held=f"{one.data} is missing, and sendmail would deliver an empty message")
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_ELSEWHERE))
    program = shutil.which("sendmail", path=path)
    if program is None:
        raise QueueError(f"sendmail: not found in {path}")
    command = [program, "-C", str(conf), "-v", *_OPTIONS, "-qQ", f"-qI{one.queue_id}"]
    done = subprocess.run(  # noqa: S603 - no shell, and the queue ID is the name of a file in the queue
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return result_of(one, done.returncode, (done.stdout + done.stderr).decode(errors="replace"))


def result_of(one: Held, status: int, output: str) -> HandedOver:
    """The result of a queue run for this message alone: by the queue, and by the exit status and output of `-v`."""
    sent = [line for line in output.splitlines() if "... Sent" in line]
    if one.control.exists():
        return HandedOver(_queue_ids(sent), held=_why_held(one, output))
    if status:  # the output goes on with the bounce, which the next host accepts as well
        bounce = f"{one.sender.decode(errors='replace')}... "
        refused = _REFUSED.search(output)
        text = refused[0] if refused else f"sendmail ended with status {status}"
        return HandedOver(_queue_ids(line for line in sent if not line.startswith(bounce)), refused=readable(text))
    return HandedOver(_queue_ids(sent), refused="" if sent else "another process has taken it from the queue")


def _queue_ids(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found[1] for line in lines if (found := _SENT.search(line))))


def _why_held(one: Held, output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    if f"{one.queue_id}: locked" in lines:
        return "another process works on it"
    with suppress(OSError):
        if status := _first(_lines(one.control), b"M"):
            return readable(status)
    return readable(lines[-1]) if lines else "sendmail did not find it in its queue"


def delete_held(one: Held) -> None:
    """Delete a held message for good. Raises QueueError if it is in use or no longer held.

    It takes the lock that sendmail takes (conf.c, lockfile: flock on the control file). The control file goes first:
    without its data file, sendmail would deliver an empty message. A crash between the two leaves a data file, which
    nothing delivers.
    """
    try:
        descriptor = os.open(one.control, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise QueueError(f"{one.queue_id}: no longer held") from None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise QueueError(f"{one.queue_id}: another process works on it; try again later") from None
        if not os.path.samestat(os.fstat(descriptor), one.control.stat()):  # replaced before the lock
            raise QueueError(f"{one.queue_id}: another process has just changed it; try again")
        one.control.unlink()
        _sync(one.control.parent)
        one.data.unlink(missing_ok=True)
        _sync(one.data.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
