"""Rules for the mailers of both sendmails: incoming hands all mail to delivery, and delivery hands none back.

From facts to findings; it looks at nothing itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from miltscan.core.address import is_loopback
from miltscan.core.finding import Finding, error, ok
from miltscan.sandwich.cf import CfFile, Mailer

HANDING = ("local", "smtp", "esmtp", "smtp8", "dsmtp", "relay")
"""The mailers through which mail leaves a sendmail; none of these names stands for the others."""


@dataclass(frozen=True, slots=True)
class Tcp:
    """A connection to this host and port; of a host without brackets sendmail asks the MX first."""

    host: str
    port: str

    @property
    def local(self) -> bool:
        """Whether it stays on this host."""
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class Program:
    """A sendmail started for each message (`sendmail -bs -C delivery.cf`), and the file it reads."""

    configuration: str


Handoff = Tcp | Program | None
"""Where a mailer brings mail; None: to a program or a mailbox of the host."""


def handoff_of(mailer: Mailer) -> Handoff:
    """Where this mailer brings mail; `$h`, the recipient's own host, stands there as it is."""
    first, *rest = mailer.arguments or ("",)
    if mailer.speaks_smtp and rest:
        return Tcp(rest[0], rest[1] if len(rest) > 1 else "25")
    if PurePath(mailer.program).name == PurePath(first).name == "sendmail" and "-bs" in rest:
        return Program(_configuration(rest))
    return None


def _configuration(arguments: list[str]) -> str:
    """What -C names, with or without a blank after it."""
    for here, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if here.startswith("-C"):
            return here[2:] or following
    return ""


def handoffs(conf: CfFile) -> dict[str, Handoff]:
    """Where each of the mailers that are there brings mail."""
    return {name: handoff_of(conf.mailers[name]) for name in HANDING if name in conf.mailers}


def target(conf: CfFile) -> Handoff:
    """Where most mailers bring mail: the delivery sendmail as incoming knows it."""
    found = [one for one in handoffs(conf).values() if one and not (isinstance(one, Tcp) and "$" in one.host)]
    return max(found, key=found.count, default=None)


def incoming_findings(conf: CfFile, delivery_ports: set[int], delivery_file: str) -> Iterator[Finding]:
    """Every mailer leads to the delivery sendmail. Its ports are an empty set where it is on another host."""
    for name in HANDING:
        subject = f"incoming.cf M{name}"
        if name not in conf.mailers:
            yield error(subject, "there is no such mailer", "MAILER(`smtp') and MAILER(`local') define them")
            continue
        mailer = conf.mailers[name]
        wrong = [*_destination(subject, mailer, delivery_ports, delivery_file), *_flags(subject, mailer)]
        yield from wrong or [ok(subject, f"A={' '.join(mailer.arguments)} F={mailer.flags}")]


def _destination(subject: str, mailer: Mailer, ports: set[int], file: str) -> Iterator[Finding]:
    shown = f"P={mailer.program}, A={' '.join(mailer.arguments)}"
    macro = mailer.name.upper()
    match handoff_of(mailer):
        case None:
            remedy = "P=[IPC], A=TCP [127.0.0.1] 19000"
            yield error(subject, f"{shown}: delivers by itself, past the delivery sendmail", remedy)
        case Tcp(host) if "$" in host:
            text = f"{shown}: sends to the recipient's host, past the delivery sendmail"
            yield error(subject, text, f"define(`{macro}_MAILER_ARGS', `TCP [127.0.0.1] 19000')")
        case Tcp(_, port) if ports and (not port.isdigit() or int(port) not in ports):
            wanted = min(ports)
            text = f"{shown}: port {port}, but the delivery sendmail listens on {wanted}"
            yield error(subject, text, f"define(`{macro}_MAILER_ARGS', `TCP [127.0.0.1] {wanted}')")
        case Program(named) if named != file:
            yield error(subject, f"{shown}: reads {named or 'its default file'}", f"-C{file}")


def _flags(subject: str, mailer: Mailer) -> Iterator[Finding]:
    """Flag k: both sendmails have the same name; f: an SMTP connection takes no -f argument."""
    macro = mailer.name.upper()
    if "k" not in mailer.flags:
        text = f"F={mailer.flags} has no k: the two sendmails have the same name, mail loops back to itself"
        yield error(subject, text, f"MODIFY_MAILER_FLAGS(`{macro}', `+k')")
    if mailer.name == "local" and "f" in mailer.flags and mailer.speaks_smtp:
        text = f"F={mailer.flags} has f: an SMTP connection cannot take an argument -f"
        yield error(subject, text, "set LOCAL's flags whole, as incoming.mc does")


def delivery_mailer_findings(conf: CfFile, incoming_ports: set[int]) -> Iterator[Finding]:
    """No mailer leads back to a sendmail of this host, and each that speaks SMTP has flag k."""
    own = {daemon.port for daemon in conf.daemons}
    for name, where in handoffs(conf).items():
        mailer, subject = conf.mailers[name], f"delivery.cf M{name}"
        wrong = [*_flags(subject, mailer)] if mailer.speaks_smtp else []
        if isinstance(where, Tcp) and where.local and where.port.isdigit() and int(where.port) in own | incoming_ports:
            text = f"A={' '.join(mailer.arguments)}: hands mail back to a sendmail of this host: a loop"
            wrong.append(error(subject, text, "let it deliver to a mailbox, the Internet or a smart host"))
        yield from wrong or [ok(subject, f"A={' '.join(mailer.arguments)} F={mailer.flags}")]
