"""Where the limits of a running clamd are below miltscan's. It reads no file; `engines.clamd.local` does."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from miltscan.config.engines import ClamdEngineSettings, EngineTable
from miltscan.config.settings import Settings
from miltscan.config.units import show_duration, show_size
from miltscan.core.address import Address
from miltscan.core.clamav_conf import ON, clamav_number

_WAITING_PER_THREAD = 4  # more messages than this for one clamd thread spend their scan_timeout in clamd's queue


@dataclass(frozen=True, slots=True)
class Mismatch:
    """An option of clamd that allows less than miltscan's settings, why that matters, and the line to write.

    `silent` means that clamd reports mail as clean that it did not scan completely.
    """

    key: str
    why: str
    line: str
    silent: bool = False


def clamd_servers(settings: Settings) -> Iterator[tuple[ClamdEngineSettings, Address]]:
    """Each server of each engine of type clamd."""
    for engine in settings.engines:
        if isinstance(engine, ClamdEngineSettings):
            yield from ((engine, server) for server in engine.servers)


def mismatches(clamd: Mapping[str, str], engine: EngineTable, settings: Settings) -> Iterator[Mismatch]:
    """Where the options of clamd (by `effective_options`) allow less than miltscan's settings."""
    limits, mime = settings.limits, settings.mime
    largest = min(limits.message_size, engine.skip_above or limits.message_size)
    for key in ("StreamMaxLength", "MaxScanSize", "MaxFileSize"):
        if 0 < (size := clamav_number(clamd[key])) < largest:  # 0 means no limit
            why = f"{show_size(size)} is below limits.message_size = {show_size(limits.message_size)}"
            line = f"{key} {-(-largest // 2**20)}M"
            yield Mismatch(key, f"{why}: clamd does not scan larger messages completely", line)
    if mime.read and largest <= (size := clamav_number(clamd["MaxFileSize"])) < mime.file_size:
        why = f"{show_size(size)} is below mime.file_size = {show_size(mime.file_size)}"
        line = f"MaxFileSize {-(-mime.file_size // 2**20)}M"
        yield Mismatch("MaxFileSize", f"{why}: clamd reports a zip with a larger file as clean", line, silent=True)
    patience = min(limits.scan_timeout, engine.timeout or limits.scan_timeout)
    if not 0 < (seconds := clamav_number(clamd["MaxScanTime"]) / 1000) < patience:
        given = show_duration(seconds) if seconds else "no limit"
        why = f"{given} is not below limits.scan_timeout = {show_duration(patience)}: clamd scans beyond the timeout"
        yield Mismatch("MaxScanTime", why, f"MaxScanTime {round(patience * 900)}")
    hidden = {
        "AlertExceedsMax": "clamd reports a message above one of its limits as clean, though it did not scan all of it",
        "AlertEncrypted": "clamd reports encrypted content as clean, though it cannot scan it",
    }
    for key, why in hidden.items():
        if clamd[key].lower() not in ON:
            yield Mismatch(key, f"off: {why}", f"{key} yes", silent=True)
    if clamd.get("HeuristicScanPrecedence", "no").lower() in ON:
        why = "on: clamd stops at a suspicion, so mail with an allowed Heuristics.* signature is not scanned completely"
        yield Mismatch("HeuristicScanPrecedence", why, "HeuristicScanPrecedence no")
    threads, queue, scans = (
        clamav_number(clamd["MaxThreads"]),
        clamav_number(clamd["MaxQueue"]),
        limits.concurrent_scans,
    )
    if scans > threads * _WAITING_PER_THREAD:
        why = f"{threads} threads for limits.concurrent_scans = {scans}: most messages wait inside clamd"
        yield Mismatch("MaxThreads", why, f"MaxThreads {-(-scans // _WAITING_PER_THREAD)}")
    if scans * 2 > queue:
        why = f"{queue} is below twice limits.concurrent_scans = {scans}: clamd may stop accepting connections"
        yield Mismatch("MaxQueue", why, f"MaxQueue {scans * 2}")
