"""The scripted day of a mail host: quiet night, working day, burst, outages of clamd and delivery, virus wave. Pure.

04:00  signatures are updated           13:30 - 14:15  the delivery sendmail is down
09:30  a burst of 20 minutes            16:00 - 16:40  a wave of viruses, which are quarantined
10:30  a reload; at 10:20 one fails     18:00          a worker dies
11:00  one clamd is down, at 11:10 both, until 11:25
19:10  the log is not read until 19:40   20:30 - 20:40  another process has the milter socket
"""

from collections.abc import Iterator
from random import Random

from miltscan.core import thresholds
from miltscan.telemetry import engine_metrics, keeper_metrics, mail_metrics, metrics, sandwich_metrics, service_metrics
from tests.panels.mail import Mail, Moment
from tests.panels.samples import SCRAPES, Samples

MINUTE = 60
BEGIN = 1_790_035_200
"""2026-09-22 00:00 UTC."""
END = BEGIN + (23 * 60 + 50) * MINUTE
"""Before midnight, so that no label of an axis is at its very end."""
TARGET = {"job": "miltscan", "instance": "mx1.example.org:9464"}
_SERVERS = ("/run/clamav/clamd.ctl", "inet:3310@192.0.2.7")
_UNREACHED = ("20:30", "20:40")
_GIB = 2**30
_BYTES_EACH = 40_000


def between(minute: int, begin: str, end: str) -> bool:
    """Return whether a minute of the day is in the times `HH:MM` from `begin` to before `end`."""
    first, last = (int(time[:2]) * 60 + int(time[3:]) for time in (begin, end))
    return first <= minute < last


