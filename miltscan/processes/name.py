"""The name by which `ps -o comm` and `top` show a process; its command line, which `ps aux` shows, stays as it is."""

from contextlib import suppress
from pathlib import Path

_COMM = Path("/proc/self/comm")


def show_name(name: str) -> None:
    """Show this process and its later threads as `name`, of which Linux keeps 15 bytes (proc_pid_comm(5))."""
    with suppress(OSError):  # without /proc a process works as well
        _COMM.write_text(name)
