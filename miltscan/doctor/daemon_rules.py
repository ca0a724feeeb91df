"""Rules for the two sendmails as daemons: where they listen, how safe their queues are, and what they must not share.

From the facts of the .cf files to findings; it looks at nothing itself.
"""

import fnmatch
from collections.abc import Iterator

from miltscan.core.address import is_loopback
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.doctor.topics import SHARED_PID_FILE
from miltscan.sandwich.cf import CfFile

_BURST = 100  # connections that wait at once; with sendmail's own backlog of 10 clients hang: docs/tuning.md


def daemon_findings(file: str, conf: CfFile) -> Iterator[Finding]:
    """The rules for each of the two: room for a burst of connections, and a queue that survives a crash."""
    for daemon in conf.daemons:
        subject = f"{file} daemon {daemon.name}"
        if daemon.backlog < _BURST:
            text = f"Listen={daemon.backlog}: in a burst clients wait minutes for a greeting"
            yield error(subject, text, "set Listen=511 in DAEMON_OPTIONS")
        else:
            yield ok(subject, f"port {daemon.port}, Listen={daemon.backlog}")
    # Without SuperSafe sendmail replies 250 before the message is safe on disk (Operation Guide, option SuperSafe).
    # `interactive` is safe with interactive delivery: the message is on disk or delivered before the 250.
    value, mode = conf.options["supersafe"].lower(), conf.options["deliverymode"].lower()
    if value[:1] in {"t", "y"} or value == "postmilter" or value[:1] == mode[:1] == "i":
        yield ok(f"{file} SuperSafe", value)
    else:
        text = f"{value}: a crash loses mail that was accepted with 250"
        yield error(f"{file} SuperSafe", text, "set PostMilter at incoming, True at delivery")


def delivery_daemon_findings(file: str, conf: CfFile) -> Iterator[Finding]:
    """Only the incoming hosts may connect to it: every other client bypasses the scan.

    The class DeliveryFrom is the list of miltscan-delivery.m4; other clients receive 550.
    """
    admitted = conf.classes.get("DeliveryFrom", ())
    for daemon in conf.daemons:
        subject = f"{file} daemon {daemon.name}"
        if admitted:
            yield ok(subject, f"accepts only {', '.join(admitted)}")
        elif not is_loopback(daemon.address):
            text = f"listens on {daemon.address or 'all addresses'}: any client that connects bypasses the scan"
            remedy = "set Addr=127.0.0.1; if incoming runs on other hosts, name them in SITE_DELIVERY_FROM"
            yield warning(subject, text, remedy)


def shared_findings(incoming: CfFile, delivery: CfFile) -> Iterator[Finding]:
    """What the two must not have in common: queue, pid file, port."""
    queues = [conf.options["queuedirectory"].rstrip("/") for conf in (incoming, delivery)]
    if fnmatch.fnmatch(queues[0], queues[1]) or fnmatch.fnmatch(queues[1], queues[0]):
        text = f"{queues[0]} belongs to both: each sends the other's mail, unscanned or in a loop"
        yield error("queues", text, "set another QUEUE_DIR for delivery, such as /var/spool/mqueuedelivery")
    else:
        yield ok("queues", f"{queues[0]} and {queues[1]}")
    pid_files = [conf.options["pidfile"] for conf in (incoming, delivery)]
    if pid_files[0] == pid_files[1]:
        text = f"both write {pid_files[0]}: stopping one stops the other"
        yield error("pid files", text, "set another confPID_FILE for delivery").named(SHARED_PID_FILE)
    for port in sorted({one.port for one in incoming.daemons} & {one.port for one in delivery.daemons}):
        yield error("ports", f"both listen on port {port}: one of them cannot start", "add FEATURE(`no_default_msa')")
