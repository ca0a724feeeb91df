"""Whether a sendmail greets: a session without a message, which leaves no line in its log at the default LogLevel (9).

sendmail logs each session in which no client command was MAIL, EXPN, VRFY or ETRN, even one that ends with QUIT. MAIL
without an address is a mistake (501) that it answers and does not log (8.17; tests/e2e/test_greeting.py).
"""

import asyncio
from contextlib import suppress

PATIENCE = 15.0
"""Seconds for the greeting, which GreetPause and ident may delay."""
_SESSION = (b"HELO localhost\r\n", b"MAIL\r\n", b"QUIT\r\n")


async def greets(host: str, port: int) -> bool:
    """Return whether an SMTP server greets (RFC 5321 section 4.2: 220) on this port, which must not begin with TLS."""
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                greeted = (await reader.read(512)).startswith(b"220")
                for command in _SESSION if greeted else ():
                    writer.write(command)
                    await reader.read(512)
            finally:
                writer.close()
                with suppress(OSError):  # how the session ends does not matter
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
    return greeted
