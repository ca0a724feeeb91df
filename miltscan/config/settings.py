"""The configuration: TOML in, frozen settings out; every mistake at once, each as one line. It changes nothing.

All keys are optional. A field holds the value ready for use (bytes, seconds, addresses), its `Kind` how it is written,
its description what it means. `render` prints them and tells which changes a reload cannot make; `mistakes`
words the mistakes.
"""

import tomllib
from codecs import BOM_UTF8
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from miltscan import __version__
from miltscan.config import places, units
from miltscan.config.mistakes import syntax
from miltscan.config.table import Table, table
from miltscan.config.table import key as _key
from miltscan.core.action import ActionName
from miltscan.core.address import Address, InetAddress, Network
from miltscan.core.policy import Policy
from miltscan.core.verdict import Limit
from miltscan.errors import ConfigError

DEFAULT_PATH = Path("/etc/miltscan/miltscan.toml")
MTA_PATIENCE = 300.0  # seconds: sendmail's milter timeout `E:`, 5m by default, from the end of the message to its reply


class HeaderMode(StrEnum):
    """What is done to X-Virus-* headers."""

    REPLACE = "replace"
    NONE = "none"


class LogFormat(StrEnum):
    """How a log line is written."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The mildest log line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@table
class MilterSettings(Table):
    """`[milter]`: where the MTA finds us."""

    socket: Annotated[Address, places.ADDRESS] = _key(
        "unix:/run/miltscan/miltscan.sock", "socket on which the MTA asks", restart=True
    )
    socket_mode: Annotated[int, units.MODE] = _key("0660", "file mode of a unix socket", restart=True)
    socket_group: Annotated[str, units.NAME] = _key(
        "", "group of a unix socket, which the MTA has to be in", restart=True
    )
    allow: Annotated[tuple[Network, ...], places.NETWORKS] = _key(
        ["127.0.0.0/8", "::1"], "hosts that may connect to a TCP socket; a unix socket has its mode and group"
    )
    workers: Annotated[int, units.count(1, 64)] = _key(1, "processes that serve the socket", restart=True)


@table
class SpoolSettings(Table):
    """`[spool]`: where a message is while it is scanned."""

    directory: Annotated[str, places.FOLDER] = _key(
        "/var/spool/miltscan", "folder for messages that are too large for memory"
    )
    memory: Annotated[int, units.size("0B", "1GiB")] = _key("1MiB", "a message up to this size stays in memory")


@table
class LimitSettings(Table):
    """`[limits]`: how much we take on; `scan_timeout` and `queue_wait` together stay below `MTA_PATIENCE`."""

    message_size: Annotated[int, units.size("1KiB", "2GB")] = _key("100MiB", "a message above this size is not scanned")
    scan_timeout: Annotated[float, units.duration("1s", "4m")] = _key("60s", "time for all engines to scan a message")
    concurrent_scans: Annotated[int, units.count(1, 4096)] = _key(40, "messages scanned at once, by all workers")
    queue_wait: Annotated[float, units.duration("0s", "4m")] = _key(
        "10s", "time that a message waits until it can be scanned"
    )

    def clash(self) -> str | None:
        """The MTA waits for both."""
        total = self.scan_timeout + self.queue_wait
        if total >= MTA_PATIENCE:
            return (
                f"keys limits.queue_wait + limits.scan_timeout = {units.toml(units.show_duration(total))}: expected "
                f"less than {units.show_duration(MTA_PATIENCE)}, when the MTA gives up (timeout E: of its milter)"
            )
        return None


@table
class ClamdSettings(Table):
    """`[clamd]`: the engine."""

    servers: Annotated[tuple[Address, ...], places.ADDRESSES] = _key(
        ["unix:/run/clamav/clamd.ctl"], "clamd servers, asked by turns; where one fails, the next one"
    )
    canary_interval: Annotated[float, units.duration("1s", "1h")] = _key(
        "10s", "each server has to find a test signature this often"
    )


_ACTION = units.choice(ActionName)


@table
class UnscannedSettings(Table):
    """`[policy.on_unscanned]`: a key for each `Limit`."""

    too_large: Annotated[ActionName, _ACTION] = _key("reject", "the message is above limits.message_size")
    timeout: Annotated[ActionName, _ACTION] = _key("tempfail", "limits.scan_timeout has passed")
    no_engine: Annotated[ActionName, _ACTION] = _key("tempfail", "no engine is up")
    limits: Annotated[ActionName, _ACTION] = _key("reject", "the message passes a limit of the engine")
    encrypted: Annotated[ActionName, _ACTION] = _key("accept", "the engine found encrypted content")
    busy: Annotated[ActionName, _ACTION] = _key("tempfail", "limits.queue_wait has passed")


@table
class PolicySettings(Table):
    """`[policy]`: what is done with a message."""

    on_infected: Annotated[ActionName, _ACTION] = _key("reject", "an engine found a virus")
    on_error: Annotated[ActionName, _ACTION] = _key("tempfail", "an engine failed")
    on_unscanned: UnscannedSettings = UnscannedSettings()


@table
class HeaderSettings(Table):
    """`[headers]`: what an accepted message says of its scan."""

    mode: Annotated[HeaderMode, units.choice(HeaderMode)] = _key(
        "replace", "replace the sender's X-Virus-* headers by ours, or touch no header"
    )


@table
class KeySettings(Table):
    """`[keys]`: the secrets with which both sides of the sandwich know each other's word."""

    file: Annotated[str, places.FILE] = _key(
        "", "file of keys, a line `ID HEXKEY` each: the first one signs, all verify"
    )


