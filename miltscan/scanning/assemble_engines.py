"""Builds engines from the settings: the only place that does, for service and commands.

A new engine is a module in `engines/` and a row in `_BUILDERS`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from miltscan.config.engines import (
    AntispamEngineTable,
    ClamdEngineSettings,
    EngineSettings,
    RspamdEngineSettings,
    SpamdEngineSettings,
)
from miltscan.engines.antispam.engine import AntispamEngine, Dialect
from miltscan.engines.base import Observer, ServedEngine, at_once
from miltscan.engines.clamd.engine import ClamdEngine
from miltscan.engines.rspamd.engine import rspamd_dialect
from miltscan.engines.rspamd.reply import Honoured
from miltscan.engines.spamd.engine import SPAMD_DIALECT


def _clamd(chosen: ClamdEngineSettings, observer: Observer, sessions: int) -> ClamdEngine:
    return ClamdEngine(
        chosen.name, chosen.servers, chosen.canary_interval, observer, sessions, required=chosen.required
    )


def _antispam(chosen: AntispamEngineTable, observer: Observer, dialect: Dialect) -> AntispamEngine:
    return AntispamEngine(
        chosen.name, chosen.servers, chosen.canary_interval, observer, dialect, required=chosen.required
    )


def _rspamd(chosen: RspamdEngineSettings, observer: Observer, _sessions: int) -> AntispamEngine:
    honoured = Honoured(chosen.edit_headers, chosen.authentication_results, chosen.reply_text)
    return _antispam(chosen, observer, rspamd_dialect(honoured))


def _spamd(chosen: SpamdEngineSettings, observer: Observer, _sessions: int) -> AntispamEngine:
    return _antispam(chosen, observer, SPAMD_DIALECT)


_BUILDERS: Mapping[str, Callable[[Any, Observer, int], ServedEngine]] = {
    "clamd": _clamd,
    "rspamd": _rspamd,
    "spamd": _spamd,
}
"""What builds an engine of a type, from its settings, its observer and the connections it may keep to a server."""


def engine_for(chosen: EngineSettings, observer: Observer, sessions: int = 0) -> ServedEngine:
    """One engine, not started; it keeps up to `sessions` connections to each of its servers open between scans."""
    return _BUILDERS[chosen.type](chosen, observer, sessions)


def probe_engines(engines: Iterable[EngineSettings], observer: Observer) -> list[ServedEngine]:
    """The engines, each server tested once; the observer is notified of the results. Never raises."""
    made = [engine_for(chosen, observer) for chosen in engines]
    at_once([engine.probe for engine in made])
    return made
