"""The tables of the configuration file about the mail path and the service, as frozen pydantic models.

A field holds the value ready for use (bytes, seconds, addresses). Its annotation names the notation in the file and
whether a change requires a restart; its description is the documentation.
"""

from collections.abc import Iterator
from enum import StrEnum
from ipaddress import ip_network
from typing import Annotated

from miltscan.config import places, units
from miltscan.config.table import RESTART, Table
from miltscan.core.address import Address, InetAddress, Network, UnixAddress

MTA_PATIENCE = 300.0  # seconds: sendmail's milter timeout `E:`, 5m by default, from the end of the message to its reply
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