@table
class ReceiptSettings(Table):
    """`[receipt]`: what the incoming side says of a message to the delivery side; needs `keys.file`."""

    max_age: Annotated[float, units.duration("1m", "168h")] = _key(
        "1h", "a message whose receipt is older is scanned again at the delivery side"
    )


@table
class VerifySettings(Table):
    """`[verify]`: the delivery side, which scans what has no valid receipt; mode, group and hosts as in `[milter]`."""

    socket: Annotated[Address | None, places.NO_ADDRESS] = _key(
        "", "socket on which the delivery MTA asks", restart=True
    )
    workers: Annotated[int, units.count(1, 64)] = _key(1, "processes that serve that socket", restart=True)


@table
class ProbeSettings(Table):
    """`[probe]`: messages of our own through the incoming sendmail, which prove that it has mail scanned."""

    interval: Annotated[float, units.duration("0s", "24h")] = _key(
        "0s", "time between two probes; 0s sends none", restart=True
    )
    server: Annotated[InetAddress, places.INET] = _key("inet:25@127.0.0.1", "the incoming sendmail")
    sender: Annotated[str, places.NO_MAILBOX] = _key("", "envelope sender; the empty one gets no bounce")
    recipient: Annotated[str, places.MAILBOX] = _key(
        "miltscan-probe@localhost", "envelope recipient, an alias for /dev/null at the incoming sendmail"
    )
    timeout: Annotated[float, units.duration("1s", "10m")] = _key("90s", "time for each reply of the server")
    readiness: Annotated[bool, units.FLAG] = _key(
        default=False, meaning="the service is ready only while the last probes went well"
    )


@table
class ExporterSettings(Table):
    """`[exporter]`: metrics and health over HTTP."""

    listen: Annotated[InetAddress | None, places.LISTEN] = _key(
        "127.0.0.1:9464", "where metrics and health are served", restart=True
    )
    directory: Annotated[str, places.FOLDER] = _key(
        "/run/miltscan/metrics", "folder of the counters that the processes share", restart=True
    )
    allow: Annotated[tuple[Network, ...], places.NETWORKS] = _key(
        ["127.0.0.0/8", "::1"], "hosts that may connect to the exporter"
    )
    certificate: Annotated[str, places.FILE] = _key("", "PEM file of its certificate and chain; with it, it speaks TLS")
    key: Annotated[str, places.FILE] = _key("", "PEM file of the private key, if it is not in the certificate's file")
    client_ca: Annotated[str, places.FILE] = _key("", "PEM file of the CA that clients need a certificate of")
    users_file: Annotated[str, places.FILE] = _key("", "users who may read it, as htpasswd -B writes them")
    token_file: Annotated[str, places.FILE] = _key("", "bearer tokens that may read it, one a line")

    def clash(self) -> str | None:
        """Both are of use to TLS only."""
        for name in ("key", "client_ca"):
            if getattr(self, name) and not self.certificate:
                return f"key exporter.{name}: expected exporter.certificate beside it"
        return None


@table
class QueueSettings(Table):
    """`[queues]`: the queues of the two sendmails, whose length the exporter tells."""

    incoming: Annotated[str, places.QUEUE] = _key("/var/spool/mqueue", "queue of the incoming sendmail")
    delivery: Annotated[str, places.QUEUE] = _key("/var/spool/mqueuedelivery", "queue of the delivery sendmail")
    interval: Annotated[float, units.duration("1s", "1h")] = _key("15s", "the queues are looked at this often")


