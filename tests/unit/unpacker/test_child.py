"""A program in the sandbox: what it can do, and how it ends. Python stands for a 7-Zip that has been taken over."""

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from miltscan.errors import MtaGoneError
from miltscan.unpacker import child, sandbox
from miltscan.unpacker.child import ARCHIVE, Allowance, Sandboxed, sandbox_layers

PYTHON = str(Path(sys.executable).resolve())
MIB = 1 << 20
pytestmark = pytest.mark.skipif(
    not PYTHON.startswith("/usr/bin/"), reason="only programs below /usr run in the sandbox"
)
needs_layers = pytest.mark.skipif(len(sandbox_layers()) < 2, reason="this host lacks a layer of the sandbox")
PREPARE = "import os, sys, socket, threading, time, signal\n"


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[int]:
    """The descriptor of a file without a name, as a large part has, which only its owner can read."""
    fd = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, b"the archive")
    yield fd
    os.close(fd)


def allowance(**changes: object) -> Allowance:
    """Enough for a program that does no harm."""
    return Allowance(20, 500 * MIB, time.monotonic() + 60, lambda: None)._replace(**changes)  # type: ignore[arg-type]


def run(source: str, file: int, given: bytes = b"\n", allowed: Allowance | None = None) -> tuple[str, Sandboxed]:
    """What a Python program in the sandbox prints, and what became of it."""
    command = [PYTHON, "-I", "-S", "-c", PREPARE + source]
    with Sandboxed(command, file, given, allowed or allowance()) as program:
        output = b"".join(program.pieces()).decode()
        return output, program


def test_it_reads_the_archive_and_its_input(archive: int) -> None:
    """From the begin, whatever the position of the descriptor, and in memory as well."""
    source = f"print(sys.stdin.readline().strip(), open({ARCHIVE!r}).read(), end='')"
    assert run(source, archive, "ü\n".encode())[0] == "ü the archive"
    memory = os.memfd_create("a")
    os.write(memory, b"in memory")
    assert run(source, memory, b"x\n")[0] == "x in memory"
    os.close(memory)


TRIES = {
    "a file of the host": "open('/etc/passwd')",
    "a folder": "os.listdir('/tmp')",
    "a process": "open('/proc/1/environ')",
    "a file to write": "open('/tmp/written', 'w')",
    "the archive to write": f"open({ARCHIVE!r}, 'r+')",
    "a write to the archive": "os.write(3, b'x')",
    "a new name": "os.mkdir('/tmp/made')",
    "a connection": "socket.socket()",
    "a unix socket": "socket.socket(socket.AF_UNIX)",
    "a pair of sockets": "socket.socketpair()",
    "a process of its own": "os.fork()",
    "a signal": "os.kill(os.getppid(), 0)",
    "a program elsewhere": "os.execv('/tmp/program', ['x'])",
    "a file in memory": "os.memfd_create('x')",
}


@needs_layers
@pytest.mark.parametrize("attempt", TRIES.values(), ids=TRIES)
def test_what_it_cannot_do(archive: int, attempt: str) -> None:
    """The kernel refuses it, with an error that a program understands."""
    output, program = run(f"try: {attempt}\nexcept OSError as e: print('refused')\nelse: print('DONE')", archive)
    assert (output, program.status, program.messages) == ("refused\n", 0, "")


def test_it_has_no_environment_and_no_other_descriptor(archive: int) -> None:
    """Nothing of the service comes with it: neither its sockets nor the files of other messages."""
    with socket.socket() as other:
        os.set_inheritable(other.fileno(), True)  # noqa: FBT003 - of the function
        source = "print(sorted(os.environ), [n for n in range(4, 100) if not refused(n)])"
        output, _ = run(f"def refused(n):\n try: os.fstat(n)\n except OSError: return True\n{source}", archive)
    assert output.split("] [")[1] == "]\n"
    assert set(output.split("] [")[0].removeprefix("[").replace("'", "").split(", ")) <= {"LC_ALL", "LC_CTYPE"}


def test_threads_are_allowed(archive: int) -> None:
    """7-Zip starts some even for one core."""
    assert run("t = threading.Thread(target=print, args=[1]); t.start(); t.join()", archive)[0] == "1\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user to become")
