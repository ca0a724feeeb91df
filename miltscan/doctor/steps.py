"""`miltscan doctor`: follows the path of a message, from the host to the delivery sendmail, in steps of findings.

This module only puts the parts together. It changes nothing; on request the last step sends two messages.
"""

import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from miltscan.config.settings import Settings
from miltscan.core.address import Address, UnixAddress, is_loopback
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.doctor import (
    check,
    daemon_rules,
    filter_rules,
    host,
    listener_rules,
    load_rules,
    mailer_rules,
    ports,
    rights,
    running,
    scanner,
    send,
)
from miltscan.doctor.clamd_access import access_findings
from miltscan.doctor.expected import expectation
from miltscan.doctor.postfix import postfix_finding
from miltscan.doctor.topics import (
    NO_MILTSCAN,
    PLAIN_SENDMAIL,
    denied,
    no_engine,
    no_file,
    no_sendmail,
    no_start,
    refuses,
)
from miltscan.errors import MiltscanError
from miltscan.processes.listening import listens
from miltscan.sandwich.cf import CfFile, parse_cf

INCOMING_FILES = (Path("/etc/mail/incoming.cf"), Path("/etc/mail/sendmail.cf"))
_BUILD = "build both: make -C sendmail OUT=/etc/mail MC=/etc/mail/sendmail.mc (sendmail/README.md)"
DELIVERY_FILE = Path("/etc/mail/delivery.cf")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the path and its findings; `rank` is its place in the order of repair."""

    title: str
    findings: tuple[Finding, ...]
    rank: int = 0


_RANKS = {"host": 0, "engines and folders": 1, "delivery sendmail": 2, "miltscan": 3, "incoming sendmail": 4}
"""The order of repair is that of a start: each part before those that need it. What both sendmails share comes last."""
_LAST = 5


@dataclass(frozen=True, slots=True)
class DoctorOptions:
    """Both .cf files; and, if two messages are to be sent, their recipient and the log in which to follow them.

    `configuration` is the file of the settings, None for the default one.
    """

    incoming: Path
    delivery: Path
    recipient: str | None = None
    log: Path | None = None
    configuration: Path | None = None


def first_incoming() -> Path:
    """The .cf file of incoming if the administrator names none."""
    return next((file for file in INCOMING_FILES if file.exists()), INCOMING_FILES[0])


def examine(settings: Settings, options: DoctorOptions) -> Iterator[Step]:
    """All steps in order, each as soon as it is done; the last one sends the messages."""
    postfix = postfix_finding(options.incoming)
    steps = _milter_side(settings, options, postfix) if postfix else _steps(settings, options)
    return (replace(step, rank=_RANKS.get(step.title, _LAST)) for step in steps)


def _milter_side(settings: Settings, options: DoctorOptions, postfix: Finding) -> Iterator[Step]:
    """The steps on a host without sendmail: the milter socket, the engines and the folders."""
    user, read = host.user_finding(os.geteuid()), check.file_finding(options.configuration)
    yield Step("host", (user, read, postfix))
    yield Step("miltscan", (*ports.milter_findings(settings.milter.socket), *rights.key_findings(settings)))
    found = check.check_findings(settings, configuration=options.configuration)
    yield Step("engines and folders", (*found, *access_findings(settings)))
    if options.recipient is not None:
        text = "only sendmail is supported: no message is sent"
        yield Step("two messages", (warning("--send", text, "send a message with swaks: docs/postfix.md"),))


def _steps(settings: Settings, options: DoctorOptions) -> Iterator[Step]:
    incoming, delivery = _read(options.incoming), _read(options.delivery)
    files = [conf for conf in (incoming, delivery) if isinstance(conf, CfFile)]
    all_ports = [daemon.port for conf in files for daemon in conf.daemons]
    silent = [port for port in all_ports if not listens(port)]
    user, selinux = host.user_finding(os.geteuid()), host.selinux_findings(all_ports, silent)
    read = check.file_finding(options.configuration)
    yield Step("host", (user, read, *host.name_findings(), *selinux))
    yield Step("incoming sendmail", tuple(_incoming(incoming, delivery, options, settings)))
    remote = []  # the scanners, if mail is only scanned on other hosts
    if isinstance(incoming, CfFile) and not ports.has_listener(settings.milter.socket):
        remote = scanner.remote_scanners(incoming, settings.milter.socket)
    yield Step("miltscan", (*_miltscan(incoming, settings, only_remote=bool(remote)), *rights.key_findings(settings)))
    if remote:
        yield Step("engines and folders", (ok("engines", "not on this host"),))
    else:
        found = check.check_findings(settings, configuration=options.configuration)
        yield Step("engines and folders", (*found, *access_findings(settings)))
    yield Step("delivery sendmail", tuple(_delivery(incoming, delivery, options, settings)))
    if isinstance(incoming, CfFile) and isinstance(delivery, CfFile):
        yield Step("both sendmails", tuple(_both(incoming, delivery)))
    if options.recipient is not None and isinstance(incoming, CfFile):
        plain = next((one for one in incoming.daemons if not one.tls), incoming.daemons[0])
        server = (plain.host, plain.port)
        route = send.Route(server, options.recipient, options.log, options.incoming, options.delivery)
        engines = [no_engine(f"{engine.name} {one}") for engine in settings.engines for one in engine.servers]
        causes = (no_sendmail("incoming"), NO_MILTSCAN, *engines)
        title = f"two messages through {server[0]}:{server[1]}"
        try:
            expects = expectation(settings, options.recipient)
        except MiltscanError as problem:
            yield Step(title, (error("rules", str(problem), "see the findings about rules above"),))
            return
        yield Step(title, tuple(send.send_findings(route, expects, causes)))


def _read(file: Path) -> CfFile | OSError:
    try:
        return parse_cf(file.read_text(errors="replace"))
    except OSError as problem:
        return problem


def _incoming(
    conf: CfFile | OSError, delivery: CfFile | OSError, options: DoctorOptions, settings: Settings
) -> Iterator[Finding]:
    if isinstance(conf, OSError):
        gone = error("incoming.cf", f"{options.incoming}: {conf.strerror}", f"{_BUILD}, or name it: --incoming FILE")
        yield gone.named(no_file("incoming")).because(*denied(conf))
        return
    ours, file = settings.milter.socket, str(options.incoming)
    proxies = scanner.proxied(conf, ours)
    if is_plain(conf, ours, proxies):
        text = "this is not an incoming sendmail: it neither asks miltscan nor hands mail over to a delivery sendmail"
        yield error(file, text, f"{_BUILD}, or name the file of incoming: --incoming FILE").named(PLAIN_SENDMAIL)
    expected = {one.port for one in delivery.daemons} if isinstance(delivery, CfFile) else set()
    rules = (
        daemon_rules.daemon_findings(file, conf),
        _listeners(conf, options, settings),
        filter_rules.filter_findings(file, conf, ours, settings.limits, proxies),
        mailer_rules.incoming_findings(file, conf, expected, str(options.delivery)),
    )
    found = chain(*rules, _sendmail("incoming", options.incoming, conf, settings, daemon=True))
    yield from (one.because(PLAIN_SENDMAIL) for one in found)


def _listeners(conf: CfFile, options: DoctorOptions, settings: Settings) -> Iterator[Finding]:
    """Where incoming listens, and the SIZE that it announces."""
    file, former = str(options.incoming), options.incoming.with_name("sendmail.cf")
    yield from listener_rules.family_findings(file, conf, has_ipv6=host.has_ipv6(), ipv6_only=host.ipv6_only())
    if former != options.incoming and isinstance(replaced := _read(former), CfFile):
        yield from listener_rules.lost_listener_findings(file, conf, replaced, str(former))
    yield listener_rules.size_finding(file, conf, settings)


def is_plain(conf: CfFile, ours: Address, proxies: Collection[Address]) -> bool:
    """Whether this is not an incoming side at all, such as the distribution's own sendmail."""
    asks = any(filter_rules.reaches(one, ours, proxies) for one in conf.filters.values())
    return not asks and mailer_rules.target(conf) is None


