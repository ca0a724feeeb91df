"""The synthetic probe: a message that miltscan sends itself through the incoming sendmail, and its proof of the scan.

    X-Miltscan-Probe: v=1; k=KEY; p=clean|signature; t=TIME; n=NONCE; d=DIGEST; m=MAC

DIGEST is the SHA-256 of the body, MAC an HMAC-SHA256 of all text before it, in a separate domain: no receipt is a
probe, and no probe is a receipt. Only a holder of the key can make one. A replayed probe is rejected again, as long as
it is `FRESH`.

A probe is rejected with any verdict: a rejected message is not delivered, and the 250 of a sendmail without a filter
cannot be confused with ours. The rejection ends with an answer:

    550 5.7.1 ... [probe o=OUTCOME a=ACTION m=MAC]

Its MAC covers the probe's own, so it proves that a filter with the key scanned this message, and with which outcome.
Pure. Nothing here raises, for any header or reply.
"""

import hmac
import re
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from miltscan.core.action import Action, ActionName, Decision, Reject, Reply, TempFail
from miltscan.core.edits import Header
from miltscan.core.keys import Key, Keyring
from miltscan.core.verdict import Outcome

PROBE_HEADER = "X-Miltscan-Probe"
FRESH = 300.0
"""Largest age of a probe, and difference between the clocks of two hosts, in seconds; an older one is ordinary mail."""

_NAME = PROBE_HEADER.lower().encode()
_X = {b"x", b"X"}
_FORM = re.compile(
    rb"(v=1; k=(?P<key>[A-Za-z0-9._-]{1,32}); p=(?P<kind>clean|signature); t=(?P<time>[0-9]{1,12});"
    rb" n=[0-9a-f]{32}; d=(?P<digest>[0-9a-f]{64})); m=(?P<mac>[0-9a-f]{64})"
)
_ANSWER = re.compile(r"\[probe o=(?P<outcome>[a-z]{1,16}) a=(?P<action>[a-z]{1,16}) m=(?P<mac>[0-9a-f]{64})\]")
_SHOWN = 200  # characters of the policy's own text; RFC 5321 section 4.5.3.1.5 allows 512 for the reply


class ProbeKind(StrEnum):
    """The two probes; a metric label."""

    CLEAN = "clean"
    SIGNATURE = "signature"


class Stage(StrEnum):
    """The stages of sending one, in order; a metric label."""

    CONNECT = "connect"
    ENVELOPE = "envelope"
    DATA = "data"


class Probe(NamedTuple):
    """Our probe: its kind, its key, and its MAC, which is unique."""

    kind: ProbeKind
    key: Key
    mac: str


class Answer(NamedTuple):
    """miltscan's answer to a probe: the outcome of its scan, and the action of the policy for such a message."""

    outcome: Outcome
    action: ActionName


def sign_probe(key: Key, kind: ProbeKind, now: float, nonce: bytes, body: bytes) -> tuple[str, Probe]:
    """The value of the header for a probe sent `now` (seconds since the epoch), and the probe.

    `nonce` is 16 random bytes, `body` the digest of the body.
    """
    text = f"v=1; k={key.id}; p={kind}; t={int(now)}; n={nonce.hex()}; d={body.hex()}"
    mac = _mac(key, "probe", text.encode())
    return f"{text}; m={mac}", Probe(kind, key, mac)


def verify_probe(keys: Keyring, headers: Sequence[Header], body: Callable[[], bytes], now: float) -> Probe | None:
    """The probe that a message with these headers is; None if it is ordinary mail.

    `body` is called for the digest of the body only where all else is correct.
    """
    names = [*_ours(headers)]
    form = _FORM.fullmatch(b" ".join(headers[names[0]][1].split())) if len(names) == 1 else None
    if form is None or abs(now - int(form["time"])) > FRESH:
        return None
    key = next((key for key in keys if key.id.encode() == form["key"]), None)
    if key is None or not hmac.compare_digest(_mac(key, "probe", form[1]).encode(), form["mac"]):
        return None
    if not hmac.compare_digest(body().hex().encode(), form["digest"]):
        return None
    return Probe(ProbeKind(form["kind"].decode()), key, form["mac"].decode())


def named(headers: Sequence[Header]) -> bool:
    """Whether there is a header of our name. Cheap, as it is called for every message."""
    return any(True for _ in _ours(headers))


def _ours(headers: Sequence[Header]) -> Iterator[int]:
    """The positions of headers of our name; the first byte of each name shows that nearly every message has none."""
    for at, (name, _) in enumerate(headers):
        if name[:1] in _X and name.lower() == _NAME:
            yield at


def probe_decision(probe: Probe, outcome: Outcome, decision: Decision) -> Decision:
    """The decision on a probe where any other message gets `decision`: never a 250.

    A rejection by the policy is kept, with the answer at its end; what would be kept or dropped is rejected as well.
    """
    action, name = decision.action, decision.action.name
    answer = f"[probe o={outcome} a={name} m={_answer(probe, outcome, name)}]"
    return Decision(_refusal(action, f"Probe: {outcome}, policy says {name}", answer), "probe")


def _refusal(action: Action, text: str, answer: str) -> Action:
    match action:
        case TempFail(reply):
            return TempFail(_with(reply, answer))
        case Reject(reply):
            return Reject(_with(reply, answer))
        case _:
            return Reject(Reply(550, "5.7.1", f"{text} {answer}"))


def _with(reply: Reply, answer: str) -> Reply:
    return Reply(reply.code, reply.status, f"{reply.text[:_SHOWN]} {answer}")


def read_answer(probe: Probe, text: str) -> Answer | None:
    """The answer in the text of a reply; None if it holds none, or one that was not made with our key."""
    found = _ANSWER.search(text)
    if found is None or found["outcome"] not in set(Outcome) or found["action"] not in set(ActionName):
        return None
    answer = Answer(Outcome(found["outcome"]), ActionName(found["action"]))
    return answer if hmac.compare_digest(found["mac"], _answer(probe, *answer)) else None


def _answer(probe: Probe, outcome: Outcome, action: ActionName) -> str:
    return _mac(probe.key, "probe answer", f"{probe.mac} {outcome} {action}".encode())


def _mac(key: Key, domain: str, text: bytes) -> str:
    return hmac.digest(key.secret, b"miltscan %b\n%b" % (domain.encode(), text), "sha256").hex()