def test_root_becomes_nobody(archive: int) -> None:
    """A service that runs as root gives its rights away."""
    assert run("print(os.getuid(), os.geteuid(), os.getgid(), os.getegid())", archive)[0] == (
        "65534 65534 65534 65534\n"
    )


@pytest.mark.parametrize(
    ("source", "changes", "why"),
    [
        ("while True: pass", {"seconds": 1}, "7-Zip was ended by signal 9"),
        (
            "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
            {"seconds": 1},
            "7-Zip was ended by signal 9",
        ),
        ("os.abort()", {}, "7-Zip was ended by signal"),
    ],
)
def test_it_is_ended_at_its_limits(archive: int, source: str, changes: dict[str, object], why: str) -> None:
    """The kernel does that, and the reason says so."""
    assert run(source, archive, allowed=allowance(**changes))[1].broken_off.startswith(why)


def test_memory_is_bounded(archive: int) -> None:
    """A program that asks for more is refused it."""
    source = "try: bytes(300 << 20)\nexcept MemoryError: print('refused')"
    assert run(source, archive, allowed=allowance(memory=200 * MIB))[0] == "refused\n"


@pytest.mark.parametrize("source", ["time.sleep(600)", "os.close(1); os.close(2); time.sleep(600)"])
def test_a_program_that_hangs_is_killed(archive: int, source: str) -> None:
    """At the deadline, or soon after it has closed its output; the process is gone then."""
    _, program = run(source, archive, allowed=allowance(deadline=time.monotonic() + 0.3))
    assert program.broken_off == "it took too long"
    assert program.status == -9


def test_output_without_an_end_is_ended(archive: int) -> None:
    """By its reader, who stops when it has enough."""
    with Sandboxed([PYTHON, "-c", "while True: print('x' * 1000)"], archive, b"\n", allowance()) as program:
        taken = 0
        for piece in program.pieces():
            taken += len(piece)
            if taken > MIB:
                break
    assert program.status == -9


def test_the_mta_has_a_sign_of_life(archive: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And if it is gone, so is the program."""
    monkeypatch.setattr(child, "_TICK", 0.0)
    ticks: list[int] = []

    def tick() -> None:
        ticks.append(1)
        if len(ticks) > 2:
            raise MtaGoneError

    command = [PYTHON, "-I", "-S", "-c", "import time; time.sleep(600)"]
    with (
        pytest.raises(MtaGoneError),
        Sandboxed(command, archive, b"\n", allowance(tick=tick)) as program,
    ):
        for _ in program.pieces():
            pass
    assert program.status == -9


def test_messages_are_kept_up_to_a_bound(archive: int) -> None:
    """More of them are read and dropped, so that the program does not wait."""
    output, program = run("sys.stderr.write('e' * 1_000_000); print('end')", archive)
    assert output == "end\n"
    assert 0 < len(program.messages) < 1_000_000
    assert program.is_cut
    assert not run("sys.stderr.write('e')", archive)[1].is_cut


def test_a_sandbox_that_cannot_be_built(archive: int) -> None:
    """No program runs then, and the reason is at hand."""
    with Sandboxed(["/nowhere/7zz"], archive, b"\n", allowance()) as program:
        assert [*program.pieces()] == []
        assert program.host_fault.startswith("the sandbox could not be built: ")
    assert sandbox.FAILED == child._FAILED  # noqa: SLF001 - two programs agree on it


def test_a_program_that_cannot_run_on_this_host(archive: int) -> None:
    """Such as one whose libraries are missing: that says nothing about the archive."""
    assert run("sys.stderr.write('no\\x1b lib'); sys.exit(127)", archive)[1].host_fault.startswith(
        "7-Zip ended with the status 127: no"
    )
    assert [run(f"sys.exit({status})", archive)[1].host_fault for status in (0, 1, 2, 8)] == [""] * 4
    defect = run("", archive, allowed=allowance(seconds="soon"))[1]
    assert defect.host_fault.startswith("the sandbox could not be built: invalid literal")


def test_the_parent_takes_its_child_along(archive: int) -> None:
    """A worker that is killed leaves no program behind: the kernel ends it with the thread that started it."""
    assert run(
        "import ctypes; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n)); print(n.value)", archive
    )[0] == ("9\n")