def _sendmail(name: str, file: Path, conf: CfFile, settings: Settings, *, daemon: bool) -> Iterator[Finding]:
    """The running sendmail of this file and its queue; `daemon` is false for one that is started for each message."""
    pid_file, queue, run_as = (conf.options[option] for option in ("pidfile", "queuedirectory", "runasuser"))
    if daemon:  # a daemon that refuses connections looks like one that does not run
        yield from load_rules.load_findings(name, conf, os.getloadavg()[0], os.cpu_count() or 1)
        yield from load_rules.title_findings(name, running.title_of(pid_file))
    for number, one in enumerate(conf.daemons if daemon else ()):
        # a second port may be missing alone; if the first one is missing, so is the second
        topic = f"{no_sendmail(name)} on port {one.port}" if number else no_sendmail(name)
        found = [fact.because(refuses(name)) for fact in ports.smtp_findings(f"{name} port {one.port}", one, topic)]
        causes = (no_start(str(file)), *([no_sendmail(name)] if number else []))
        yield from (one.because(*causes) for one in found)
    if daemon or Path(pid_file).exists():  # the pid file of a queue runner may be another one
        yield from running.running_findings(name, file, pid_file, conf.daemons[0].port if daemon else None)
    yield from running.queue_run_findings(name, pid_file, queue)
    user = rights.identity(run_as)
    if user is None:
        yield error(f"{name} RunAsUser", f"{run_as}: no such user or group", "create it, or name another one")
    else:
        yield from rights.queue_folder_findings(name, queue, user)
    yield from running.waiting_findings(name, queue, time.time(), settings.thresholds.queue_age[name])
    for folder in rights.queue_folders(queue)[:1]:
        yield from host.queue_room_findings(f"{name} queue {folder}", folder, settings.limits.message_size)


