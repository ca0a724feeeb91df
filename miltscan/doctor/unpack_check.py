"""Whether archives that clamd does not open are opened, and how well the program that does is enclosed."""

from collections.abc import Callable, Iterator, Mapping

from miltscan.config.settings import Settings
from miltscan.core.finding import Finding, ok, warning
from miltscan.scanning.unpacking import PROGRAM, find_program
from miltscan.unpacker.child import sandbox_layers

_KEY = "mime.unpack"
_INSTALL = "install the package 7zip-standalone (Debian 13) or 7zip (Debian 12), or set mime.unpack = false"
_LAYERS: Mapping[str, tuple[str, str]] = {
    "landlock": ("Landlock: it can read files of the host that everybody can read", "use a kernel that has it (5.13)"),
    "seccomp": ("seccomp: it can open connections and start programs", "run: apt-get install libseccomp2"),
}
"""What it means that the host does not have a layer of the sandbox, and what to do."""


def unpack_findings(
    settings: Settings,
    find: Callable[[], str | None] = find_program,
    layers: Callable[[], frozenset[str]] = sandbox_layers,
) -> Iterator[Finding]:
    """A finding about 7-Zip, if it is to be used, and one for each layer that its sandbox lacks."""
    if not (settings.mime.read and settings.mime.unpack):
        return
    program = find()
    if program is None:
        text = f"{PROGRAM} is not installed: archives that clamd cannot open are not scanned within"
        yield warning(_KEY, text, _INSTALL)
        return
    found = layers()
    for layer in sorted(_LAYERS.keys() - found):
        lack, remedy = _LAYERS[layer]
        yield warning(_KEY, f"{program} runs without {lack}", remedy)
    yield ok(_KEY, f"{program} opens archives that clamd does not open")
