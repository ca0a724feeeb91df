"""`miltscan doctor`: walks the way of a message, from the host below to the delivery sendmail, and says what is wrong.

It puts the parts together and decides nothing; it changes nothing but, when asked to, by two messages that it sends.
"""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from miltscan.config.settings import Settings
from miltscan.core.address import Address, UnixAddress, is_loopback
from miltscan.core.finding import Finding, error, ok
from miltscan.doctor import check, daemon_rules, filter_rules, host, mailer_rules, ports, rights, running, scanner, send
from miltscan.doctor.clamd_access import access_findings
from miltscan.doctor.key_access import key_findings
from miltscan.doctor.mailer_rules import Program, Tcp
from miltscan.doctor.programs import listens
from miltscan.sandwich.cf import CfFile, parse_cf

INCOMING_FILES = (Path("/etc/mail/incoming.cf"), Path("/etc/mail/sendmail.cf"))
DELIVERY_FILE = Path("/etc/mail/delivery.cf")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the way, and what was found there."""

    title: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class DoctorOptions:
    """What to look at: both .cf files, and, if two messages are to be sent, to whom, and the log to follow them in."""

    incoming: Path
    delivery: Path
    recipient: str | None = None
    log: Path | None = None


def first_incoming() -> Path:
    """The .cf file of incoming where none is named."""
    return next((file for file in INCOMING_FILES if file.exists()), INCOMING_FILES[0])


def examine(settings: Settings, errand: DoctorOptions) -> Iterator[Step]:
    """All steps, one after the other; the last one sends."""
    incoming, delivery = _read(errand.incoming), _read(errand.delivery)
    here = [conf for conf in (incoming, delivery) if isinstance(conf, CfFile)]
    yield _step("host", _host([daemon.port for conf in here for daemon in conf.daemons]))
    yield _step("incoming sendmail", _incoming(incoming, errand, settings))
    yield _step("miltscan", [*_miltscan(incoming, settings), *key_findings(settings)])
    yield _step("clamd and miltscan's folders", _scanning(incoming, settings))
    yield _step("delivery sendmail", _delivery(incoming, delivery, errand, settings))
    if isinstance(incoming, CfFile) and isinstance(delivery, CfFile):
        yield _step("both sendmails", _both(incoming, delivery))
    if errand.recipient is not None and isinstance(incoming, CfFile):
        plain = next((one for one in incoming.daemons if not one.tls), incoming.daemons[0])
        place = (plain.host, plain.port)
        found = send.send_findings(place, errand.recipient, settings.policy.on_infected, errand.log)
        yield _step(f"two messages through {place[0]}:{place[1]}", found)


def _step(title: str, findings: Iterable[Finding]) -> Step:
    return Step(title, tuple(findings))


def _read(file: Path) -> CfFile | OSError:
    try:
        return parse_cf(file.read_text(errors="replace"))
    except OSError as problem:
        return problem


def _host(all_ports: list[int]) -> Iterator[Finding]:
    yield host.user_finding(os.geteuid())
    yield from host.name_findings()
    yield from host.selinux_findings(all_ports, [port for port in all_ports if not listens(port)])


def _incoming(conf: CfFile | OSError, errand: DoctorOptions, settings: Settings) -> Iterator[Finding]:
    if isinstance(conf, OSError):
        yield error("incoming.cf", f"{errand.incoming}: {conf.strerror}", "name it: --incoming FILE")
        return
    yield from daemon_rules.daemon_findings("incoming.cf", conf)
    ours = settings.milter.socket
    proxies = scanner.proxied(conf, ours)
    yield from filter_rules.filter_findings("incoming.cf", conf, ours, settings.limits, proxies)
    delivery = _read(errand.delivery)
    wanted = {one.port for one in delivery.daemons} if isinstance(delivery, CfFile) else set()
    yield from mailer_rules.incoming_findings(conf, wanted, str(errand.delivery))
    yield from _sendmail("incoming", errand.incoming, conf, settings, daemon=True)


def _sendmail(name: str, file: Path, conf: CfFile, settings: Settings, *, daemon: bool) -> Iterator[Finding]:
    """What the running sendmail of this file shows; one that is no daemon is started for each message."""
    pid_file, queue = conf.options["pidfile"], conf.options["queuedirectory"]
    for one in conf.daemons if daemon else ():
        yield from ports.smtp_findings(f"{name} port {one.port}", one)
    if daemon or Path(pid_file).exists():  # the pid file of a queue runner may be another one
        yield from running.running_findings(name, file, pid_file, conf.daemons[0].port if daemon else None)
    yield from running.queue_run_findings(name, pid_file, queue)
    who = rights.identity(conf.options["runasuser"])
    if who is None:
        text = f"{conf.options['runasuser']}: no such user or group"
        yield error(f"{name} RunAsUser", text, "create it, or name another one")
    else:
        yield from rights.queue_folder_findings(name, queue, who)
    yield from running.waiting_findings(name, queue, time.time())
    for folder in rights.queue_folders(queue)[:1]:
        yield from host.room_findings(f"{name} queue {folder}", folder, settings.limits.message_size)


def _miltscan(conf: CfFile | OSError, settings: Settings) -> Iterator[Finding]:
    """The sockets that incoming asks, as their listeners and as sendmail's user see them."""
    others = [] if isinstance(conf, OSError) else scanner.elsewhere(conf, settings.milter.socket)
    for address in others:
        yield from scanner.scanner_findings(address)
        yield from _rights(conf, address)
    if _is_elsewhere(conf, settings):
        yield ok("miltscan", "not on this host: run miltscan doctor on the scanners, too")
    else:
        yield from ports.milter_findings(settings.milter.socket)
        yield from _rights(conf, settings.milter.socket)


