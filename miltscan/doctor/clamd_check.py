"""The engines for `miltscan check`: the self-test of each server, and the configuration of each clamd."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from miltscan.config.settings import EngineTable, LimitSettings, Settings
from miltscan.core.address import Address
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.core.thresholds import SIGNATURE_AGE
from miltscan.doctor.clamd_limits import clamd_servers, mismatches
from miltscan.engines.base import Observer
from miltscan.engines.clamd import local
from miltscan.engines.clamd.client import version
from miltscan.engines.wire import targets
from miltscan.scanning.assemble import probe_engines
from miltscan.scanning.servers import ServerRecord, ServerRecords

_DAY = 86400  # seconds
_VERSION_TIMEOUT = 5.0  # seconds

ProbeEngines = Callable[[Settings, Observer], None]
"""Runs the self-test of every server of the settings once and reports to the observer; never raises."""


def run_self_tests(settings: Settings, observer: Observer) -> None:
    """Run the self-test of every server once."""
    probe_engines(settings.engines, observer)


def engine_findings(settings: Settings, probe: ProbeEngines) -> Iterator[Finding]:
    """The findings about every server: first its self-test, then its configuration."""
    records, now = ServerRecords(), time.time()
    probe(settings, records)
    for engine in settings.engines:
        seen = [(server, records.of(engine.name, str(server))) for server in engine.servers]
        fatal = engine.required and not any(record.good for _, record in seen)
        for server, record in seen:
            yield from server_findings(f"{engine.name} {server}", record, now, fatal=fatal)
    for clamd, server in clamd_servers(settings):
        if records.of(clamd.name, str(server)).good:
            with suppress(OSError):  # the name of its host is unknown now
                answers = [version(target, _VERSION_TIMEOUT) for target in targets(server)]
                yield from (ok(f"{clamd.name} {server}", f"is {answer.text}") for answer in answers if answer)
        yield from clamd_findings(clamd, server, settings.limits)


def server_findings(subject: str, record: ServerRecord, now: float, *, fatal: bool) -> Iterator[Finding]:
    """What the self-test of one server showed; `now` in seconds since the epoch.

    `fatal` means that no server of a required engine works, so that a dead one is an error.
    """
    if not record.good:
        text = f"fails its self-test: {record.why or 'no answer'}"
        yield (error if fatal else warning)(subject, text, "start it; read its log and check its temporary folder")
        return
    yield ok(subject, "passes its self-test")
    if record.published:
        age = now - record.published
        text = f"signatures {record.version} are {age / _DAY:.1f} days old"
        yield warning(subject, text, "check that freshclam runs") if age > SIGNATURE_AGE else ok(subject, text)


def clamd_findings(engine: EngineTable, server: Address, limits: LimitSettings) -> Iterator[Finding]:
    """Where the configuration of this clamd allows less than miltscan's settings."""
    subject, file = f"{engine.name} {server}", local.file_of(server)
    if file is None:
        yield ok(subject, "the location of its configuration file is unknown; limits are not compared")
        return
    try:
        clamd = local.effective_options(file)
    except OSError as problem:
        text = f"{file} is not readable: {problem.strerror}; limits are not compared"
        yield warning(subject, text, "allow this user to read it, or run this command as root")
        return
    found = [*mismatches(clamd, engine, limits)]
    for one in found:
        yield (error if one.silent else warning)(subject, f"{one.key} {one.why}", f'write "{one.line}" in {file}')
    if not found:
        yield ok(subject, f"{file} allows what miltscan's settings need")
