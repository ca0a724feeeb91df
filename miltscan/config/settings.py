"""The tables of the configuration file as frozen pydantic models; only the type of an engine must be given.

A field holds the value ready for use (bytes, seconds, addresses). Its annotation names the notation in the file and
whether a change requires a restart; its description is the documentation. `load` reads the file.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from ipaddress import ip_network
from typing import Annotated, Any

from pydantic import Field, model_validator

from miltscan.config import places, units
from miltscan.config.engines import AntispamEngineTable, ClamdEngineSettings, ClamdSettings, EngineSettings
from miltscan.config.policy import PolicySettings
from miltscan.config.quarantine import ArchiveSettings, DeliverySettings, NoticeSettings, QuarantineSettings
from miltscan.config.rules import RuleSettings, unknown_engines, unreachable
from miltscan.config.table import RESTART, Table
from miltscan.config.thresholds import ThresholdSettings
from miltscan.core.action import Choice
from miltscan.core.address import Address, InetAddress, Network, UnixAddress
from miltscan.core.split import RecipientMode
from miltscan.core.verdict import OWN_VERDICTS

MTA_PATIENCE = 300.0  # seconds: sendmail's milter timeout `E:`, 5m by default, from the end of the message to its reply
STORE_WAIT = 10.0  # seconds for which a message is stored even if its scan used up the time
COPY_WAIT = 30.0  # seconds for which copies are handed over even if the scan used up the time
_MIB = 2**20
_LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1"))


class HeaderMode(StrEnum):
    """What is done with X-Virus-* headers, and with an anti-spam engine X-Spam-* headers."""

    REPLACE = "replace"
    NONE = "none"


class LogFormat(StrEnum):
    """How a log line is written."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The lowest severity of the lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_Path = Annotated[str, places.FILE]


class MilterSettings(Table):
    """`[milter]`: the socket for the MTA."""

    socket: Annotated[Address, places.ADDRESS, RESTART] = UnixAddress("/run/miltscan/miltscan.sock")
    """Socket to which the MTA connects."""
    socket_mode: Annotated[int, units.MODE, RESTART] = 0o660
    """File mode of a unix socket."""
    socket_group: Annotated[str, units.NAME, RESTART] = ""
    """Group of a unix socket; the MTA's user must be a member."""
    allow: places.Networks = _LOOPBACK
    """Hosts that may connect to a TCP socket; mode and group protect a unix socket."""
    workers: Annotated[int, units.count(1, 64), RESTART] = 1
    """Number of processes that serve the socket."""


class SpoolSettings(Table):
    """`[spool]`: the place of a message while it is scanned."""

    directory: Annotated[str, places.FOLDER] = "/var/spool/miltscan"
    """Folder for messages larger than spool.memory."""
    memory: Annotated[int, units.size("0B", "1GiB")] = 1 * _MIB
    """Largest size of a message that is kept in memory."""


class MimeSettings(Table):
    """`[mime]`: how the structure of a message is read, so that engines see what mail programs show."""

    read: Annotated[bool, units.FLAG] = True
    """Whether to read it, and to have scanned by themselves the parts of messages that can be read in several ways."""
    parts: Annotated[int, units.count(1, 10_000)] = 200
    """Largest number of parts of one message that are scanned by themselves."""
    file_size: Annotated[int, units.size("1KiB", "4GB")] = 100 * _MIB
    """Size of a file in a zip above which it counts as not scanned: clamd's MaxFileSize, beyond which clamd says OK."""
    sample: Annotated[int, units.count(0, 1_000_000)] = 200
    """Of so many messages that can be read in one way only, the parts of one are scanned all the same; 0 for none."""
    unpack: Annotated[bool, units.FLAG] = True
    """Whether 7-Zip opens archives that clamd does not open: docs/detection.md#archives."""
    passwords: Annotated[int, units.count(0, 200)] = 20
    """Largest number of words of a message that are tried as passwords of an archive in it; 0 for none."""


class LimitSettings(Table):
    """`[limits]`: bounds on size, time and load."""

    message_size: Annotated[int, units.size("1KiB", "2GB")] = 100 * _MIB
    """Largest size of a message that is scanned."""
    scan_timeout: Annotated[float, units.duration("1s", "4m")] = 60.0
    """Time limit for all engines to scan a message."""
    concurrent_scans: Annotated[int, units.count(1, 4096)] = 40
    """Number of messages that all workers scan at the same time."""
    queue_wait: Annotated[float, units.duration("0s", "4m")] = 10.0
    """Time limit for a message to wait for a free scan slot."""

    def conflicts(self) -> Iterator[str]:
        """Yield a line where the MTA would not wait for both times."""
        total = self.scan_timeout + self.queue_wait
        if total >= MTA_PATIENCE:
            yield (
                f'limits.queue_wait + limits.scan_timeout = "{units.show_duration(total)}": expected less than '
                f"{units.show_duration(MTA_PATIENCE)}, the timeout E: of the MTA"
            )


class ListSettings(Table):
    """`[lists]`: the allow and deny lists, which `miltscan allow` and `miltscan deny` change: docs/lists.md."""

    file: _Path = "/var/lib/miltscan/lists.jsonl"
    """File of the lists; an empty string for none."""

    each_recipient: Annotated[bool, units.FLAG] = False
    """Whether entries with --for decide for their recipients alone, also without rules for recipients."""


