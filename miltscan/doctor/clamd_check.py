"""The engines for `miltscan check`: the self-test and version of each server, and each clamd's configuration."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from miltscan.config.engines import EngineTable
from miltscan.config.settings import Settings
from miltscan.core import faults
from miltscan.core.address import Address
from miltscan.core.clamav_conf import clamav_number
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.doctor.antispam_check import version_findings
from miltscan.doctor.clamd_limits import clamd_servers, mismatches
from miltscan.doctor.topics import denied, no_engine
from miltscan.engines.base import Observer
from miltscan.engines.clamd import local
from miltscan.engines.clamd.canary import rar_sample
from miltscan.engines.clamd.client import detects, test_signature, version
from miltscan.engines.wire import Target, targets
from miltscan.scanning.assemble_engines import probe_engines
from miltscan.scanning.servers import ServerRecord, ServerRecords

_MIB = 2**20
_PRIVATE = ("/tmp", "/var/tmp")  # noqa: S108 - PrivateTmp= of systemd.exec(5)
_SELF_TESTS = "only its self-tests show whether it has room to unpack a message"
_NO_RAR = "opens no rar: mail with one is unscanned (limits) until libclamunrar is installed and clamd restarted"
_ANSWER_TIMEOUT = 5.0  # seconds

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
            subject, log = f"{engine.name} {server}", faults.CLAMD_LOG if engine.type == "clamd" else faults.READ_LOG
            limit = settings.thresholds.signature_age
            yield from server_findings(subject, record, now, limit, fatal=fatal, log=log)
    yield from version_findings(settings, records)
    for clamd, server in clamd_servers(settings):
        if records.of(clamd.name, str(server)).good:
            with suppress(OSError):  # the name of its host is unknown now
                for target in targets(server):
                    yield from _abilities(f"{clamd.name} {server}", target, settings)
        yield from clamd_findings(clamd, server, settings)


def _abilities(subject: str, target: Target, settings: Settings) -> Iterator[Finding]:
    """The version of a clamd, and whether it opens rar, which is no fault of the host."""
    if answer := version(target, _ANSWER_TIMEOUT):
        yield ok(subject, f"is {answer.text}")
    if settings.mime.read and detects(target, _ANSWER_TIMEOUT, rar_sample(test_signature())) is False:
        yield ok(subject, _NO_RAR)


def server_findings(  # noqa: PLR0913 - each is a fact about the server
    subject: str, record: ServerRecord, now: float, limit: float, *, fatal: bool, log: str = faults.CLAMD_LOG
) -> Iterator[Finding]:
    """What the self-test of one server showed; `now` in seconds since the epoch, `limit` is the age of old signatures.

    `fatal` means that no server of a required engine works, so that a dead one is an error. `log` is the remedy where
    the cause is unknown.
    """
    if not record.good:
        found = faults.server_down(subject, record.why, fatal=fatal, log=log)
        yield found.named(no_engine(subject)).because(*denied(record.why))
        return
    yield ok(subject, "passes its self-test")
    if record.unseen:
        yield ok(subject, f"{_SELF_TESTS}: miltscan cannot see its temporary folder, because {record.unseen}")
    if record.published:
        yield faults.signatures(subject, record.version, now - record.published, limit)


def clamd_findings(engine: EngineTable, server: Address, settings: Settings) -> Iterator[Finding]:
    """Where the configuration of this clamd allows less than miltscan's settings."""
    subject, file = f"{engine.name} {server}", local.file_of(server)
    if file is None:
        yield ok(subject, "the location of its configuration file is unknown; limits are not compared")
        return
    try:
        clamd = local.effective_options(file)
    except OSError as problem:
        text = f"{file} is not readable: {problem.strerror}; limits are not compared"
        yield warning(subject, text, "run this command as root").because(*denied(problem))
        return
    yield from room_findings(subject, file, clamd)
    found = [*mismatches(clamd, engine, settings)]
    for one in found:
        yield (error if one.silent else warning)(subject, f"{one.key} {one.why}", f'write "{one.line}" in {file}')
    if not found:
        yield ok(subject, f"{file} allows what miltscan's settings need")


def room_findings(subject: str, file: Path, clamd: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the temporary folder of this clamd has room for all its scans, and whether the service can see it.

    clamd replies OK to what it could not unpack; `core.room` says what miltscan does about it.
    """
    folder = Path(clamd["TemporaryDirectory"])
    scans, size = clamav_number(clamd["MaxThreads"]), clamav_number(clamd["MaxScanSize"])
    if any(folder.is_relative_to(shared) for shared in _PRIVATE):
        text = f"the service cannot see its temporary folder {folder}, because it has a private one: {_SELF_TESTS}"
        yield warning(subject, text, f'write "TemporaryDirectory /var/lib/clamav/tmp" in {file} and create that folder')
    try:
        space = os.statvfs(folder)
    except OSError as problem:
        text = f"its temporary folder {folder} cannot be seen: {problem.strerror}; {_SELF_TESTS}"
        yield warning(subject, text, "create it for clamd's user, and let other users search the folders above it")
        return
    free, needed = space.f_bavail * space.f_frsize, scans * size
    if not size:
        text = f"MaxScanSize 0: one message can fill its temporary folder {folder}; then mail is not scanned"
        yield warning(subject, text, f'write "MaxScanSize 400M" in {file}')
    elif free < needed:
        text = (
            f"{free // _MIB} MiB are free in its temporary folder {folder}, and {scans} scans (MaxThreads) of "
            f"{size // _MIB} MiB (MaxScanSize) may take {needed // _MIB} MiB: a few messages can fill it"
        )
        yield warning(subject, text, f"give it a file system of its own of that size, or lower both options in {file}")