@table
class LogSettings(Table):
    """`[log]`: the log on standard output."""

    format: Annotated[LogFormat, units.choice(LogFormat)] = _key("json", "how a line is written", restart=True)
    level: Annotated[LogLevel, units.choice(LogLevel)] = _key("info", "the mildest line that is written")


@table
class TracingSettings(Table):
    """`[tracing]`: a span per message by OpenTelemetry; needs the packages of deploy/requirements-otel.txt."""

    endpoint: Annotated[str, places.COLLECTOR] = _key("", "collector of traces, OTLP over HTTP", restart=True)
    addresses: Annotated[bool, units.FLAG] = _key(
        default=False, meaning="whether traces name sender, recipients, client and Message-ID", restart=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClamdEngineSettings:
    """`[[engine]]` with `type = "clamd"`; `timeout` in seconds, `skip_above` in bytes, None for no bound of its own."""

    type: Literal["clamd"] = "clamd"
    name: str = "clamd"
    required: bool = True
    on_error: ActionName | None = None
    timeout: float | None = None
    skip_above: int | None = None
    servers: tuple[Address, ...]
    canary_interval: float


EngineSettings = ClamdEngineSettings


@table
class Settings(Table):
    """The whole configuration."""

    milter: MilterSettings = MilterSettings()
    spool: SpoolSettings = SpoolSettings()
    limits: LimitSettings = LimitSettings()
    clamd: ClamdSettings = ClamdSettings()
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

    @property
    def engines(self) -> tuple[EngineSettings, ...]:
        """The engines in the order in which they are asked; of `[clamd]` one required engine."""
        return (ClamdEngineSettings(servers=self.clamd.servers, canary_interval=self.clamd.canary_interval),)

    @property
    def workers(self) -> int:
        """The workers of both sockets, which share scan slots and sessions."""
        return self.milter.workers + (self.verify.workers if self.verify.socket else 0)

    def clash(self) -> str | None:
        """A probe is signed, and there has to be one; and who asks at a socket is on one side of the sandwich."""
        if self.verify.socket == self.milter.socket:
            return f'key verify.socket = "{self.verify.socket}": expected another socket than milter.socket'
        if self.probe.interval and not self.keys.file:
            return "key probe.interval: expected keys.file beside it, with whose key probes are signed"
        if self.probe.readiness and not self.probe.interval:
            return "key probe.readiness: expected probe.interval beside it, which is 0s and sends no probe"
        return None

    def policy_for(self, hostname: str) -> Policy:
        """The policy of the core; `hostname` is what X-Virus-Scanned names."""
        marked = self.headers.mode is HeaderMode.REPLACE
        unscanned = self.policy.on_unscanned
        return Policy(
            on_infected=self.policy.on_infected,
            on_error=self.policy.on_error,
            on_unscanned={limit: getattr(unscanned, limit.replace("-", "_")) for limit in Limit},
            scanned_by=f"miltscan {__version__} at {hostname}" if marked else None,
        )


def load_settings(path: Path | None = None) -> Settings:
    """The settings in `path`; of None those in DEFAULT_PATH, or the defaults where that does not exist.

    Raises ConfigError.
    """
    file = path or DEFAULT_PATH
    try:
        return parse_settings(file.read_bytes(), str(file))
    except FileNotFoundError:
        if path is None:
            return Settings()
        raise ConfigError(f"{file}: cannot be read: no such file") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {(error.strerror or str(error)).lower()}") from None


def parse_settings(data: bytes, name: str) -> Settings:
    """The settings in the TOML `data` of the file `name`; raises ConfigError with a line for each mistake."""
    from miltscan.config.validation import validated  # noqa: PLC0415 - see there: whoever has settings needs no pydantic

    try:
        return validated(Settings, _document(data.removeprefix(BOM_UTF8)))
    except ConfigError as error:
        raise ConfigError("\n".join(f"{name}: {line}" for line in str(error).split("\n"))) from None


def _document(data: bytes) -> dict[str, object]:
    """What the TOML says. Raises ConfigError, a line without the file's name."""
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"line {line}: expected UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(syntax(str(error), data.decode())) from None
    except ValueError:  # of int(), which is what is left
        raise ConfigError("expected no number of thousands of digits") from None
    except RecursionError:
        raise ConfigError("expected no brackets within brackets hundreds deep") from None
