"""The tables of the configuration file as frozen pydantic models; only the type of an engine must be given.

A field holds the value ready for use (bytes, seconds, addresses). Its annotation names the notation in the file and
whether a change needs a restart; its description is the documentation. `load` reads the file.
"""

from collections.abc import Iterator
from enum import StrEnum
from ipaddress import ip_network
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from miltscan.config import places, units
from miltscan.config.table import RESTART, Table
from miltscan.core.action import ActionName
from miltscan.core.address import Address, InetAddress, Network, UnixAddress

MTA_PATIENCE = 300.0  # seconds: sendmail's milter timeout `E:`, 5m by default, from the end of the message to its reply
_MIB = 2**20
_LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1"))


class HeaderMode(StrEnum):
    """What is done with X-Virus-* headers."""

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


_Action = Annotated[ActionName, units.choice(ActionName)]
_Path = Annotated[str, places.FILE]


class MilterSettings(Table):
    """`[milter]`: the socket for the MTA."""

    socket: Annotated[Address, places.ADDRESS, RESTART] = Field(
        default=UnixAddress("/run/miltscan/miltscan.sock"), description="socket to which the MTA connects"
    )
    socket_mode: Annotated[int, units.MODE, RESTART] = Field(default=0o660, description="file mode of a unix socket")
    socket_group: Annotated[str, units.NAME, RESTART] = Field(
        default="", description="group of a unix socket; the MTA's user must be a member"
    )
    allow: places.Networks = Field(
        default=_LOOPBACK, description="hosts that may connect to a TCP socket; mode and group protect a unix socket"
    )
    workers: Annotated[int, units.count(1, 64), RESTART] = Field(
        default=1, description="number of processes that serve the socket"
    )


class SpoolSettings(Table):
    """`[spool]`: the place of a message while it is scanned."""

    directory: Annotated[str, places.FOLDER] = Field(
        default="/var/spool/miltscan", description="folder for messages larger than spool.memory"
    )
    memory: Annotated[int, units.size("0B", "1GiB")] = Field(
        default=1 * _MIB, description="largest size of a message that is kept in memory"
    )


class LimitSettings(Table):
    """`[limits]`: bounds on size, time and load."""

    message_size: Annotated[int, units.size("1KiB", "2GB")] = Field(
        default=100 * _MIB, description="largest size of a message that is scanned"
    )
    scan_timeout: Annotated[float, units.duration("1s", "4m")] = Field(
        default=60.0, description="time limit for all engines to scan a message"
    )
    concurrent_scans: Annotated[int, units.count(1, 4096)] = Field(
        default=40, description="number of messages that all workers scan at the same time"
    )
    queue_wait: Annotated[float, units.duration("0s", "4m")] = Field(
        default=10.0, description="time limit for a message to wait for a free scan slot"
    )

    def conflicts(self) -> Iterator[str]:
        """Yield a line where the MTA would not wait for both times."""
        total = self.scan_timeout + self.queue_wait
        if total >= MTA_PATIENCE:
            yield (
                f'limits.queue_wait + limits.scan_timeout = "{units.show_duration(total)}": expected less than '
                f"{units.show_duration(MTA_PATIENCE)}, the timeout E: of the MTA"
            )


_Servers = Annotated[
    places.Addresses, Field(description="clamd servers, used in rotation; when one fails, the next one is used")
]
_CanaryInterval = Annotated[
    float,
    units.duration("1s", "1h"),
    Field(description="interval of the self-test, in which each server must detect a test signature"),
]
_CLAMD_SERVERS = (UnixAddress("/run/clamav/clamd.ctl"),)
_CANARY_INTERVAL = 10.0


class ClamdSettings(Table):
    """`[clamd]`: short for one `[[engine]]` of type clamd, which is required and has this name."""

    servers: _Servers = _CLAMD_SERVERS
    canary_interval: _CanaryInterval = _CANARY_INTERVAL


class EngineTable(Table):
    """The keys of every `[[engine]]` table."""

    type: str
    name: Annotated[str, units.LABEL]
    required: Annotated[bool, units.FLAG]
    on_error: Annotated[ActionName | None, units.optional(units.choice(ActionName))] = Field(
        default=None,
        description="action when this engine fails; empty means policy.on_error, or accept if it is not required",
    )
    timeout: Annotated[float | None, units.optional(units.duration("1s", "4m"))] = Field(
        default=None, description="time limit for this engine to scan a message, within limits.scan_timeout"
    )
    skip_above: Annotated[int | None, units.optional(units.size("1KiB", "2GB"))] = Field(
        default=None, description="largest size of a message that this engine scans"
    )