def day(*, default: bool = False, minutes: int = (END - BEGIN) // MINUTE) -> Iterator[str]:
    """Yield the day as OpenMetrics text; the `default` host has one clamd, and no probe, quarantine and rspamd."""
    samples = Samples(TARGET)
    host = _Host(samples, default=default)
    for minute in range(minutes + 1):
        host.pass_minute(minute)
        if minute * MINUTE % SCRAPES == 0:
            samples.scrape(BEGIN + minute * MINUTE)
    yield from samples.text()


class _Host:
    def __init__(self, samples: Samples, *, default: bool) -> None:
        self.samples = samples
        self.default = default
        self.chance = Random(7)  # noqa: S311 - the same day each time
        self.mail = Mail(samples, self.chance)
        self.incoming = 0.0
        self.delivery = 6.0
        self.kept = 40
        self.since = 0.0

    def pass_minute(self, minute: int) -> None:
        """Count the mail of a minute and show the state at its end."""
        moment = self._moment(minute)
        now = float(BEGIN + minute * MINUTE)
        self.mail.arrive(moment)
        self._events(minute)
        self._engines(moment, minute, now)
        self._queues(moment, now)
        self._service(moment, minute)
        if not self.default:
            self._quarantine(minute, now)
            self._probes(moment, minute, now)
        self.samples.show(mail_metrics.SOURCES_STALE, 0)
        self.samples.show(mail_metrics.LISTS_STALE, 0)
        self.samples.show(keeper_metrics.KEEPER_CONFIGURED, not self.default)
        self._alerts(minute)
        self.samples.show_rest(skip=_ABSENT | (_OPTIONAL if self.default else frozenset()))

    def _moment(self, minute: int) -> Moment:
        servers: tuple[str, ...] = _SERVERS[:1] if self.default else _SERVERS
        up = servers
        if between(minute, "11:00", "11:25"):
            up = () if self.default or minute >= 11 * 60 + 10 else servers[1:]
        working = 11 if between(minute, "07:30", "18:30") else 2.3
        wave, busy = between(minute, "16:00", "16:40"), between(minute, "09:30", "09:50")
        amount = working * self.chance.uniform(0.7, 1.3) + 22 * wave + 110 * busy
        if between(minute, *_UNREACHED):
            amount = 0.0
        delivery = not between(minute, "13:30", "14:15")
        return Moment(amount, servers, up, busy, wave, delivery, not self.default)

    def _events(self, minute: int) -> None:
        count = self.samples.count
        if minute == 18 * 60:
            count(service_metrics.RESPAWNS)
        if minute == 10 * 60 + 20:
            count(service_metrics.RELOADS, "failed")
        if minute == 10 * 60 + 30:
            count(service_metrics.RELOADS, "ok")
        if between(minute, "19:25", "19:40"):  # what waits is full
            count(service_metrics.LOG_LINES_LOST, by=self.mail.accepted)
        if minute % 37 == 0:
            count(service_metrics.HTTP_REFUSED, "request")
        for process, share in (("supervisor", 0.01), ("exporter", 0.2), ("0", 2.5), ("1", 2.2)):
            count(service_metrics.CPU, process, by=share + share * self.mail.accepted / 20)

    def _engines(self, moment: Moment, minute: int, now: float) -> None:
        show = self.samples.show
        for server in moment.servers:
            is_up = server in moment.up
            show(engine_metrics.ENGINE_UP, is_up, "clamd", server)
            show(engine_metrics.ENGINE_DEGRADED, moment.busy and server == _SERVERS[0], "clamd", server)
            show(engine_metrics.ENGINE_WATCHED, server == _SERVERS[0], "clamd", server)
            last = now - 20 if is_up else BEGIN + 11 * 3600 + (600 if server != _SERVERS[0] else 0)
            show(engine_metrics.CANARY_PASSED, last, "clamd", server)
            new = minute >= 240
            show(engine_metrics.SIGNATURES, 27_700 + new, "clamd", server)
            show(engine_metrics.SIGNATURES_PUBLISHED, BEGIN + (4 * 3600 if new else -20 * 3600), "clamd", server)
            if is_up:
                show(engine_metrics.CLAMD_QUEUE, 14 if moment.busy else 0, "clamd", server)
                for state, threads in (("live", 10 if moment.busy else 1), ("idle", 1), ("max", 12)):
                    show(engine_metrics.CLAMD_THREADS, threads, "clamd", server, state)
        show(engine_metrics.ENGINE_REQUIRED, 1, "clamd")
        if moment.spam:
            show(engine_metrics.ENGINE_UP, 1, "rspamd", "http://127.0.0.1:11333")
            show(engine_metrics.CANARY_PASSED, now - 12, "rspamd", "http://127.0.0.1:11333")
            show(engine_metrics.ENGINE_REQUIRED, 0, "rspamd")

    def _queues(self, moment: Moment, now: float) -> None:
        show = self.samples.show
        if moment.delivery:
            self.incoming *= 0.8
            self.incoming -= self.incoming % 1
            self.since = now
        else:
            self.incoming += self.mail.accepted
        self.delivery = max(0.0, self.delivery + self.chance.choice((-1, 0, 0, 1)))
        for queue, entries, oldest in (
            ("incoming", self.incoming, self.since),
            ("delivery", self.delivery, now - 9000),
        ):
            show(sandwich_metrics.QUEUE_ENTRIES, entries, queue)
            show(sandwich_metrics.QUEUE_BYTES, entries * _BYTES_EACH, queue)
            show(sandwich_metrics.QUEUE_READABLE, 1, queue)
            show(sandwich_metrics.SENDMAIL_UP, queue == "incoming" or moment.delivery, queue)
            if entries:
                show(sandwich_metrics.QUEUE_OLDEST, oldest, queue)

    def _service(self, moment: Moment, minute: int) -> None:
        show = self.samples.show
        show(mail_metrics.SESSIONS, 40 if moment.busy else 2 + self.mail.accepted // 3)
        show(mail_metrics.TRANSACTIONS, 22 if moment.busy else self.mail.accepted // 5)
        show(mail_metrics.SPOOL_FREE_BYTES, 7.1 * _GIB)
        show(mail_metrics.SPOOL_FILES, 3 if moment.busy else 0)
        show(mail_metrics.SPOOL_BYTES, 9e6 if moment.busy else 0)
        show(service_metrics.WORKERS, 1 if minute == 18 * 60 else 2)
        show(service_metrics.WORKERS_CONFIGURED, 2)
        show(service_metrics.SOCKET_BOUND, not between(minute, *_UNREACHED), "milter.socket")
        show(service_metrics.LOG_STALLED, 2 * between(minute, "19:10", "19:40"))
        show(service_metrics.RELOADED, BEGIN + (10.5 * 3600 if minute >= 630 else -90_000))
        show(service_metrics.CONFIG, 1, "5b1c0f77a2de" if minute >= 630 else "9d20e6412b30")
        show(service_metrics.BUILD, 1, "0.9.0", "3.13.5")
        show(service_metrics.THRESHOLD_LATENCY, thresholds.LATENCY)
        show(service_metrics.THRESHOLD_SIGNATURE_AGE, thresholds.SIGNATURE_AGE)
        show(service_metrics.SCRAPE_SECONDS, 0.011 + 0.002 * self.chance.random())
        for number, process in enumerate(("supervisor", "exporter", "0", "1")):
            show(service_metrics.RESIDENT, (22 + 9 * number) * 2**20, process)
            show(service_metrics.DESCRIPTORS, 12 + 8 * number + self.mail.accepted // 4, process)
        self.samples.show_other("up", 1)

    def _quarantine(self, minute: int, now: float) -> None:
        show = self.samples.show
        self.kept += self.mail.kept
        if minute == 20 * 60:
            self.samples.count(keeper_metrics.QUARANTINE_EXPIRED, by=38)
            self.kept -= 38
        if minute in {8 * 60, 19 * 60}:
            self.samples.count(keeper_metrics.QUARANTINE_RELEASES, "released", by=2)
            self.samples.count(keeper_metrics.QUARANTINE_MAILS, "notice", "sent", by=5)
        if minute % 60 == 0:
            self.samples.count(keeper_metrics.QUARANTINE_RESCANS, "detected", by=12)
        for area, entries in (("virus", self.kept), ("spam", 120)):
            show(keeper_metrics.QUARANTINE_ENTRIES, entries, area)
            show(keeper_metrics.QUARANTINE_BYTES, entries * _BYTES_EACH, area)
            show(keeper_metrics.QUARANTINE_OLDEST, now - 6 * 86_400, area)
            show(keeper_metrics.QUARANTINE_CLEARED, 3 if area == "virus" and minute > 1200 else 0, area)
        show(keeper_metrics.QUARANTINE_UNINDEXED, 0)
        show(keeper_metrics.QUARANTINE_DISK_BYTES, 40 * _GIB)
        show(keeper_metrics.QUARANTINE_FREE_BYTES, 31 * _GIB - self.kept * _BYTES_EACH)
        show(keeper_metrics.KEEPER_LAST_ROUND, now - 1)
        show(mail_metrics.LIST_ENTRIES, 14, "allow")
        show(mail_metrics.LIST_ENTRIES, 5, "deny")
        show(service_metrics.KEYS, 1, "2026-01", "signs")
        self.samples.count(mail_metrics.RECEIPTS, "valid", by=self.mail.accepted)
        self.samples.count(keeper_metrics.ARCHIVED, "kept", by=self.mail.accepted)
        self.samples.count(keeper_metrics.ARCHIVE_SEARCHES, "unknown", by=self.mail.kept)
        show(keeper_metrics.ARCHIVE_BYTES, 5e7 + 300 * minute)

    def _probes(self, moment: Moment, minute: int, now: float) -> None:
        success = bool(moment.up) and not between(minute, *_UNREACHED)
        for message in ("clean", "signature"):
            self.samples.show(sandwich_metrics.PROBE_SUCCESS, success, message)
            self.samples.show(sandwich_metrics.PROBE_LAST_RUN, now - 60 * (minute % 5), message)
            for stage, seconds in (("connect", 0.002), ("envelope", 0.011), ("data", 2 if moment.busy else 0.06)):
                self.samples.show(sandwich_metrics.PROBE_SECONDS, seconds, message, stage)

    def _alerts(self, minute: int) -> None:
        firing = (
            ("MiltscanNoEngine", "critical", "11:12", "11:26"),
            ("MiltscanSendmailDown", "critical", "13:32", "14:16"),
            ("MiltscanReloadFailed", "warning", "10:25", "10:31"),
            ("MiltscanSocketLost", "critical", "20:31", "20:41"),
        )
        for name, severity, begin, end in firing:
            if between(minute, begin, end):
                state = {"alertname": name, "alertstate": "firing", "severity": severity}
                self.samples.show_other("ALERTS", 1, **state)
        self.samples.show_other("miltscan:setting:coverage_objective", 0.999)


_ABSENT = frozenset(
    family.name for family in metrics.FAMILIES if "_timestamp_" in family.name or "_stale" in family.name
)
_OPTIONAL = frozenset(
    family.name
    for family in metrics.FAMILIES
    if family.name.startswith(
        (
            "miltscan_quarantine",
            "miltscan_probe",
            "miltscan_list_",
            "miltscan_key",
            "miltscan_clamd",
            "miltscan_archive",
        )
    )
)
