"""Builds policy, pipeline and releases from the settings: the only place that does, for service and commands.

Nothing is judged or scanned here. `assemble_engines` builds the engines.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from miltscan import __version__
from miltscan.config.engines import AntispamEngineTable
from miltscan.config.keyfile import Loaded
from miltscan.config.rules import NO_SOURCE, Side
from miltscan.config.settings import Settings
from miltscan.config.tables import HeaderMode
from miltscan.core.action import ActionName, Choice
from miltscan.core.condition_values import OpenSource
from miltscan.core.facts import NOTHING_KNOWN
from miltscan.core.lists import ListScope
from miltscan.core.lookup import Check, Source
from miltscan.core.message import Direction
from miltscan.core.policy import Policy
from miltscan.core.report import Place
from miltscan.core.rules import Rules, residual
from miltscan.core.split import RecipientMode
from miltscan.core.verdict import Limit, Outcome
from miltscan.engines.base import Engine, Observer
from miltscan.errors import SourceError
from miltscan.quarantine.entry import Event
from miltscan.quarantine.files import Files
from miltscan.quarantine.ledger import CopyLedger
from miltscan.quarantine.release import Releaser
from miltscan.scanning.assemble_engines import probe_engines
from miltscan.scanning.copies import CopySender
from miltscan.scanning.entries import keep_for
from miltscan.scanning.pipeline import Bounded, Pipeline, Processor, Slots, SpamFilter, no_lists, scan_slots
from miltscan.scanning.probing import Probing, recognized
from miltscan.scanning.receipts import HEADROOM, RECEIPT_FIELD, Signing, Verifying
from miltscan.scanning.shadowing import Shadowing
from miltscan.scanning.sources import Sources
from miltscan.scanning.splitting import Splitting
from miltscan.scanning.storing import Storing
from miltscan.scanning.unpacking import Unpacking, find_program
from miltscan.scanning.unwrapping import Unwrapping
from miltscan.telemetry.log import logger

_DELIVERED_LATER = (ActionName.ACCEPT, ActionName.HOLD)
"""The actions after which the delivery side receives the message from the MTA."""


def policy_for(settings: Settings, hostname: str, *, verifies: bool = False) -> Policy:
    """The policy of the core, without rules; `hostname` is what X-Virus-Scanned names.

    Fields X-Miltscan-* that come from outside are removed, and with an anti-spam engine X-Spam-*. The delivery side,
    which `verifies`, removes only the receipt: the others are those of the incoming side.
    """
    unscanned, engines = settings.policy.on_unscanned, settings.engines
    replaces = settings.headers.mode is HeaderMode.REPLACE
    ours = RECEIPT_FIELD if verifies else (b"x-miltscan-",)
    scores = (b"x-spam-",) if settings.filters else ()
    return Policy(
        on_infected=settings.policy.on_infected,
        on_error=settings.policy.on_error,
        on_unscanned={limit: getattr(unscanned, limit.replace("-", "_")) for limit in Limit},
        scanned_by=f"miltscan {__version__} at {hostname}" if replaces else None,
        foreign=(b"x-virus-", *scores, *ours) if replaces else ours,
        optional=frozenset(engine.name for engine in engines if not engine.required),
        on_engine_error={
            engine.name: engine.on_error or Choice(ActionName.ACCEPT)
            for engine in engines
            if engine.on_error is not None or not engine.required
        },
        on_spam=settings.policy.on_spam,
        filters=frozenset(engine.name for engine in settings.filters),
    )


def pipeline_for(
    settings: Settings,
    engines: Sequence[Engine],
    slots: Slots,
    hostname: str,
    *,
    verifies: bool = False,
) -> Pipeline:
    """The pipeline that asks `engines`, which are those of `settings` in their order. It has no lists.

    On the delivery side, which `verifies`, a message may have grown since its size was compared with the settings.
    """
    growth = HEADROOM if verifies else 0
    scanners: list[Engine] = []
    filters: list[SpamFilter] = []
    for chosen, engine in zip(settings.engines, engines, strict=True):
        one = Bounded(engine, chosen.timeout, chosen.skip_above and chosen.skip_above + growth)
        if isinstance(chosen, AntispamEngineTable):
            share = -(-chosen.concurrent_scans // settings.milter.workers)
            filters.append(SpamFilter(one, scan_slots(share), _spared(chosen)))
        else:
            scanners.append(one if chosen.timeout or chosen.skip_above else engine)
    limits = settings.limits
    return Pipeline(
        # an optional engine that hangs must not use up the time of a required one
        sorted(scanners, key=lambda engine: not engine.required),
        policy_for(settings, hostname, verifies=verifies),
        slots,
        limits.scan_timeout,
        limits.queue_wait,
        filters,
        unwrapping=unwrapping_for(settings),
    )


def unwrapping_for(settings: Settings, *, explains: bool = False) -> Unwrapping | None:
    """How messages are read with these settings; None where they are not.

    Attachments are looked at only if rules ask for them, or for a command that `explains`; parts are hashed only for
    the archive.
    """
    if not settings.mime.read:
        return None
    spool, mime = settings.spool, settings.mime
    looks = explains or any(one.looks_at_attachments for one in settings.rule)
    directory, program = Path(spool.directory), find_program() if mime.unpack else None
    return Unwrapping(
        directory,
        spool.memory,
        mime.parts,
        mime.file_size,
        mime.sample,
        looks,
        Unpacking(program, directory, spool.memory) if program else None,
        mime.passwords,
        digests=settings.archive.digests > 0,
    )


def rules_for(settings: Settings, open_source: OpenSource, *, verifies: bool) -> Rules:
    """The rules of one side. Raises what `open_source` does."""
    side = Side.DELIVERY if verifies else Side.INCOMING
    return Rules(tuple(one.rule(open_source) for one in settings.rule if one.at is side))


def list_scope(settings: Settings, *, verifies: bool) -> ListScope:
    """For whom the lists are asked at one side."""
    if verifies:
        return ListScope.DELIVERY
    return ListScope.EACH if settings.splits else ListScope.WHOLE


def ruled_policy(settings: Settings, hostname: str, *, verifies: bool = False) -> Policy:
    """The policy with its rules, for commands: their sources are read once. Raises SourceError."""
    rules = rules_for(settings, Sources(settings.policy.access_map, logger).open, verifies=verifies)
    return replace(policy_for(settings, hostname, verifies=verifies), rules=rules)


def source_faults(settings: Settings) -> list[str]:
    """A line for each source that the rules name and that cannot be read now."""
    sources, faults = Sources(settings.policy.access_map, logger), list[str]()

    def tried(text: str, check: Check) -> Source:
        try:
            return sources.open(text, check)
        except SourceError as error:
            faults.append(str(error))
            return NO_SOURCE

    for one in settings.rule:
        one.rule(tried)
    return list(dict.fromkeys(faults))


def keeps_large(settings: Settings, rules: Rules, *, verifies: bool) -> bool:
    """Whether a message above `limits.message_size` is needed whole: to be stored or copied, or for its receipt.

    Without one the delivery side, which `verifies`, would refuse it for its size, after the client's 250. The receipt
    covers all bytes, so that side needs all of them as well.
    """
    choices = {*_choices_for_large(settings, rules)}
    return (
        verifies
        or (settings.splits and len(choices) > 1)
        or any(one.area or one.to or (one.action in _DELIVERED_LATER and settings.has_verifier) for one in choices)
    )


def _choices_for_large(settings: Settings, rules: Rules) -> Iterator[Choice]:
    yield settings.policy.on_unscanned.too_large
    facts = NOTHING_KNOWN._replace(outcome=Outcome.UNSCANNED, reason=Limit.TOO_LARGE)
    yield from (rule.effect.choice for rule in residual(rules, facts) if rule.enforce)


def _spared(chosen: AntispamEngineTable) -> frozenset[Direction]:
    spared = {Direction.SUBMISSION: chosen.skip_authenticated, Direction.INTERNAL: chosen.skip_internal}
    return frozenset(direction for direction, is_spared in spared.items() if is_spared)


def probed_pipeline(settings: Settings, observer: Observer) -> Pipeline:
    """The pipeline of a command that scans one message at a time; each server of each engine is tested once.

    It has no anti-spam engine: a stored message does not show from whom the MTA received it.
    """
    settings = settings.without_filters()
    made = pipeline_for(settings, probe_engines(settings.engines, observer), scan_slots(1), "localhost")
    return replace(made, unwrapping=unwrapping_for(settings, explains=True))


def releaser_for(
    loaded: Loaded,
    files: Files,
    record: Callable[[str, Event], object],
    hostname: str,
    identities: Sequence[Any] = (),
) -> Releaser:
    """What releases from the quarantine `files`, for the keeper and for commands; `record` is the store's, or theirs.

    Receipts are signed as for mail: only for a delivery side that verifies.
    """
    settings, server = loaded.settings, loaded.settings.delivery.server
    return Releaser(
        files,
        record,
        (server.host, server.port),
        settings.delivery.timeout,
        hostname,
        policy_for(settings, hostname).scanned_by,
        loaded.keys[0] if loaded.keys and settings.has_verifier else None,
        identities,
    )


def processor_for(  # noqa: PLR0913 - what only a worker has
    loaded: Loaded,
    pipeline: Pipeline,
    signatures: Callable[[str, str], int],
    exception: Callable[[Place, Exception], None],
    hostname: str,
    *,
    verifies: bool,
    candidate: Policy | None = None,
) -> Processor:
    """The pipeline of a service: one that `verifies` checks receipts; otherwise, with keys, it knows probes and signs.

    It signs only for a delivery side that verifies, as nothing else keeps a receipt from leaving with outgoing mail.
    `signatures` returns the version of the signature database that the server of an engine uses. Faults of receipts and
    probes are reported to `exception`. A probe at the delivery side is ordinary mail: a rejection would be a bounce.
    No list applies to a probe.
    What is to be kept is stored at either side, except probes. Where recipients may have different decisions, each has
    its own at the incoming side; at the delivery side the strictest one applies. A `candidate` for the policy is asked
    about each message that is no probe.
    """
    settings, keys = loaded.settings, loaded.keys
    receipt_failed, probe_failed = partial(exception, Place.RECEIPT), partial(exception, Place.PROBE)
    ordinary: Processor = pipeline
    if candidate:
        ordinary = Shadowing(pipeline, candidate, partial(exception, Place.SHADOW))
    if verifies:
        ordinary = Verifying(ordinary, keys, settings.receipt.max_age, receipt_failed)
    elif keys and settings.has_verifier:
        ordinary = Signing(ordinary, keys, signatures, receipt_failed)
    patience = settings.limits.queue_wait + settings.limits.scan_timeout
    if settings.splits:
        ordinary = Splitting(
            ordinary,
            RecipientMode.STRICTEST if verifies else settings.policy.recipients,
            keep_for(settings, signatures),
            CopyLedger(Path(settings.quarantine.directory)),
            CopySender((settings.delivery.server.host, settings.delivery.server.port), settings.delivery.timeout),
            hostname,
            patience,
        )
    if settings.quarantines:
        is_probe = partial(recognized, keys, raised=probe_failed)
        ordinary = Storing(ordinary, keep_for(settings, signatures), patience, is_probe)
    # what a list or an anti-spam engine says of a probe is no part of its proof
    scanning = replace(pipeline, consult=no_lists, filters=())
    return Probing(ordinary, scanning, keys, probe_failed) if keys and not verifies else ordinary