class ClamdEngineSettings(EngineTable):
    """`[[engine]]` with `type = "clamd"`."""

    type: Literal["clamd"] = Field(description="engine type")
    name: Annotated[str, units.LABEL] = Field(default="clamd", description="unique name in the log and in metrics")
    required: Annotated[bool, units.FLAG] = Field(
        default=True, description="whether mail waits while this engine is down; an optional engine never stops mail"
    )
    servers: _Servers = _CLAMD_SERVERS
    canary_interval: _CanaryInterval = _CANARY_INTERVAL


EngineSettings = ClamdEngineSettings
"""One of the engine types; with a second one: `Annotated[A | B, Field(discriminator="type")]`."""


class UnscannedSettings(Table):
    """`[policy.on_unscanned]`: a key for each `Limit`."""

    too_large: _Action = Field(
        default=ActionName.REJECT, description="action when the message is larger than limits.message_size"
    )
    timeout: _Action = Field(default=ActionName.TEMPFAIL, description="action when limits.scan_timeout has passed")
    no_engine: _Action = Field(default=ActionName.TEMPFAIL, description="action when no engine is up")
    limits: _Action = Field(
        default=ActionName.REJECT, description="action when the message exceeds a limit of the engine"
    )
    encrypted: _Action = Field(default=ActionName.ACCEPT, description="action when the engine finds encrypted content")
    busy: _Action = Field(default=ActionName.TEMPFAIL, description="action when limits.queue_wait has passed")


class PolicySettings(Table):
    """`[policy]`: the action for each outcome."""

    on_infected: _Action = Field(default=ActionName.REJECT, description="action when an engine finds a virus")
    on_error: _Action = Field(default=ActionName.TEMPFAIL, description="action when an engine fails")
    on_unscanned: UnscannedSettings = UnscannedSettings()


class HeaderSettings(Table):
    """`[headers]`: the result of the scan in an accepted message."""

    mode: Annotated[HeaderMode, units.choice(HeaderMode)] = Field(
        default=HeaderMode.REPLACE,
        description="whether to replace the sender's X-Virus-* headers or to leave all headers alone",
    )


class KeySettings(Table):
    """`[keys]`: the secrets with which the two sides of the sandwich sign and verify."""

    file: _Path = Field(default="", description="file of keys, one `ID HEXKEY` a line: the first one signs, all verify")


class ReceiptSettings(Table):
    """`[receipt]`: the proof of a scan that the incoming side sends to the delivery side; it needs `keys.file`."""

    max_age: Annotated[float, units.duration("1m", "168h")] = Field(
        default=3600.0,
        description="age above which a receipt is invalid, so that the delivery side scans the message again",
    )


class VerifySettings(Table):
    """`[verify]`: the delivery side, which scans what has no valid receipt; mode, group and hosts as in `[milter]`."""

    socket: Annotated[Address | None, places.NO_ADDRESS, RESTART] = Field(
        default=None, description="socket to which the delivery MTA connects"
    )
    workers: Annotated[int, units.count(1, 64), RESTART] = Field(
        default=1, description="number of processes that serve that socket"
    )


class ProbeSettings(Table):
    """`[probe]`: test messages through the incoming sendmail, which prove that it has mail scanned."""

    interval: Annotated[float, units.duration("0s", "24h"), RESTART] = Field(
        default=0.0, description="interval of the probes; 0s sends none"
    )
    server: Annotated[InetAddress, places.INET] = Field(
        default=InetAddress("127.0.0.1", 25), description="address of the incoming sendmail"
    )
    sender: Annotated[str, places.NO_MAILBOX] = Field(
        default="", description="envelope sender; an empty one receives no bounces"
    )
    recipient: Annotated[str, places.MAILBOX] = Field(
        default="miltscan-probe@localhost",
        description="envelope recipient, an alias for /dev/null at the incoming sendmail",
    )
    timeout: Annotated[float, units.duration("1s", "10m")] = Field(
        default=90.0, description="time limit for each reply of the server"
    )
    readiness: Annotated[bool, units.FLAG] = Field(
        default=False, description="whether readiness requires that the last probes succeeded"
    )


