"""A tiny real libmilter filter for the tests of the fake MTA; it scans nothing.

    python scripted_filter.py SOCKET [noreply] [lists]

What it does follows from the message's first recipient, and every callback is one line on stdout, so that a test can
see what libmilter made of the bytes it was sent. `noreply` asks for no reply before EOM and for no HELO; `lists` asks
for {msg_id} and `i` as the only macros of EOM.
"""

import os
import sys
from typing import Any

import milter

Context = Any  # pymilter has no types
NAME = "scripted"  # pymilter keeps the pointer
NO_REPLY = 0x0FF080  # SMFIP_NR_* of every step
NO_HELO, LEADING_SPACE = 0x000002, 0x100000
SET_MACROS = 0x100


def say(*words: object) -> int:
    """Report a callback and let the session go on."""
    os.write(1, " ".join(map(str, words)).encode() + b"\n")  # in one piece: sessions have threads of their own
    return int(milter.CONTINUE)


def on_mail(ctx: Context, *words: bytes) -> int:
    """Remember nothing of the last transaction."""
    ctx.setpriv(b"")
    return say("mail", *words, "i", ctx.getsymval("i"), "auth", ctx.getsymval("{auth_type}"))


def on_rcpt(ctx: Context, *words: bytes) -> int:
    """Take the first recipient as the order for EOM; refuse one kind at once."""
    ctx.setpriv(ctx.getpriv() or words[0].strip(b"<>").split(b"@")[0])
    say("rcpt", *words)
    return int(milter.REJECT if words[0].startswith(b"<refused") else milter.CONTINUE)


def on_eom(ctx: Context) -> int:
    """Do what the first recipient's name requests."""
    say("eom", "i", ctx.getsymval("i"), "msg_id", ctx.getsymval("{msg_id}"))
    match ctx.getpriv():
        case b"reject":
            ctx.setreply("550", "5.7.1", "found something")
            return int(milter.REJECT)
        case b"slow":
            for _ in range(3):
                ctx.progress()
        case b"edit":
            ctx.addheader("X-Top", "inserted", 0)
            ctx.addheader("X-End", "added")
            ctx.chgheader("X-Forged", 1, None)
            ctx.quarantine("held for a look")
        case b"tempfail":
            return int(milter.TEMPFAIL)
        case b"discard":
            return int(milter.DISCARD)
    return int(milter.CONTINUE)


def negotiate(ctx: Context, options: list[int]) -> int:
    """Say what the MTA offered, and take what the command line asks for."""
    say("offer", f"{options[0]:x}", f"{options[1]:x}")
    if "lists" in sys.argv:
        options[0] |= SET_MACROS
        ctx.setsymlist(milter.M_EOM, "{msg_id} i")
    options[1] = NO_REPLY | NO_HELO if "noreply" in sys.argv else LEADING_SPACE
    options[2] = options[3] = 0
    return int(milter.CONTINUE)


def main() -> None:
    """Register the callbacks and serve until the signal."""
    milter.set_flags(milter.ADDHDRS | milter.CHGHDRS | milter.QUARANTINE | SET_MACROS)
    milter.set_connect_callback(lambda ctx, *words: say("connect", words, "j", ctx.getsymval("j")))
    milter.set_helo_callback(lambda _ctx, name: say("helo", name))
    milter.set_envfrom_callback(on_mail)
    milter.set_envrcpt_callback(on_rcpt)
    milter.set_header_callback(lambda _ctx, name, value: say("header", name, value))
    milter.set_eoh_callback(lambda _ctx: say("eoh"))
    milter.set_body_callback(lambda _ctx, chunk: say("body", len(chunk)))
    milter.set_eom_callback(on_eom)
    milter.set_abort_callback(lambda _ctx: say("abort"))
    milter.set_close_callback(lambda _ctx: say("close"))
    milter.register(
        NAME,
        unknown=lambda _ctx, line: say("unknown", line),
        data=lambda _ctx: say("data"),
        negotiate=negotiate,
    )
    milter.setconn(sys.argv[1])
    milter.opensocket(True)  # noqa: FBT003  pymilter takes it by position
    say("ready")
    milter.main()


if __name__ == "__main__":
    main()
