"""The two probes through the incoming sendmail: they are made, sent and checked here.

A probe succeeds only if the reply proves that our filter had it scanned: the clean one as clean, the test signature as
infected. A 250 proves the contrary: a sendmail without its filter accepted a message that was not scanned.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from miltscan.config.places import INET
from miltscan.config.settings import Settings
from miltscan.config.tables import ProbeSettings as Options
from miltscan.core.keys import Key, Keyring
from miltscan.core.probe import PROBE_HEADER, Probe, ProbeKind, Stage, read_answer, sign_probe
from miltscan.core.text import readable
from miltscan.core.verdict import Outcome
from miltscan.engines.clamd.canary import canary_mail
from miltscan.engines.clamd.client import test_signature
from miltscan.errors import ConfigError
from miltscan.sandwich.submit import OutgoingMail, Submission, submit

_WANTED = {ProbeKind.CLEAN: Outcome.CLEAN, ProbeKind.SIGNATURE: Outcome.INFECTED}
_ACCEPTED = 250
_ACCEPTED_UNSCANNED = (
    "ACCEPTED UNSCANNED: no filter with this key processed it; see INPUT_MAIL_FILTER and its F= in incoming"
)
_UNPROVEN = "the reply does not prove a scan: no filter answers, or its keys or clock differ"
_UNREAD = "a filter scans, but has not read key {key}; run there: systemctl reload miltscan"


class Result(NamedTuple):
    """One probe: the two of them differ in `message`. `why` is what is wrong, and is empty if all is well."""

    message: ProbeKind
    why: str
    reply: str
    seconds: dict[Stage, float]

    @property
    def well(self) -> bool:
        """Whether our filter had it scanned, and the engine found what there was to find."""
        return not self.why


def signing_key(keys: Keyring) -> Key:
    """The key that probes are signed with. Raises ConfigError if there is none."""
    if not keys:
        raise ConfigError("keys.file is empty: probes must be signed. Set keys.file, then run: miltscan keys new")
    return keys[0]


def options_for(settings: Settings, server: str | None) -> Options:
    """The settings of the probe, with another server if one is named. Raises ConfigError if that is not an address."""
    if server is None:
        return settings.probe
    try:
        return settings.probe.model_copy(update={"server": INET.parse(server)})
    except ValueError as error:
        raise ConfigError(f"--server {readable(server)}: {error}") from None


def run_probes(options: Options, key: Key) -> list[Result]:
    """Send each probe in turn and judge both."""
    return judged([_run(options, key, kind) for kind in ProbeKind], key)


def _run(options: Options, key: Key, kind: ProbeKind) -> Result:
    message, probe = make(key, kind)
    place = (options.server.host, options.server.port)
    sent = submit(place, OutgoingMail(options.sender, options.recipient, message), options.timeout)
    return Result(kind, fault(probe, sent), readable(str(sent.reply)), sent.seconds)


def judged(results: Sequence[Result], key: Key) -> list[Result]:
    """Name what both probes together show: a filter that has not read the key accepts one and rejects the other.

    To such a filter both are ordinary mail. That the accepted one was not scanned would be a wrong alarm.
    """
    if sorted(result.why for result in results) != sorted([_ACCEPTED_UNSCANNED, _UNPROVEN]):
        return [*results]
    why = f"{_UNREAD.format(key=key.id)}, or another filter answers"
    return [result._replace(why=why) for result in results]


def unsent(why: str) -> list[Result]:
    """The results of probes that were not sent for this reason."""
    return [Result(kind, why, "", {}) for kind in ProbeKind]


def make(key: Key, kind: ProbeKind) -> tuple[bytes, Probe]:
    """A new probe: the message, and what its answer is compared with."""
    nonce = os.urandom(16)
    attachment = test_signature() if kind is ProbeKind.SIGNATURE else b"harmless"
    mail = canary_mail(nonce.hex().encode(), attachment, b"probe")
    body = mail.partition(b"\r\n\r\n")[2]
    value, probe = sign_probe(key, kind, time.time(), nonce, hashlib.sha256(body).digest())
    return f"{PROBE_HEADER}: {value}\r\n".encode() + mail, probe


def fault(probe: Probe, sent: Submission) -> str:
    """What is wrong, in words; empty if all is well."""
    answer = read_answer(probe, sent.reply.text)
    if answer is not None:
        wanted = _WANTED[probe.kind]
        return "" if answer.outcome is wanted else f"the scan ended {answer.outcome}, not {wanted}"
    if sent.reply.code == 0:
        remedy = "; start the incoming sendmail, or change probe.server" if sent.stage is Stage.CONNECT else ""
        return f"no reply in stage {sent.stage}{remedy}"
    if sent.stage is not Stage.DATA:
        return f"rejected before the message, in stage {sent.stage}"
    if sent.reply.code == _ACCEPTED:
        return _ACCEPTED_UNSCANNED
    return _UNPROVEN


def probe_fields(results: Iterable[Result]) -> list[dict[str, object]]:
    """For a machine; times in seconds, null where the stage was not begun."""
    return [
        {
            "message": one.message,
            "success": one.well,
            "why": one.why,
            "reply": one.reply,
            "seconds": {stage: one.seconds.get(stage) for stage in Stage},
        }
        for one in results
    ]


def probe_table(results: Sequence[Result]) -> str:
    """For people: a line for each probe with the time of each stage, then the replies and what is wrong."""
    head = f"{'message':10} {'result':7} " + " ".join(f"{stage:>11}" for stage in Stage)
    notes = [f"{one.message}: {line}" for one in results for line in (one.why, one.reply) if line]
    return "\n".join([head, *map(_row, results), "", *notes])


def _row(one: Result) -> str:
    times = [f"{one.seconds[stage] * 1000:8.1f} ms" if stage in one.seconds else f"{'-':>11}" for stage in Stage]
    return f"{one.message:10} {'ok' if one.well else 'FAILED':7} {' '.join(times)}"
