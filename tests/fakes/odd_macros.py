"""A client that crashes libmilter: it sends macros without a value for the last name, which no MTA does.

libmilter takes names and values by pairs without counting them, so it reads behind the end of such a list
(smfi_getsymval in libmilter/smfi.c). What lies there decides whether the process survives: a session may do nothing.
"""

from tests.fakes.milter_wire import Command, encode, packet, strings
from tests.fakes.mta import MTA

_MOST = 20_000  # sessions; usually fewer than 1,000 are enough


def crash_by_odd_macros(address: str) -> None:
    """Open sessions with such a list until one is cut in the middle of a reply, as the worker that served it died."""
    for _ in range(_MOST):
        with MTA.open(address) as mta:
            mta.raw(packet(Command.MACRO.value, Command.MAIL.value + b"j\0"))
            mta.raw(encode(Command.MAIL, strings(b"<a@example.org>")))
            try:
                mta.read()
            except ConnectionError:
                return
    raise AssertionError(f"the milter survived {_MOST} odd lists of macros")
