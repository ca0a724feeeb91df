"""Notices and summaries about the quarantine, sent by the keeper."""

import socket
import time
from itertools import product

from miltscan.config.keyfile import Loaded
from miltscan.config.settings import Settings
from miltscan.daemon.keeping import Current, Health, Stores
from miltscan.errors import StoreError
from miltscan.quarantine.audience import AreaMails, MailStep, Told
from miltscan.quarantine.notifier import Notifier
from miltscan.quarantine.post import Mailed, Mails
from miltscan.quarantine.templates import Sender
from miltscan.telemetry import keeper_metrics, log

_POLL = 2.0  # seconds between two looks
_AT_ONCE = 20  # mails


class Notifying:
    """The mails of a service. A reload makes a new notifier: what was sent is known from the files."""

    def __init__(self, current: Current) -> None:
        self._current = current
        self._stores = Stores(current)
        self._health = Health("notice")
        self._made: tuple[Loaded, Notifier] | None = None
        for kind, step in product(("notice", "summary", "late"), set(MailStep) - {MailStep.SENDING}):
            # with 0: a counter that appears with its first event shows no increase
            keeper_metrics.QUARANTINE_MAILS.child(kind, step)

    def run(self) -> float:
        """Send what is due; return the seconds until the next look."""
        try:
            done = self._notifier(self._current()).work(time.time(), _AT_ONCE)
        except StoreError as error:
            self._health.fails(str(error))
            return _POLL
        self._health.works()
        for one in done:
            record_mail(one)
        return 0.0 if len(done) >= _AT_ONCE else _POLL

    def _notifier(self, loaded: Loaded) -> Notifier:
        if self._made is None or self._made[0] is not loaded:
            key = loaded.keys[0] if loaded.keys and loaded.settings.has_verifier else None
            mails = mails_of(loaded.settings, socket.gethostname())
            made = Notifier(self._stores.get(), mails, time.time(), key=key, broken=_broken)
            self._made = loaded, made
        return self._made[1]


def mails_of(settings: Settings, host: str) -> Mails:
    """The settings of the mails; `host` names them."""
    notice, delivery = settings.notice, settings.delivery
    areas = {
        name: AreaMails(Told.of(area.notice), Told.of(area.summary), area.max_age)
        for name, area in settings.quarantine.areas.items()
    }
    return Mails(
        areas,
        tuple(address.encode() for address in notice.administrators),
        Sender(notice.sender or f"postmaster@{host}", host),
        (delivery.server.host, delivery.server.port),
        delivery.timeout,
        notice.summary_at,
        notice.max_per_hour,
        notice.templates,
    )


def record_mail(mailed: Mailed) -> None:
    """Count a mail, and write its line."""
    keeper_metrics.QUARANTINE_MAILS.child(mailed.kind, mailed.step).inc()
    recipient = mailed.addressee.address
    if mailed.step is MailStep.SENT:
        log.logger().info("mail_sent", kind=mailed.kind, about=mailed.about, recipient=recipient, reply=mailed.reply)
    else:
        log.logger().warning(
            "mail_failed",
            kind=mailed.kind,
            about=mailed.about,
            recipient=recipient,
            result=mailed.step,
            reply=mailed.reply,
        )


def _broken(line: str) -> None:
    log.logger().error("template_broken", why=line)
