"""Where programs are: on the host, or in the folder into which deploy/debian/install unpacked them privately."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
_NOBODY = 65534  # user and group
_SYSTEM_FOLDERS = (
    "/usr/libexec/sendmail",
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
)


class MissingProgramError(Exception):
    """A program is neither on the host nor in the private folder; the message names the package that installs it."""


def private_root() -> Path:
    """The folder of privately unpacked packages; MILTSCAN_DEBIAN replaces the default `.venv/debian`."""
    return Path(os.environ.get("MILTSCAN_DEBIAN", CHECKOUT / ".venv" / "debian"))


def find(name: str) -> Path:
    """The absolute path of program `name`, the private one first. Raises MissingProgramError.

    /usr/libexec/sendmail precedes /usr/sbin, where another MTA may have a `sendmail` of its own.
    """
    folders = [*(f"{private_root()}{folder}" for folder in _SYSTEM_FOLDERS), *_SYSTEM_FOLDERS]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise MissingProgramError(f"no program {name}: deploy/debian/install installs what is missing")
    return Path(found)


def unprivileged(command: Sequence[str | Path], *folders: Path) -> list[str | Path]:
    """The command, run by root as an ordinary user to which the folders are given.

    Its only capability is to read any file: the checkout may be in a folder of another user. Its other group is that of
    the sockets of the programs that the tests run.
    """
    for folder in folders:
        shutil.chown(folder, _NOBODY, _NOBODY)
        for path in folder.rglob("*"):
            shutil.chown(path, _NOBODY, _NOBODY)
    capability = "dac_read_search"
    rights = [f"--bounding-set=-all,+{capability}", f"--inh-caps=-all,+{capability}", f"--ambient-caps=+{capability}"]
    return [find("setpriv"), f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--groups=0", *rights, *command]


def environment(program: Path) -> dict[str, str]:
    """What `program` needs in its environment: the private libraries, if it is a private program."""
    if not program.is_relative_to(private_root()):
        return {}
    libraries = {str(library.parent) for library in (private_root() / "usr" / "lib").glob("**/lib*.so.*")}
    return {"LD_LIBRARY_PATH": os.pathsep.join(sorted(libraries))}


def data(path: str) -> Path:
    """A folder such as /usr/share/sendmail/cf, the private one first."""
    private = Path(f"{private_root()}{path}")
    return private if private.exists() else Path(path)
