"""The link between the supervisor and a child: a pipe for orders down and readiness up. It starts no process."""

from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

READY = "ready"
DRAIN = "drain"

if TYPE_CHECKING:
    Link = Connection[object, object]  # generic in its type stub only
else:
    Link = Connection


def received(link: Link) -> object:
    """Return the next object from the link; None if the other end is closed."""
    try:
        return link.recv()
    except (EOFError, OSError):
        return None