class HeaderSettings(Table):
    """`[headers]`: the result of the scan in an accepted message."""

    mode: Annotated[HeaderMode, units.choice(HeaderMode)] = HeaderMode.REPLACE
    """Whether to replace the sender's X-Virus-* headers (and X-Spam-*, if filtered) or to leave them and add none."""


class KeySettings(Table):
    """`[keys]`: the secrets with which the two sides of the sandwich sign and verify."""

    file: _Path = ""
    """File of keys, one `ID HEXKEY` per line: the first one signs, all verify."""


class ReceiptSettings(Table):
    """`[receipt]`: the proof of a scan that the incoming side sends to the delivery side; it needs `keys.file`."""

    max_age: Annotated[float, units.duration("1m", "168h")] = 3600.0
    """Age above which a receipt is invalid, so that the delivery side scans the message again."""
    remote_verifier: Annotated[bool, units.FLAG] = False
    """Whether to sign receipts without verify.socket, because another host verifies them."""


class VerifySettings(Table):
    """`[verify]`: the delivery side, which scans what has no valid receipt; mode, group and hosts as in `[milter]`."""

    socket: Annotated[Address | None, places.NO_ADDRESS, RESTART] = None
    """Socket to which the delivery MTA connects."""
    workers: Annotated[int, units.count(1, 64), RESTART] = 1
    """Number of processes that serve that socket."""


class ProbeSettings(Table):
    """`[probe]`: test messages through the incoming sendmail, which prove that it has mail scanned."""

    interval: Annotated[float, units.duration("0s", "24h"), RESTART] = 0.0
    """Interval of the probes; 0s sends none."""
    server: Annotated[InetAddress, places.INET] = InetAddress("127.0.0.1", 25)
    """Address of the incoming sendmail."""
    sender: Annotated[str, places.NO_MAILBOX] = ""
    """Envelope sender; an empty one receives no bounces."""
    recipient: Annotated[str, places.MAILBOX] = "miltscan-probe@localhost"
    """Envelope recipient, an alias for /dev/null at the incoming sendmail."""
    timeout: Annotated[float, units.duration("1s", "10m")] = 90.0
    """Time limit for each reply of the server."""
    readiness: Annotated[bool, units.FLAG] = False
    """Whether readiness requires that the last probes succeeded."""


class ExporterSettings(Table):
    """`[exporter]`: metrics and health over HTTP."""

    listen: Annotated[InetAddress | None, places.LISTEN, RESTART] = InetAddress("127.0.0.1", 9464)
    """Address and port that serve metrics and health."""
    directory: Annotated[str, places.FOLDER, RESTART] = "/run/miltscan/metrics"
    """Folder of the counters that the processes share, best on tmpfs; no two services can use the same one."""
    allow: places.Networks = _LOOPBACK
    """Hosts that may connect to the exporter."""
    hosts: tuple[Annotated[str, places.HOST], ...] = ()
    """Names by which clients reach the exporter without TLS and credentials, in addition to those of this host."""
    certificate: _Path = ""
    """PEM file with the certificate and its chain; turns TLS on."""
    key: _Path = ""
    """PEM file with the private key, unless the certificate's file holds it."""
    client_ca: _Path = ""
    """PEM file with the CA that must have signed the clients' certificates."""
    users_file: _Path = ""
    """File of users with read access, as htpasswd -B writes it."""
    token_file: _Path = ""
    """File of bearer tokens with read access, one per line."""

    def conflicts(self) -> Iterator[str]:
        """Yield a line for each key that only TLS uses."""
        for name in ("key", "client_ca"):
            if getattr(self, name) and not self.certificate:
                yield f"exporter.{name}: requires exporter.certificate"


class QueueSettings(Table):
    """`[queues]`: the queues of the two sendmails, whose length the exporter reports."""

    incoming: Annotated[str, places.QUEUE] = "/var/spool/mqueue"
    """Queue of the incoming sendmail."""
    delivery: Annotated[str, places.QUEUE] = "/var/spool/mqueuedelivery"
    """Queue of the delivery sendmail."""
    incoming_port: Annotated[int, units.count(0, 65535)] = 25
    """Port of the incoming sendmail, if its queue is on this host; 0 for no check."""
    delivery_port: Annotated[int, units.count(0, 65535)] = 19000
    """Port of the delivery sendmail; 0 for no check, for instance with the handoff by a program."""
    interval: Annotated[float, units.duration("1s", "1h")] = 15.0
    """Interval at which the exporter reads the queues."""


class LogSettings(Table):
    """`[log]`: the log on standard output."""

    format: Annotated[LogFormat, units.choice(LogFormat), RESTART] = LogFormat.JSON
    """Format of a line."""
    level: Annotated[LogLevel, units.choice(LogLevel)] = LogLevel.INFO
    """Lowest severity of the lines that are written."""


class TracingSettings(Table):
    """`[tracing]`: a span per message by OpenTelemetry; needs the packages of deploy/requirements-otel.txt."""

    endpoint: Annotated[str, places.COLLECTOR, RESTART] = ""
    """URL of the collector of traces, OTLP over HTTP."""
    addresses: Annotated[bool, units.FLAG, RESTART] = False
    """Whether traces name sender, recipients, client and Message-ID."""


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
