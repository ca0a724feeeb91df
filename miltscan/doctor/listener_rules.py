"""Rules for where the incoming sendmail listens: IPv4 and IPv6, what the distribution's sendmail.cf had, and SIZE.

From the facts of the .cf files and of this host to findings; it looks at nothing itself.
"""

from collections.abc import Iterator

from miltscan.config.settings import Settings
from miltscan.config.units import show_size
from miltscan.core.action import ActionName
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.sandwich.cf import CfFile, Daemon

_SUBMISSION = (587, 465)


def lost_listener_findings(file: str, conf: CfFile, former: CfFile, former_file: str) -> Iterator[Finding]:
    """Whether incoming listens wherever sendmail.cf, which it replaces, listened; `former_file` is its path."""
    for one in former.daemons:
        if any(_covers(ours, one) for ours in conf.daemons):
            continue
        place = f"{'IPv6' if one.inet6 else 'IPv4'} port {one.port}"
        if one.port in _SUBMISSION:
            remedy = "set SITE_SUBMISSION to on, or build with MC=; if no client uses it, remove it from sendmail.mc"
        elif one.inet6:
            remedy = "set SITE_LISTEN to ::, or build with MC="
        else:
            remedy = "add it to SITE_INCOMING, or build with MC="
        text = f"does not listen on {place}, as {former_file} does (daemon {one.name}): its clients cannot connect"
        yield warning(f"{file} port {one.port}", text, remedy)


def _covers(ours: Daemon, other: Daemon) -> bool:
    """Whether clients of the other daemon reach ours; an IPv6 daemon on all addresses accepts IPv4 as well."""
    return ours.port == other.port and (ours.inet6 == other.inet6 or (ours.inet6 and not ours.address))


def family_findings(file: str, conf: CfFile, *, has_ipv6: bool, ipv6_only: bool) -> Iterator[Finding]:
    """Whether this host's IPv6 fits the daemons; `ipv6_only` is net.ipv6.bindv6only, under which :: refuses IPv4."""
    for one in (daemon for daemon in conf.daemons if daemon.inet6):
        subject = f"{file} daemon {one.name}"
        ipv4 = [other for other in conf.daemons if other.port == one.port and not other.inet6]
        if not has_ipv6 and not one.optional:
            text = "Family=inet6, but this host's kernel has no IPv6: sendmail does not start"
            yield error(subject, text, "set SITE_LISTEN to 0.0.0.0")
        elif not one.address and ipv6_only and not ipv4:
            text = f"net.ipv6.bindv6only is 1, so :: refuses IPv4 clients, and no other daemon has port {one.port}"
            yield error(subject, text, "set SITE_LISTEN to `0.0.0.0 ::', or net.ipv6.bindv6only to 0")
        elif not one.address and not ipv6_only and has_ipv6 and any(not other.address for other in ipv4):
            text = (
                f":: includes IPv4: daemon {ipv4[0].name} finds port {one.port} in use, and sendmail waits 50 seconds"
            )
            yield error(subject, text, "keep one of the two: Family=inet6, Addr=:: is enough")


def size_finding(file: str, conf: CfFile, settings: Settings) -> Finding:
    """Whether incoming announces miltscan's limit as SIZE, or no lower one if miltscan lets larger messages pass."""
    limit, too_large = settings.limits.message_size, settings.policy.on_unscanned.too_large
    subject, text = f"{file} MaxMessageSize", conf.options.get("maxmessagesize", "0")
    size = int(text) if text.isdigit() else 0
    ours = f"limits.message_size = {show_size(limit)}"
    if too_large.action not in {ActionName.REJECT, ActionName.TEMPFAIL}:
        if not size or size > limit:
            return ok(subject, f"{size or 'none'}, as policy.on_unscanned.too_large = {too_large}")
        lets = f"{ours} with policy.on_unscanned.too_large = {too_large}"
        text = f"{size}: sendmail rejects larger messages, although {lets}"
        return warning(subject, text, "set SITE_MESSAGE_SIZE to 0 and build incoming.cf")
    if size == limit:
        return ok(subject, f"{size}, as {ours}")
    remedy = f"set SITE_MESSAGE_SIZE to {limit} and build incoming.cf, or change limits.message_size"
    if not size:
        return warning(subject, f"none, but {ours}: clients learn it only after they have sent the message", remedy)
    return warning(subject, f"{size}, but {ours}: the smaller one decides", remedy)
