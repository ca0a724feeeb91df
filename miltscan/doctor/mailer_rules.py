"""Rules for the mailers of both sendmails: incoming hands all mail to delivery, and delivery hands none back.

From the facts of the .cf files to findings; it looks at nothing itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from miltscan.core.address import is_loopback
from miltscan.core.arguments import option_value
from miltscan.core.finding import Finding, error, ok
from miltscan.sandwich.cf import CfFile, Mailer

MAILERS = ("local", "smtp", "esmtp", "smtp8", "dsmtp", "relay")
"""The mailers through which mail leaves a sendmail; none of these names stands for the others."""


@dataclass(frozen=True, slots=True)
class Tcp:
    """A connection to this host and port; sendmail looks up the MX of a host without brackets."""

    host: str
    port: str

    @property
    def local(self) -> bool:
        """Whether it stays on this host."""
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class Program:
    """A sendmail started for each message (`sendmail -bs -C delivery.cf`), and the file that it reads."""

    configuration: str


Handoff = Tcp | Program | None
"""Where a mailer brings mail; None for another program or a mailbox of this host."""


def handoff_of(mailer: Mailer) -> Handoff:
    """Where this mailer brings mail; `$h`, the recipient's own host, stays as it is written."""
    first, *rest = mailer.arguments or ("",)
    if mailer.speaks_smtp and rest:
        return Tcp(rest[0], rest[1] if len(rest) > 1 else "25")
    if PurePath(mailer.program).name == PurePath(first).name == "sendmail" and "-bs" in rest:
        return Program(option_value(rest, "-C"))
    return None


def handoffs(conf: CfFile) -> dict[str, Handoff]:
    """Where each of the mailers brings mail; missing mailers are left out."""
    return {name: handoff_of(conf.mailers[name]) for name in MAILERS if name in conf.mailers}


def target(conf: CfFile) -> Handoff:
    """Where most mailers bring mail: the delivery sendmail as incoming knows it."""
    found = [one for one in handoffs(conf).values() if one and not (isinstance(one, Tcp) and "$" in one.host)]
    return max(found, key=found.count, default=None)


def incoming_findings(file: str, conf: CfFile, delivery_ports: set[int], delivery_file: str) -> Iterator[Finding]:
    """Every mailer must lead to the delivery sendmail; `delivery_ports` is empty if that runs on another host."""
    for name in MAILERS:
        subject = f"{file} M{name}"
        if name not in conf.mailers:
            yield error(subject, "this mailer does not exist", "define it by MAILER(`smtp') and MAILER(`local')")
            continue
        mailer = conf.mailers[name]
        wrong = [*_destination(subject, mailer, delivery_ports, delivery_file), *_flags(subject, mailer)]
        yield from wrong or [ok(subject, f"A={' '.join(mailer.arguments)} F={mailer.flags}")]


def _destination(subject: str, mailer: Mailer, ports: set[int], file: str) -> Iterator[Finding]:
    shown = f"P={mailer.program}, A={' '.join(mailer.arguments)}"
    macro = f"{mailer.name.upper()}_MAILER_ARGS"
    match handoff_of(mailer):
        case None:
            text = f"{shown}: delivers by itself and bypasses the delivery sendmail"
            yield error(subject, text, "set P=[IPC], A=TCP [127.0.0.1] 19000")
        case Tcp(host) if "$" in host:
            text = f"{shown}: sends to the recipient's host and bypasses the delivery sendmail"
            yield error(subject, text, f"add define(`{macro}', `TCP [127.0.0.1] 19000')")
        case Tcp(_, port) if ports and (not port.isdigit() or int(port) not in ports):
            expected = min(ports)
            text = f"{shown}: port {port}, but the delivery sendmail listens on {expected}"
            yield error(subject, text, f"add define(`{macro}', `TCP [127.0.0.1] {expected}')")
        case Program(named) if named != file:
            yield error(subject, f"{shown}: reads {named or 'its default file'}", f"set -C{file}")


def _flags(subject: str, mailer: Mailer) -> Iterator[Finding]:
    """Flag k is needed as both sendmails have the same name; with f, sendmail adds an argument -f, which TCP lacks."""
    if "k" not in mailer.flags:
        text = f"F={mailer.flags} has no k: the two sendmails have the same name, and sendmail reports a mail loop"
        yield error(subject, text, f"add MODIFY_MAILER_FLAGS(`{mailer.name.upper()}', `+k')")
    if mailer.name == "local" and "f" in mailer.flags and mailer.speaks_smtp:
        text = f"F={mailer.flags} has f: an SMTP connection cannot take an argument -f"
        yield error(subject, text, "set all flags of LOCAL, as incoming.mc does")


def delivery_mailer_findings(file: str, conf: CfFile, incoming_ports: set[int]) -> Iterator[Finding]:
    """No mailer may lead back to a sendmail of this host, and each that speaks SMTP needs flag k."""
    own = {daemon.port for daemon in conf.daemons} | incoming_ports
    for name, handoff in handoffs(conf).items():
        mailer, subject = conf.mailers[name], f"{file} M{name}"
        wrong = [*_flags(subject, mailer)] if mailer.speaks_smtp else []
        if isinstance(handoff, Tcp) and handoff.local and handoff.port.isdigit() and int(handoff.port) in own:
            text = f"A={' '.join(mailer.arguments)}: hands mail back to a sendmail of this host: a loop"
            wrong.append(error(subject, text, "deliver to a mailbox, the Internet or a smart host"))
        yield from wrong or [ok(subject, f"A={' '.join(mailer.arguments)} F={mailer.flags}")]
