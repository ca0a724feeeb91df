"""What `miltscan check` says of clamd: whether each server finds viruses, and is set up as our settings promise."""

import time
from collections.abc import Callable, Iterator

from miltscan.config.settings import Settings
from miltscan.core.address import Address
from miltscan.core.finding import Finding, Level
from miltscan.core.thresholds import SIGNATURE_AGE
from miltscan.doctor import clamd_conf
from miltscan.engines.base import Observer
from miltscan.engines.clamd.client import version
from miltscan.engines.clamd.engine import ClamdEngine
from miltscan.engines.wire import targets
from miltscan.scanning.servers import ServerRecord, ServerRecords

_DAY = 86400  # seconds
_PATIENCE = 5.0  # seconds for clamd to tell its version

AskServers = Callable[[Settings, Observer], None]
"""Asks every server of the settings once and tells the observer what came of it; never raises."""


def probe_clamd(settings: Settings, observer: Observer) -> None:
    """Asks every clamd once."""
    for clamd in settings.engines:
        ClamdEngine(clamd.servers, clamd.canary_interval, observer).probe()


def clamd_findings(settings: Settings, probe: AskServers) -> Iterator[Finding]:
    """All that can be said of the servers: first what each does, then how it is set up."""
    yield from _servers(settings, probe)
    for server in (server for engine in settings.engines for server in engine.servers):
        yield from clamd_settings(server, settings)


def _servers(settings: Settings, probe: AskServers) -> Iterator[Finding]:
    told, now = ServerRecords(), time.time()
    probe(settings, told)
    good = {name for name, seen in told.seen.items() if seen.good}
    for server in (server for engine in settings.engines for server in engine.servers):
        if str(server) in good:
            yield from _version(server)
        yield from server_findings(str(server), told.seen.get(str(server), ServerRecord()), now, others=bool(good))


def server_findings(server: str, seen: ServerRecord, now: float, *, others: bool) -> Iterator[Finding]:
    """What an engine told of one server; `others` says that another server is up, `now` in seconds since the epoch."""
    subject = f"clamd {server}"
    if not seen.good:
        level = Level.WARNING if others else Level.ERROR
        text = f"does not find the test signature: {seen.why or 'no answer'}"
        yield Finding(level, subject, text, "start it, look into its log, and at its TemporaryDirectory")
        return
    yield Finding(Level.OK, subject, "finds the test signature")
    if seen.published:
        yield _age(subject, seen.version, now - seen.published)


def _age(subject: str, version: int, age: float) -> Finding:
    text = f"signatures {version} are {age / _DAY:.1f} days old"
    if age > SIGNATURE_AGE:
        return Finding(Level.WARNING, subject, text, "see that freshclam runs")
    return Finding(Level.OK, subject, text)


def _version(server: Address) -> Iterator[Finding]:
    """What clamd says of itself; one that says nothing has other findings."""
    try:
        answers = [version(target, _PATIENCE) for target in targets(server)]
    except OSError:  # its name is not known
        return
    yield from (Finding(Level.OK, f"clamd {server}", f"is {answer.text}") for answer in answers if answer)


def clamd_settings(server: Address, settings: Settings) -> Iterator[Finding]:
    """Where the configuration of this clamd does less than the settings promise."""
    subject, file = f"clamd {server}", clamd_conf.file_of(server)
    if file is None:
        yield Finding(Level.OK, subject, "its configuration file is not known and not compared")
        return
    try:
        text = file.read_text(errors="replace")
    except OSError as error:
        remedy = "let this user read it"
        yield Finding(Level.WARNING, subject, f"{file} cannot be compared: {error.strerror}", remedy)
        return
    wrong = [*clamd_conf.mismatches(clamd_conf.parse_clamd_conf(text), settings)]
    for one in wrong:
        level = Level.ERROR if one.silent else Level.WARNING
        yield Finding(level, subject, f"{one.key} {one.why}", f'write "{one.wanted}" in {file}')
    if not wrong:
        yield Finding(Level.OK, subject, f"{file} fits")
