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


def hosts_line() -> str:
    """A line for a private copy of /etc/hosts that cures it; it has to stand first."""
    own = socket.gethostname()
    name = dotted_name() or f"{own}.example.test"
    return f"127.0.1.1 {name} {own}\n"


def advice() -> str | None:
    """What to tell the user about the host's name; None when all is well."""
    if dotted_name():
        return None
    cure = hosts_line().strip()
    return f"this host's name has no dot, at which sendmail sleeps 60 s at each start; cure: {cure!r} in /etc/hosts"