def _verify(conf: CfFile, socket: Address | None) -> Iterator[Finding]:
    if socket is not None:
        yield from ports.milter_findings(socket)
        yield from _rights(conf, socket)


def _rights(conf: CfFile | OSError, socket: Address) -> Iterator[Finding]:
    if isinstance(conf, OSError) or not isinstance(socket, UnixAddress):
        return
    who = rights.identity(conf.options["runasuser"])
    if who is not None:
        yield from rights.socket_findings(Path(socket.path), who, conf.options["dontblamesendmail"])


def _is_elsewhere(conf: CfFile | OSError, settings: Settings) -> bool:
    """Whether mail is scanned on other hosts alone."""
    if isinstance(conf, OSError) or ports.anybody(settings.milter.socket):
        return False
    return bool(scanner.elsewhere(conf, settings.milter.socket))


def _scanning(conf: CfFile | OSError, settings: Settings) -> Iterator[Finding]:
    if _is_elsewhere(conf, settings):
        yield ok("clamd", "not on this host")
    else:
        yield from [*check.check_findings(settings), *access_findings(settings)]


def _delivery(
    incoming: CfFile | OSError, conf: CfFile | OSError, errand: DoctorOptions, settings: Settings
) -> Iterator[Finding]:
    where = mailer_rules.target(incoming) if isinstance(incoming, CfFile) else None
    if isinstance(conf, OSError):
        yield from _elsewhere(where, errand.delivery, conf)
        return
    yield from daemon_rules.daemon_findings("delivery.cf", conf)
    yield from daemon_rules.delivery_daemon_findings(conf)
    yield from filter_rules.delivery_filter_findings(conf, settings)
    yield from _verify(conf, settings.verify.socket)
    back = {one.port for one in incoming.daemons} if isinstance(incoming, CfFile) else set()
    yield from mailer_rules.delivery_mailer_findings(conf, back)
    yield from _sendmail("delivery", errand.delivery, conf, settings, daemon=not isinstance(where, Program))


def _elsewhere(where: mailer_rules.Handoff, file: Path, problem: OSError) -> Iterator[Finding]:
    """A delivery sendmail whose file is not here: on another host, by what incoming says, or lost."""
    if isinstance(where, Tcp) and where.port.isdigit() and not is_loopback(where.host):
        yield ok("delivery.cf", f"on {where.host}: run miltscan doctor there, too")
        yield ports.greeting_finding(f"delivery {where.host}", where.host.strip("[]"), int(where.port))
    else:
        yield error("delivery.cf", f"{file}: {problem.strerror}", "name it: --delivery FILE")


def _both(incoming: CfFile, delivery: CfFile) -> Iterator[Finding]:
    yield from daemon_rules.shared_findings(incoming, delivery)
    folders = [rights.queue_folders(conf.options["queuedirectory"])[:1] for conf in (incoming, delivery)]
    if all(folders):
        yield from rights.alike(folders[0][0], folders[1][0])
