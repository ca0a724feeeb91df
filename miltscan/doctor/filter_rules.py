"""Rules for the milter of a sendmail: which filter it asks, F=, T=, and the macros that it sends.

From the facts of the .cf file to findings; it looks at nothing itself.
"""

from collections.abc import Collection, Iterator

from miltscan.config.settings import Settings
from miltscan.config.tables import LimitSettings
from miltscan.core.address import Address, InetAddress, is_loopback
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.core.milter_spec import MilterSpec, read_milter_spec, write_milter_spec
from miltscan.doctor.host import service_port
from miltscan.doctor.topics import no_start
from miltscan.sandwich.cf import CfFile, Filter

_DEFAULT_TIMES = {"C": 300.0, "S": 10.0, "R": 10.0, "E": 300.0}  # seconds; sendmail's own
_CLIENT_TIMEOUT = 600.0  # seconds that a client waits for the reply to its final dot (RFC 5321 section 4.5.3.2.6)
_LEAST_REPLY_TIMEOUT = 5.0  # seconds: miltscan reports progress every second, and a busy host is late
_ALL_ADDRESSES = frozenset({"0.0.0.0", "::"})  # noqa: S104 - where a client reaches this host
_SET_T = "set F=T, so that the client tries again"
_STAGES = ("connect", "helo", "envfrom", "envrcpt", "data", "eoh", "eom")
_NEEDED = {
    "{client_addr}": ("connect", "the log cannot name the client"),
    "i": ("eom", "neither the log nor a reply has the queue ID"),
    "{auth_type}": ("envfrom", "mail of an authenticated client cannot be distinguished from other mail"),
    "{rcpt_mailer}": ("envrcpt", "incoming and outgoing mail are counted as one"),
    "{msg_id}": ("eom", "the log has no Message-ID if the header lacks it"),
}


def filter_findings(
    file: str, conf: CfFile, socket: Address, limits: LimitSettings, proxies: Collection[Address] = ()
) -> Iterator[Finding]:
    """Each daemon of this sendmail must ask miltscan at `socket`, or a proxy, and must not accept mail without it."""
    for daemon in conf.daemons:
        subject = f"{file} daemon {daemon.name}"
        asked = conf.filters_of(daemon)
        ours = [one for one in asked if reaches(one, socket, proxies)]
        if any(spec_of(one).problem for one in ours or asked):
            continue  # has its own finding, and lets no mail pass
        if not ours:
            yield error(subject, f"does not ask {socket}: mail passes unscanned", _new_line(socket))
        else:
            yield ok(subject, f"asks filter {ours[0].name} at {ours[0].socket}")
    yield from spec_findings(file, conf)
    found = [one for one in conf.filters.values() if reaches(one, socket, proxies)]
    for one in found:  # a daemon may ask by its own X line
        yield fault_finding(file, one)
        yield from time_findings(file, one, limits)
    if found:
        yield from macro_findings(file, conf)


def delivery_filter_findings(file: str, conf: CfFile, settings: Settings) -> Iterator[Finding]:
    """With verify.socket the delivery sendmail must ask there; none of its other filters may fail open."""
    socket = settings.verify.socket
    if socket is not None:
        yield from filter_findings(file, conf, socket, settings.limits)
    for one in conf.filters.values():
        if socket is None or not reaches(one, socket):
            yield fault_finding(file, one)
    if socket is None:
        yield from spec_findings(file, conf)


def spec_of(one: Filter) -> MilterSpec:
    """What sendmail makes of the filter's S=."""
    return read_milter_spec(one.socket, service_port)


def spec_findings(file: str, conf: CfFile) -> Iterator[Finding]:
    """An S= that sendmail cannot use, of any filter: it reads all of them when it starts."""
    asked = {one.name for daemon in conf.daemons for one in conf.filters_of(daemon)}
    for one in conf.filters.values():
        spec = spec_of(one)
        if spec.no_start or (spec.no_mail and one.name in asked):
            right = f"S={write_milter_spec(spec.address)}" if spec.address else "S=unix:/PATH or S=inet:PORT@HOST"
            found = error(f"{file} filter {one.name} S=", f"{one.socket}: {spec.problem}", f"write {right}")
            yield found.named(no_start(file)) if spec.no_start else found


