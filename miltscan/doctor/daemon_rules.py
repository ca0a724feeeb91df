"""Rules for the two sendmails as daemons: where they listen, how safe their queues are, what they must not share.

From facts to findings; it looks at nothing itself.
"""

import fnmatch
from collections.abc import Iterator

from miltscan.core.address import is_loopback
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.sandwich.cf import CfFile, Daemon

_BURST = 100  # connections: with sendmail's backlog of 10 a burst hung clients for five minutes; 511 did not (measured)


def daemon_findings(file: str, conf: CfFile) -> Iterator[Finding]:
    """What holds for each of the two."""
    for daemon in conf.daemons:
        yield _backlog(f"{file} daemon {daemon.name}", daemon)
    yield _super_safe(file, conf.options["supersafe"].lower(), conf.options["deliverymode"].lower())


def _backlog(subject: str, daemon: Daemon) -> Finding:
    if daemon.backlog < _BURST:
        text = f"Listen={daemon.backlog}: a burst leaves clients waiting for a greeting for minutes"
        return error(subject, text, "Listen=511 in DAEMON_OPTIONS")
    return ok(subject, f"port {daemon.port}, Listen={daemon.backlog}")


def _super_safe(file: str, value: str, mode: str) -> Finding:
    """Without it 250 is said before the message is safe on disk (Operation Guide, option SuperSafe).

    `interactive` is safe where delivery is interactive, too: the message is on disk or delivered before the 250.
    """
    if value[:1] in {"t", "y"} or value == "postmilter" or value[:1] == mode[:1] == "i":
        return ok(f"{file} SuperSafe", value)
    text = f"{value}: a crash loses mail that a client was told is accepted"
    return error(f"{file} SuperSafe", text, "PostMilter at incoming, True at delivery")


def delivery_daemon_findings(conf: CfFile) -> Iterator[Finding]:
    """Only the incoming hosts talk to it: who reaches it otherwise gets around the scan.

    The class DeliveryFrom is the list of miltscan-delivery.m4: other clients hear 550.
    """
    admitted = conf.classes.get("DeliveryFrom", ())
    for daemon in conf.daemons:
        if admitted:
            yield ok(f"delivery.cf daemon {daemon.name}", f"admits only {', '.join(admitted)}")
        elif not is_loopback(daemon.address):
            text = f"listens on {daemon.address or 'all addresses'}: who reaches it gets around the scan"
            remedy = "Addr=127.0.0.1; with incoming on other hosts name them in SITE_DELIVERY_FROM"
            yield warning(f"delivery.cf daemon {daemon.name}", text, remedy)


def shared_findings(incoming: CfFile, delivery: CfFile) -> Iterator[Finding]:
    """What the two must not have in common."""
    queues = [conf.options["queuedirectory"].rstrip("/") for conf in (incoming, delivery)]
    if fnmatch.fnmatch(queues[0], queues[1]) or fnmatch.fnmatch(queues[1], queues[0]):
        text = f"{queues[0]} belongs to both: each sends the other's mail, unscanned or in a loop"
        yield error("queues", text, "a QUEUE_DIR of its own for delivery, such as /var/spool/mqueuedelivery")
    else:
        yield ok("queues", f"{queues[0]} and {queues[1]}")
    pids = [conf.options["pidfile"] for conf in (incoming, delivery)]
    if pids[0] == pids[1]:
        yield error("pid files", f"both write {pids[0]}: stopping one stops the other", "a confPID_FILE for delivery")
    ports = {one.port for one in incoming.daemons} & {one.port for one in delivery.daemons}
    for port in sorted(ports):
        yield error("ports", f"both listen on port {port}: one of them cannot start", "FEATURE(`no_default_msa')")
