"""Every family of wrapping through the service and a real clamd: the infected twin is refused, the other delivered."""

import re
from collections.abc import Iterator

import pytest

from tests.fakes.eicar import EICAR
from tests.fakes.mta import Message
from tests.fakes.wrappings import FAMILIES
from tests.harness.clamav import Clamd
from tests.harness.processes import PATIENCE, Programs, wait_until
from tests.harness.sandwich import private_folder
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon

FORMS = {f"{family}, {name}": build for family, forms in FAMILIES.items() for name, build in forms.items()}
CLEAN = EICAR[::-1]
"""As long as the infected one, so that the twins have the same form."""
MALFORMED = {
    "base64, padding at each line",
    "base64, padding in groups",
    "delimiter, another boundary",
    "structure, partial",
}
"""The forms that no mail program is sure to decode: they are refused whatever is in them (docs/detection.md)."""
LIMITED = {"depth, 19 multiparts"}
"""The forms that exceed a limit of clamd."""
UNSENT = {"header, NUL", "header, many bytes"}
"""The forms that sendmail itself refuses, and that the milter protocol does not carry."""
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:((?:.*(?:\r?\n[ \t])?)*)\r?\n")


@pytest.fixture
def clamd() -> Iterator[Clamd]:
    """A clamd that knows the test file."""
    with private_folder() as folder, Programs(folder) as programs:
        clamd = Clamd.prepare(programs, test_database=True)
        clamd.start()
        clamd.wait_ready()
        yield clamd


def as_sent(data: bytes) -> Message:
    """A message as the MTA sends it: fields up to the first line that is none, then the body."""
    headers, place = list[tuple[bytes, bytes]](), 0
    while found := _FIELD.match(data, place):
        headers.append((found[1], found[2].removesuffix(b"\r").replace(b"\r\n", b"\n")))  # as libmilter passes folds
        place = found.end()
    return Message(headers=tuple(headers), body=data[place:].removeprefix(b"\r\n"))


def refused(daemon: Daemon, content: bytes) -> set[str]:
    """The forms that are refused with this content."""
    with daemon.mta() as mta:
        return {
            name
            for name, build in FORMS.items()
            if name not in UNSENT and not mta.send_message(as_sent(build(content))).accepted
        }


def test_twins(own: Fleet, clamd: Clamd) -> None:
    """Each infected one is refused; of the clean ones only those that are malformed or beyond a limit."""
    daemon = own(clamd__servers=[f"unix:{clamd.socket}"])
    daemon.start()
    daemon.wait_ready()
    wait_until(daemon.engines_up, PATIENCE, "an engine")
    assert {*FORMS} - refused(daemon, EICAR) == UNSENT
    assert refused(daemon, CLEAN) == MALFORMED | LIMITED