def reaches(one: Filter, socket: Address, proxies: Collection[Address] = ()) -> bool:
    """Whether the filter's S= means `socket` or a proxy of this host; an address of another host counts as well."""
    address = spec_of(one).address
    if address is None:
        return False
    if address in proxies:
        return True
    if isinstance(address, InetAddress):
        elsewhere = not is_loopback(address.host) and address.host not in _ALL_ADDRESSES
        return elsewhere or (isinstance(socket, InetAddress) and _meet(address, socket))
    return address == socket


def _meet(client: InetAddress, listener: InetAddress) -> bool:
    """Whether a connection to `client` on this host arrives at `listener`; no name is looked up."""
    if client.port != listener.port:
        return False
    if listener.host == "::":  # listens on both families
        return True
    return (":" in client.host) is (":" in listener.host) or "localhost" in {client.host, listener.host}


def _new_line(socket: Address) -> str:
    """The remedy for a missing filter; sendmail knows no zone of an IPv6 address, for instance."""
    spec = write_milter_spec(socket)
    if problem := read_milter_spec(spec).problem:
        return f"choose a socket that sendmail can use: with S={spec}, {problem}"
    return f"add INPUT_MAIL_FILTER(`miltscan', `S={spec}, F=T, T=C:10s;S:30s;R:30s;E:5m')"


def fault_finding(file: str, one: Filter) -> Finding:
    """What F= means for the client while the filter is down.

    T: 451 4.3.2. 4: 421, and sendmail 8.17 closes the connection. R: 554. Without F= it accepts the mail unscanned.
    """
    subject = f"{file} filter {one.name} F="
    match one.fault:
        case "T" | "4":
            return ok(subject, f"{one.fault}: while the filter is down sendmail tempfails the client")
        case "R":
            return error(subject, "R: while the filter is down sendmail rejects all mail", _SET_T)
        case "":
            return error(subject, "none: while the filter is down all mail passes unscanned (fail-open)", _SET_T)
        case other:
            return error(subject, f"{other}: sendmail supports T, R and 4", _SET_T)


def time_findings(file: str, one: Filter, limits: LimitSettings) -> Iterator[Finding]:
    """T= and our limits: the client must wait longer than E:, E: must outlast a scan, and R: a late progress report."""
    subject, ours = f"{file} filter {one.name} T=", limits.queue_wait + limits.scan_timeout
    times = _DEFAULT_TIMES | {key: value for key, value in one.times.items() if key in _DEFAULT_TIMES}
    wrong = []
    if times["E"] <= ours:
        text = f"E:{times['E']:g}s is not above limits.queue_wait + limits.scan_timeout = {ours:g}s: sendmail gives up"
        wrong.append(error(subject, text, "set E:5m, or shorter limits"))
    elif times["E"] >= _CLIENT_TIMEOUT:
        wrong.append(warning(subject, f"E:{times['E']:g}s: the client gives up after ten minutes", "set E:5m"))
    if times["R"] < _LEAST_REPLY_TIMEOUT:
        text = f"R:{times['R']:g}s is too short for progress reports, which come every second"
        wrong.append(error(subject, text, "set R:30s"))
    if times["C"] > _CLIENT_TIMEOUT / 10:
        text = f"C:{times['C']:g}s: while the filter hangs each client waits this long to connect"
        wrong.append(warning(subject, text, "set C:10s"))
    yield from wrong or [ok(subject, " ".join(f"{key}:{value:g}s" for key, value in times.items()))]


def macro_findings(file: str, conf: CfFile) -> Iterator[Finding]:
    """Each macro that miltscan needs must be sent at its stage or before (smfi_getsymval of libmilter)."""
    wrong = []
    for name, (stage, loss) in _NEEDED.items():
        sent = set().union(*(conf.macros(earlier) for earlier in _STAGES[: _STAGES.index(stage) + 1]))
        if not {name, name.strip("{}")} & sent:  # braces around one letter are optional
            text = f"{name} is not sent by {stage}: {loss}"
            wrong.append(error(f"{file} macros", text, f"add it to Milter.macros.{stage}"))
    yield from wrong or [ok(f"{file} macros", f"{', '.join(_NEEDED)} are sent")]