def _miltscan(conf: CfFile | OSError, settings: Settings, *, only_remote: bool) -> Iterator[Finding]:
    """The sockets that incoming asks, by who listens and by the rights of sendmail's user."""
    for address in scanner.remote_scanners(conf, settings.milter.socket) if isinstance(conf, CfFile) else []:
        yield from scanner.scanner_findings(address)
        yield from _socket_rights(conf, address)
    if only_remote:
        yield ok("miltscan", "not on this host: run miltscan doctor on the scanners, too")
    else:
        yield from ports.milter_findings(settings.milter.socket)
        yield from _socket_rights(conf, settings.milter.socket)


def _socket_rights(conf: CfFile | OSError, socket: Address) -> Iterator[Finding]:
    if isinstance(conf, CfFile) and isinstance(socket, UnixAddress):
        user = rights.identity(conf.options["runasuser"])
        if user is not None:
            yield from rights.socket_findings(Path(socket.path), user, conf.options["dontblamesendmail"])


def _delivery(
    incoming: CfFile | OSError, conf: CfFile | OSError, options: DoctorOptions, settings: Settings
) -> Iterator[Finding]:
    target = mailer_rules.target(incoming) if isinstance(incoming, CfFile) else None
    if isinstance(conf, OSError):
        if isinstance(target, mailer_rules.Tcp) and target.port.isdigit() and not is_loopback(target.host):
            yield ok("delivery.cf", f"on {target.host}: run miltscan doctor there, too")
            host_name = target.host.strip("[]")
            found = ports.greeting_finding(f"delivery {target.host}", host_name, int(target.port))
            yield found.named(no_sendmail("delivery"))
        else:
            found = error(
                "delivery.cf", f"{options.delivery}: {conf.strerror}", f"{_BUILD}, or name it: --delivery FILE"
            )
            yield found.named(no_file("delivery")).because(*denied(conf), no_file("incoming"), PLAIN_SENDMAIL)
        return
    file = str(options.delivery)
    yield from daemon_rules.daemon_findings(file, conf)
    yield from daemon_rules.delivery_daemon_findings(file, conf)
    yield from filter_rules.delivery_filter_findings(file, conf, settings)
    if settings.verify.socket is not None:
        yield from ports.milter_findings(settings.verify.socket)
        yield from _socket_rights(conf, settings.verify.socket)
    incoming_ports = {one.port for one in incoming.daemons} if isinstance(incoming, CfFile) else set()
    yield from mailer_rules.delivery_mailer_findings(file, conf, incoming_ports)
    daemon = not isinstance(target, mailer_rules.Program)
    yield from _sendmail("delivery", options.delivery, conf, settings, daemon=daemon)


def _both(incoming: CfFile, delivery: CfFile) -> Iterator[Finding]:
    yield from daemon_rules.shared_findings(incoming, delivery)
    yield from load_rules.handover_findings(incoming, delivery, os.cpu_count() or 1)
    folders = [rights.queue_folders(conf.options["queuedirectory"])[:1] for conf in (incoming, delivery)]
    if all(folders):
        yield from rights.same_rights_findings(folders[0][0], folders[1][0])
