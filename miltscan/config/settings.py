"""The whole configuration: all tables, and the rules between them; only the type of an engine must be given.

`load` reads the file. The tables are in `tables`, or in a module of their own.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from miltscan.config import units
from miltscan.config.engines import AntispamEngineTable, ClamdEngineSettings, ClamdSettings, EngineSettings
from miltscan.config.policy import PolicySettings
from miltscan.config.quarantine import ArchiveSettings, DeliverySettings, NoticeSettings, QuarantineSettings
from miltscan.config.rule_checks import unknown_engines, unreachable
from miltscan.config.rules import RuleSettings
from miltscan.config.table import Table
from miltscan.config.tables import (
    MTA_PATIENCE,
    ExporterSettings,
    HeaderSettings,
    KeySettings,
    LimitSettings,
    ListSettings,
    LogSettings,
    MilterSettings,
    MimeSettings,
    ProbeSettings,
    QueueSettings,
    ReceiptSettings,
    SpoolSettings,
    TracingSettings,
    VerifySettings,
)
from miltscan.config.thresholds import ThresholdSettings
from miltscan.core.action import Choice
from miltscan.core.split import RecipientMode
from miltscan.core.verdict import OWN_VERDICTS

STORE_WAIT = 10.0  # seconds for which a message is stored even if its scan used up the time
COPY_WAIT = 30.0  # seconds for which copies are handed over even if the scan used up the time


class Settings(Table):
    """The whole configuration."""

    milter: MilterSettings = MilterSettings()
    spool: SpoolSettings = SpoolSettings()
    limits: LimitSettings = LimitSettings()
    mime: MimeSettings = MimeSettings()
    clamd: ClamdSettings | None = None
    engine: Annotated[tuple[EngineSettings, ...], Field(min_length=1)] = ()
    policy: PolicySettings = PolicySettings()
    rule: tuple[RuleSettings, ...] = ()
    lists: ListSettings = ListSettings()
    quarantine: QuarantineSettings = QuarantineSettings()
    archive: ArchiveSettings = ArchiveSettings()
    delivery: DeliverySettings = DeliverySettings()
    notice: NoticeSettings = NoticeSettings()
    headers: HeaderSettings = HeaderSettings()
    keys: KeySettings = KeySettings()
    receipt: ReceiptSettings = ReceiptSettings()
    verify: VerifySettings = VerifySettings()
    probe: ProbeSettings = ProbeSettings()
    exporter: ExporterSettings = ExporterSettings()
    queues: QueueSettings = QueueSettings()
    thresholds: ThresholdSettings = ThresholdSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()

    @model_validator(mode="before")
    @classmethod
    def _clamd_by_default(cls, given: Any) -> Any:  # noqa: ANN401 - before validation it may be anything
        """Without any engine the file means clamd on its standard socket."""
        return given if "engine" in given or "clamd" in given else {**given, "clamd": {}}

    @property
    def engines(self) -> tuple[EngineSettings, ...]:
        """The engines in the order in which they are asked; `[clamd]` is one required engine of that name."""
        if self.clamd is None:
            return self.engine
        clamd = ClamdEngineSettings.model_construct(type="clamd", **dict(self.clamd))
        return (clamd, *self.engine)

    @property
    def scanners(self) -> tuple[EngineSettings, ...]:
        """The engines that detect viruses."""
        return tuple(engine for engine in self.engines if not isinstance(engine, AntispamEngineTable))

    @property
    def filters(self) -> tuple[AntispamEngineTable, ...]:
        """The anti-spam engines, which are asked after the others."""
        return tuple(engine for engine in self.engines if isinstance(engine, AntispamEngineTable))

    def without_filters(self) -> "Settings":
        """The same settings without anti-spam engines."""
        kept = tuple(engine for engine in self.engine if not isinstance(engine, AntispamEngineTable))
        return self.model_copy(update={"engine": kept}) if self.filters else self

    def _quarantine_conflicts(self) -> Iterator[str]:
        total = self.limits.scan_timeout + self.limits.queue_wait
        if self.quarantines and MTA_PATIENCE - STORE_WAIT <= total < MTA_PATIENCE:
            yield (
                f'limits.queue_wait + limits.scan_timeout = "{units.show_duration(total)}": expected less than '
                f"{units.show_duration(MTA_PATIENCE - STORE_WAIT)} with a quarantine, which stores after the scan"
            )
        elif self.splits and MTA_PATIENCE - COPY_WAIT <= total < MTA_PATIENCE:
            yield (
                f'limits.queue_wait + limits.scan_timeout = "{units.show_duration(total)}": expected less than '
                f"{units.show_duration(MTA_PATIENCE - COPY_WAIT)} if recipients differ, which may need copies"
            )
        for key, choice in self.choices.items():
            if choice.area not in {"", *self.quarantine.areas}:
                yield f'{key} = "{choice}": expected an area that exists; add a table [quarantine.area.{choice.area}]'

    def _mime_conflicts(self) -> Iterator[str]:
        for position, one in enumerate(self.rule, 1):
            if one.looks_at_attachments and not self.mime.read:
                yield f"rule[{position}]: a condition on the parts of a message requires mime.read = true"
        if self.archive.digests and not self.mime.read:
            yield "archive.digests: requires mime.read = true, as the parts are hashed when a message is read"

    @property
    def workers(self) -> int:
        """The workers of both sockets, which share scan slots and sessions."""
        return self.milter.workers + (self.verify.workers if self.verify.socket else 0)

    @property
    def has_verifier(self) -> bool:
        """Whether a delivery side removes the receipts of this host, on this host or on another one."""
        return self.verify.socket is not None or self.receipt.remote_verifier

    @property
    def choices(self) -> Mapping[str, Choice]:
        """Every action that the settings name, by its key."""
        policy = {f"policy.{name}": choice for name, choice in self.policy.choices().items()}
        engines = {f"engine[{position}].on_error": one.on_error for position, one in enumerate(self.engine, 1)}
        rules = {f"rule[{position}].action": one.action for position, one in enumerate(self.rule, 1)}
        return policy | {key: choice for key, choice in (engines | rules).items() if choice}

    @property
    def quarantines(self) -> bool:
        """Whether a message can get into the quarantine."""
        return self.splits or any(choice.area for choice in self.choices.values())

    @property
    def splits(self) -> bool:
        """Whether recipients of one message may have different decisions, or other addresses receive mail."""
        return self.lists.each_recipient or any(one.splits for one in self.rule)

    @property
    def splits_at_rcpt(self) -> bool:
        """Whether recipients with another decision than the first one are refused at RCPT."""
        return self.splits and self.policy.recipients is RecipientMode.SPLIT_AT_RCPT

    def conflicts(self) -> Iterator[str]:
        """Yield a line for each rule between tables that is broken."""
        yield from self._quarantine_conflicts()
        yield from unreachable(self.rule)
        yield from self._mime_conflicts()
        names = [engine.name for engine in self.engines]
        yield from unknown_engines(self.rule, names, [engine.name for engine in self.filters])
        for position, engine in enumerate(self.engine, 1):
            if self.clamd and engine.type == "clamd":
                yield f'engine[{position}].type = "clamd": expected no table [clamd] next to [[engine]] of this type'
            elif names.count(engine.name) > 1:
                yield f'engine[{position}].name = "{engine.name}": expected a name that no other engine has'
            elif engine.name in OWN_VERDICTS:
                yield (
                    f'engine[{position}].name = "{engine.name}": expected another name; '
                    "miltscan itself gives verdicts under this one"
                )
        if not any(engine.required for engine in self.scanners):
            yield "engine: expected required = true for at least one engine that detects viruses"
        if self.verify.socket == self.milter.socket:
            yield f'verify.socket = "{self.verify.socket}": expected another socket than milter.socket'
        if self.receipt.remote_verifier and not self.keys.file:
            yield "receipt.remote_verifier: requires keys.file, whose first key signs the receipts"
        if self.probe.interval and not self.keys.file:
            yield "probe.interval: requires keys.file, whose first key signs the probes"
        if self.probe.readiness and not self.probe.interval:
            yield "probe.readiness: requires probe.interval; 0s sends no probe"
