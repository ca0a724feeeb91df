"""The messages of the scripted day: what each adds to the counters, by the hour and what is broken then. Pure."""

import math
from dataclasses import dataclass
from random import Random

from miltscan.telemetry import engine_metrics, keeper_metrics, mail_metrics
from tests.panels.samples import Samples

_CLEAN_SYMBOLS = ("R_SPF_ALLOW", "R_DKIM_ALLOW", "DMARC_POLICY_ALLOW", "MIME_GOOD", "RCVD_TLS_ALL")
_SPAM_SYMBOLS = ("BAYES_SPAM", "R_SPF_FAIL", "DMARC_POLICY_REJECT", "URIBL_BLACK", "FORGED_RECIPIENTS")
_WAVE = ("Win.Trojan.Emotet-9951800-0", "Doc.Downloader.Valyria-6816522-1")
_SOMETIMES = (
    "Win.Trojan.Agent-1388639",
    "Heuristics.Phishing.Email.SpoofedDomain",
    "Html.Phishing.Bank-7",
    "Pdf.Exploit.CVE_2018_4882-6",
)
_QUEUE_WAIT = 10.0
"""Seconds that a message waits for a scan slot (limits.queue_wait)."""
_SCORE_MISSED = 0.002
_ANOMALIES = ("quoted-printable-broken", "base64-foreign", "multipart-unclosed", "hidden-part", "double-extension")


@dataclass(frozen=True, slots=True)
class Moment:
    """What is true of a minute: how much mail arrives, what is down, and what the site has."""

    messages: float
    servers: tuple[str, ...]
    up: tuple[str, ...]
    busy: bool = False
    wave: bool = False
    delivery: bool = True
    spam: bool = True


class Mail:
    """Sends messages to the counters. `kept` and `accepted` are those of the last minute."""

    def __init__(self, samples: Samples, chance: Random) -> None:
        self.samples = samples
        self.chance = chance
        self.kept = 0
        self.accepted = 0

    def arrive(self, moment: Moment) -> None:
        """Count the messages of a minute."""
        self.kept = self.accepted = 0
        number = int(moment.messages) + (self.chance.random() < moment.messages % 1)
        for _ in range(number):
            self._message(moment)

    def _message(self, moment: Moment) -> None:
        direction = self.chance.choices(("inbound", "outbound", "submission", "internal"), (70, 12, 13, 5))[0]
        wait = self.chance.expovariate(0.25) if moment.busy else 0.0
        size = int(math.exp(self.chance.gauss(9.8, 1.6)))
        scan = (0.004 + size * 3e-8) * math.exp(self.chance.gauss(0, 0.5)) * (6 if moment.busy else 1)
        outcome, action, code, reason = self._fate(moment, direction, wait)
        count, observe = self.samples.count, self.samples.observe
        count(mail_metrics.MESSAGES, direction, outcome, action)
        count(mail_metrics.REPLIES, code)
        observe(mail_metrics.MESSAGE_BYTES, size)
        observe(mail_metrics.SLOT_WAIT_SECONDS, wait)
        observe(mail_metrics.MESSAGE_SECONDS, wait + scan + (10 if reason == "connect" else 0))
        if reason:
            count(mail_metrics.UNSCANNED, reason)
        if reason == "busy":
            count(mail_metrics.SHED)
        if outcome != "error" and moment.up:
            size_class = engine_metrics.SizeClass.SMALL if size <= 32768 else "medium" if size <= 2**20 else "large"
            observe(engine_metrics.SCAN_SECONDS, scan, "clamd", self.chance.choice(moment.up), size_class)
            self._structure(outcome, size)
        if outcome == "infected":
            self._detected(moment, action)
        if (outcome, action) == ("clean", "reject"):
            count(mail_metrics.RULE_MATCHES, "no-executables", "yes")
        if moment.spam and outcome in {"clean", "spam"}:
            self._scored(outcome)
        self.accepted += action in {"accept", "redirect"}

    def _fate(self, moment: Moment, direction: str, wait: float) -> tuple[str, str, str, str]:
        """Return outcome, action, code and the reason of what was not scanned."""
        if not moment.up:
            self.samples.count(engine_metrics.ENGINE_ERRORS, "clamd", "connect")
            return "error", "tempfail", "451", "connect"
        if wait > _QUEUE_WAIT:
            return "unscanned", "tempfail", "451", "busy"
        draw = self.chance.random()
        inbound = direction == "inbound"
        infected = ("infected", "quarantine", "250", "") if moment.spam else ("infected", "reject", "550", "")
        fates = (
            (0.6 if moment.wave and inbound else 0.004 * inbound, infected),
            (0.07 * (moment.spam and inbound), ("spam", "accept", "250", "")),
            (0.004, ("unscanned", "accept", "250", "encrypted")),
            (0.001, ("unscanned", "tempfail", "451", "limits")),
            (0.01 * moment.spam, ("clean", "reject", "550", "")),
        )
        for share, fate in fates:
            if draw < share:
                return fate
            draw -= share
        return "clean", "accept", "250", ""

    def _detected(self, moment: Moment, action: str) -> None:
        name = self.chance.choice(_WAVE if moment.wave else _SOMETIMES)
        family = name.split(".")[1]
        self.samples.count(mail_metrics.SIGNATURE_DETECTIONS, name)
        self.samples.count(mail_metrics.DETECTIONS, family if name[0] != "H" else "Heuristics")
        if action == "quarantine":
            self.kept += 1
            self.samples.observe(keeper_metrics.QUARANTINE_PUT_SECONDS, math.exp(self.chance.gauss(-4.6, 0.5)))

    def _structure(self, outcome: str, size: int) -> None:
        reading = "several" if self.chance.random() < (0.3 if outcome == "infected" else 0.01) else "plain"
        if reading == "plain" and self.chance.random() < 0.02:
            reading = "sampled"
        self.samples.count(mail_metrics.STRUCTURES, reading)
        self.samples.observe(mail_metrics.STRUCTURE_SECONDS, 0.0001 + size * 2.6e-8)
        if reading == "several":
            self.samples.count(mail_metrics.ANOMALY_MESSAGES, self.chance.choice(_ANOMALIES))
            self.samples.count(mail_metrics.PARTS_SCANNED, by=self.chance.randint(1, 4))

    def _scored(self, outcome: str) -> None:
        if self.chance.random() < _SCORE_MISSED:
            self.samples.count(engine_metrics.ENGINE_MISSING, "rspamd", "timeout")
            return
        spam = outcome == "spam"
        score = self.chance.gauss(9, 3) if spam else self.chance.gauss(-1, 1.5)
        self.samples.observe(engine_metrics.SPAM_SCORE, score, "rspamd")
        proposed = "no action" if not spam else "reject" if score > 12 else "add header"
        self.samples.count(engine_metrics.SPAM_ACTIONS, "rspamd", proposed)
        for symbol in self.chance.sample(_SPAM_SYMBOLS if spam else _CLEAN_SYMBOLS, 2):
            self.samples.count(engine_metrics.SPAM_SYMBOLS, "rspamd", symbol)
        if self.chance.random() < 0.01:
            self.samples.count(mail_metrics.RULE_MATCHES, "newsletters", "no")
            self.samples.count(mail_metrics.LIST_HITS, self.chance.choice(("allow", "allow", "deny")))
