"""Rules for the milter of a sendmail: who is asked, what if it is down, how long it may take, what it is told.

From facts to findings; it looks at nothing itself. The measured ground of each rule stands beside it.
"""

from collections.abc import Collection, Iterator, Mapping

from miltscan.config.settings import LimitSettings, Settings
from miltscan.core.address import Address, InetAddress, is_loopback, parse_address
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.sandwich.cf import CfFile, Filter

_DEFAULT_TIMES = {"C": 300.0, "S": 10.0, "R": 10.0, "E": 300.0}  # seconds; sendmail's own
_CLIENT_PATIENCE = 600.0  # seconds that a client waits for the reply to its final dot (RFC 5321 section 4.5.3.2.6)
_FEWEST_PROGRESS = 5.0  # seconds: miltscan shows progress every second, and a busy host is late
_WANTED_F = "F=T lets the client try again"
_STAGES = ("connect", "helo", "envfrom", "envrcpt", "data", "eoh", "eom")
_NEEDED = {
    "{client_addr}": ("connect", "the log cannot name the client"),
    "i": ("eom", "neither the log nor a reply has the queue ID"),
    "{auth_type}": ("envfrom", "mail of an authenticated client cannot be told from a stranger's"),
    "{rcpt_mailer}": ("envrcpt", "incoming and outgoing mail are counted as one"),
    "{msg_id}": ("eom", "the log has no Message-ID where the header lacks it"),
}


def filter_findings(
    file: str, conf: CfFile, socket: Address, limits: LimitSettings, proxies: Collection[Address] = ()
) -> Iterator[Finding]:
    """Each daemon of this sendmail asks miltscan at `socket`, or a proxy, and takes no mail without its answer."""
    for daemon in conf.daemons:
        subject = f"{file} daemon {daemon.name}"
        ours = [one for one in conf.asked(daemon) if reaches(one, socket, proxies)]
        if ours:
            yield ok(subject, f"asks filter {ours[0].name} at {ours[0].socket}")
        else:
            yield error(subject, f"does not ask {socket}: mail passes unscanned", _how_to_ask(socket))
    found = [one for one in conf.filters.values() if reaches(one, socket, proxies)]
    for one in found:  # a daemon may ask by a line of its own
        yield from fault_findings(file, one)
        yield from time_findings(file, one, limits)
    if found:
        yield from macro_findings(file, conf)


def delivery_filter_findings(conf: CfFile, settings: Settings) -> Iterator[Finding]:
    """With verify.socket the delivery sendmail has to ask there; no other filter of it may fail open."""
    socket = settings.verify.socket
    if socket is not None:
        yield from filter_findings("delivery.cf", conf, socket, settings.limits)
    for one in conf.filters.values():
        if socket is None or not reaches(one, socket):
            yield from fault_findings("delivery.cf", one)


def _how_to_ask(socket: Address) -> str:
    return f"INPUT_MAIL_FILTER(`miltscan', `S={socket}, F=T, T=C:10s;S:30s;R:30s;E:5m')"


def reaches(one: Filter, socket: Address, proxies: Collection[Address] = ()) -> bool:
    """Whether the filter's S= leads to `socket` or a proxy of this host; another host is believed to."""
    try:
        address = parse_address(one.socket)
    except ValueError:
        return False
    if address in proxies:
        return True
    if isinstance(address, InetAddress):
        here = is_loopback(address.host)
        return not here or (isinstance(socket, InetAddress) and socket.port == address.port)
    return address == socket


def fault_findings(file: str, one: Filter) -> Iterator[Finding]:
    """What F= means (measured): T 451 4.3.2, 4 421 and close, R 554, and none accepts the mail unscanned."""
    subject = f"{file} filter {one.name} F="
    match one.fault:
        case "T" | "4":
            yield ok(subject, f"{one.fault}: while the filter is down the client is tempfailed")
        case "R":
            yield error(subject, "R: while the filter is down all mail is refused for good", _WANTED_F)
        case "":
            yield error(subject, "none: while the filter is down all mail passes unscanned (fail-open)", _WANTED_F)
        case other:
            yield error(subject, f"{other}: sendmail knows T, R and 4", _WANTED_F)


def time_findings(file: str, one: Filter, limits: LimitSettings) -> Iterator[Finding]:
    """T= against our deadline: E: is above it, R: outlasts missing progress, and the client waits longer than E:."""
    subject, ours = f"{file} filter {one.name} T=", limits.queue_wait + limits.scan_timeout
    times = _DEFAULT_TIMES | {key: value for key, value in one.times.items() if key in _DEFAULT_TIMES}
    yield from [*_times(subject, times, ours)] or [
        ok(subject, " ".join(f"{key}:{value:g}s" for key, value in times.items()))
    ]


def _times(subject: str, times: Mapping[str, float], ours: float) -> Iterator[Finding]:
    if times["E"] <= ours:
        text = f"E:{times['E']:g}s is not above limits.queue_wait + limits.scan_timeout = {ours:g}s: sendmail gives up"
        yield error(subject, text, "E:5m, or shorter limits")
    elif times["E"] >= _CLIENT_PATIENCE:
        yield warning(subject, f"E:{times['E']:g}s: the client gives up after ten minutes", "E:5m")
    if times["R"] < _FEWEST_PROGRESS:
        text = f"R:{times['R']:g}s leaves no time between two signs of progress, which come every second"
        yield error(subject, text, "R:30s")
    if times["C"] > _CLIENT_PATIENCE / 10:
        yield warning(subject, f"C:{times['C']:g}s: a filter that hangs holds each client so long at connect", "C:10s")


def macro_findings(file: str, conf: CfFile) -> Iterator[Finding]:
    """A macro sent at one stage is known at all later ones (smfi_getsymval of libmilter)."""
    subject = f"{file} macros"
    yield from [
        error(subject, f"{name} is not sent by {stage}: {loss}", f"add it to Milter.macros.{stage}")
        for name, (stage, loss) in _NEEDED.items()
        if not _sent(conf, name, stage)
    ] or [ok(subject, f"{', '.join(_NEEDED)} are sent")]


def _sent(conf: CfFile, name: str, stage: str) -> bool:
    """Whether the macro is sent at this stage or before it; of one letter it may stand with braces or without."""
    until = _STAGES[: _STAGES.index(stage) + 1]
    return any({name, name.strip("{}")} & conf.macros(earlier) for earlier in until)
