"""Whether sendmail finds a name with a dot for this host; without one each of its starts sleeps for 60 seconds."""

import socket


def dotted_name() -> str | None:
    """The name sendmail will find: the host's own, its canonical name or an alias, if one has a dot.

    Asked as sendmail asks (gethostbyname, before it reads any configuration), so no setting in its .cf can help.
    """
    own = socket.gethostname()
    try:
        canonical, aliases, _ = socket.gethostbyname_ex(own)
    except OSError:
        canonical, aliases = own, []
    return next((name for name in (own, canonical, *aliases) if "." in name), None)


def advice() -> str | None:
    """A note for the user about the host's name; None where the name has a dot."""
    own = socket.gethostname()
    if dotted_name():
        return None
    problem = f"this host's name {own!r} has no dot, at which an installed sendmail sleeps 60 s at each start"
    return f"{problem}; /etc/hosts needs a line such as '127.0.1.1 {own}.example.org {own}'"