class ExporterSettings(Table):
    """`[exporter]`: metrics and health over HTTP."""

    listen: Annotated[InetAddress | None, places.LISTEN, RESTART] = Field(
        default=InetAddress("127.0.0.1", 9464), description="address and port that serve metrics and health"
    )
    directory: Annotated[str, places.FOLDER, RESTART] = Field(
        default="/run/miltscan/metrics", description="folder of the counters that the processes share"
    )
    allow: places.Networks = Field(default=_LOOPBACK, description="hosts that may connect to the exporter")
    certificate: _Path = Field(default="", description="PEM file with the certificate and its chain; turns TLS on")
    key: _Path = Field(default="", description="PEM file with the private key, unless the certificate's file holds it")
    client_ca: _Path = Field(
        default="", description="PEM file with the CA that must have signed the clients' certificates"
    )
    users_file: _Path = Field(default="", description="file of users with read access, as htpasswd -B writes it")
    token_file: _Path = Field(default="", description="file of bearer tokens with read access, one a line")

    def conflicts(self) -> Iterator[str]:
        """Yield a line for each key that only TLS uses."""
        for name in ("key", "client_ca"):
            if getattr(self, name) and not self.certificate:
                yield f"exporter.{name}: expected exporter.certificate, too"


class QueueSettings(Table):
    """`[queues]`: the queues of the two sendmails, whose length the exporter reports."""

    incoming: Annotated[str, places.QUEUE] = Field(
        default="/var/spool/mqueue", description="queue of the incoming sendmail"
    )
    delivery: Annotated[str, places.QUEUE] = Field(
        default="/var/spool/mqueuedelivery", description="queue of the delivery sendmail"
    )
    interval: Annotated[float, units.duration("1s", "1h")] = Field(
        default=15.0, description="interval at which the exporter reads the queues"
    )


class LogSettings(Table):
    """`[log]`: the log on standard output."""

    format: Annotated[LogFormat, units.choice(LogFormat), RESTART] = Field(
        default=LogFormat.JSON, description="format of a line"
    )
    level: Annotated[LogLevel, units.choice(LogLevel)] = Field(
        default=LogLevel.INFO, description="lowest severity of the lines that are written"
    )


class TracingSettings(Table):
    """`[tracing]`: a span per message by OpenTelemetry; needs the packages of deploy/requirements-otel.txt."""

    endpoint: Annotated[str, places.COLLECTOR, RESTART] = Field(
        default="", description="URL of the collector of traces, OTLP over HTTP"
    )
    addresses: Annotated[bool, units.FLAG, RESTART] = Field(
        default=False, description="whether traces name sender, recipients, client and Message-ID"
    )


class Settings(Table):
    """The whole configuration."""

    milter: MilterSettings = MilterSettings()
    spool: SpoolSettings = SpoolSettings()
    limits: LimitSettings = LimitSettings()
    clamd: ClamdSettings | None = None
    engine: Annotated[tuple[EngineSettings, ...], Field(min_length=1)] = ()
    policy: PolicySettings = PolicySettings()
    headers: HeaderSettings = HeaderSettings()
    keys: KeySettings = KeySettings()
    receipt: ReceiptSettings = ReceiptSettings()
    verify: VerifySettings = VerifySettings()
    probe: ProbeSettings = ProbeSettings()
    exporter: ExporterSettings = ExporterSettings()
    queues: QueueSettings = QueueSettings()
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
    def workers(self) -> int:
        """The workers of both sockets, which share scan slots and sessions."""
        return self.milter.workers + (self.verify.workers if self.verify.socket else 0)

    def conflicts(self) -> Iterator[str]:
        """Yield a line for each rule between tables that is broken."""
        names = [engine.name for engine in self.engines]
        for position, engine in enumerate(self.engine, 1):
            if self.clamd and engine.type == "clamd":
                yield f'engine[{position}].type = "clamd": expected no table [clamd] next to [[engine]] of this type'
            elif names.count(engine.name) > 1:
                yield f'engine[{position}].name = "{engine.name}": expected a name that no other engine has'
        if not any(engine.required for engine in self.engines):
            yield "engine: expected required = true for at least one engine"
        if self.verify.socket == self.milter.socket:
            yield f'verify.socket = "{self.verify.socket}": expected another socket than milter.socket'
        if self.probe.interval and not self.keys.file:
            yield "probe.interval: expected keys.file, too, whose first key signs the probes"
        if self.probe.readiness and not self.probe.interval:
            yield "probe.readiness: expected probe.interval, too; 0s sends no probe"
