"""Rules for sendmail's load limits: when each of the two stops accepting, and when it only queues.

From the facts of the .cf files and of this host to findings; it looks at nothing itself. sendmail compares its limits
with the load average of the whole host, rounded (getla in its conf.c). Without an option the limits are 8 (QueueLA) and
12 (RefuseLA) for each CPU; a RefuseLA of 0 is no limit.
"""

import math
import re
from collections.abc import Iterator

from miltscan.core.finding import Finding, error, ok, warning
from miltscan.doctor.topics import overloaded, refuses
from miltscan.sandwich.cf import CfFile

_QUEUE_PER_CPU, _REFUSE_PER_CPU = 8, 12
_TITLE = re.compile(r"(rejecting|delaying) connections on daemon .*")


def refuse_limit(conf: CfFile, cpus: int) -> float:
    """The load from which a daemon of this file refuses connections; infinity for never."""
    general = conf.options.get("refusela", "")
    own = [daemon.refuse_la or general for daemon in conf.daemons]
    numbers = [int(text) if text.isdigit() else _REFUSE_PER_CPU * cpus for text in own]
    return min((number or math.inf) for number in numbers)


def load_findings(name: str, conf: CfFile, load: float, cpus: int) -> Iterator[Finding]:
    """This host's load average now against the limits of the sendmail `name`, incoming or delivery."""
    setting = {"incoming": "SITE_REFUSE_LA", "delivery": "SITE_DELIVERY_REFUSE_LA"}[name]
    refuse, now = refuse_limit(conf, cpus), math.floor(load + 0.5)
    queue = conf.options.get("queuela", "")
    limit = int(queue) if queue.isdigit() else _QUEUE_PER_CPU * cpus
    subject = f"{name} load limits"
    if now >= refuse:
        text = f"load average {load:.1f}, RefuseLA={refuse:g}: it refuses all connections"
        yield error(subject, text, f"find the cause of the load, or raise {setting}").named(overloaded(name))
    elif now >= limit:
        text = f"load average {load:.1f}, QueueLA={limit}: large messages and queue runs wait"
        yield warning(subject, text, "find the cause of the load, or raise SITE_QUEUE_LA")
    else:
        shown = "never" if refuse == math.inf else f"from {refuse:g}"
        yield ok(subject, f"load average {load:.1f}; refuses connections {shown}, queues from {limit}")


def title_findings(name: str, title: str) -> Iterator[Finding]:
    """What the daemon's title shows: above a limit it closes its ports, or accepts one connection a second."""
    if found := _TITLE.search(title):
        level = error if found[1] == "rejecting" else warning
        remedy = "find the cause of the load, or raise the limit (SITE_REFUSE_LA, SITE_DELAY_LA, SITE_MAX_CHILDREN)"
        one = level(f"{name} process title", found[0].strip(), remedy).because(overloaded(name))
        yield one.named(refuses(name)) if found[1] == "rejecting" else one


def handover_findings(incoming: CfFile, delivery: CfFile, cpus: int) -> Iterator[Finding]:
    """Delivery must refuse later than incoming."""
    first, second = refuse_limit(incoming, cpus), refuse_limit(delivery, cpus)
    if second <= first < math.inf:
        text = (
            f"delivery refuses from load {second:g}, incoming from {first:g}: accepted mail waits in incoming's queue"
        )
        yield warning("load limits", text, "set SITE_DELIVERY_REFUSE_LA to twice SITE_REFUSE_LA, and build delivery.cf")
    elif second < math.inf or first < math.inf:
        yield ok("load limits", "delivery refuses later than incoming")
