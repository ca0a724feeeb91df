"""The two probes: how they are made, and how a reply is interpreted."""

import json
import re
from collections.abc import Iterator

import pytest

from miltscan.config.settings import Settings
from miltscan.core.action import Accept, Decision, Reject, Reply
from miltscan.core.keys import Key
from miltscan.core.probe import Probe, ProbeKind, Stage, probe_decision
from miltscan.core.verdict import Outcome
from miltscan.errors import ConfigError
from miltscan.sandwich.submit import OutgoingMail, Submission
from miltscan.sandwich.transfer import ServerReply
from miltscan.scanning import probe_run
from miltscan.scanning.probe_run import (
    Result,
    fault,
    make,
    options_for,
    probe_fields,
    probe_table,
    run_probes,
    signing_key,
)
from tests.fakes.eicar import EICAR, holds_eicar

KEY = Key("k", b"k" * 32)
SECONDS = {Stage.CONNECT: 0.0012, Stage.ENVELOPE: 0.1, Stage.DATA: 2.0}


def sent(reply: ServerReply, stage: Stage = Stage.DATA) -> Submission:
    """A submission that ended so."""
    return Submission(reply, stage, SECONDS)


def answered(one: Probe, outcome: Outcome) -> ServerReply:
    """The reply to a probe with this outcome, by a policy that rejects viruses."""
    action = Accept() if outcome is Outcome.CLEAN else Reject(Reply(550, "5.7.1", "Virus found: Eicar"))
    reply = probe_decision(one, outcome, Decision(action, "x")).reply
    assert reply
    return ServerReply(reply.code, f"{reply.status} {reply.text}")


@pytest.mark.parametrize("kind", ProbeKind)
def test_each_is_a_new_message(kind: ProbeKind) -> None:
    """Signed in its first line, and never the same twice: clamd answers what it knows from a cache."""
    one, other = make(KEY, kind), make(KEY, kind)
    assert one[0].startswith(b"X-Miltscan-Probe: v=1; k=k; ")
    assert re.search(rb"; n=[0-9a-f]{32}; ", one[0])
    assert b"Subject: miltscan probe " in one[0]
    assert one[1].kind is kind
    assert one[1].mac != other[1].mac
    assert one[0].partition(b"\r\n\r\n")[2] != other[0].partition(b"\r\n\r\n")[2]
    assert b"\n" not in one[0].replace(b"\r\n", b"")
    assert holds_eicar(one[0]) is (kind is ProbeKind.SIGNATURE)
    assert EICAR not in one[0]  # the engine has to decode


@pytest.mark.parametrize(
    ("kind", "outcome", "wrong"),
    [
        (ProbeKind.CLEAN, Outcome.CLEAN, ""),
        (ProbeKind.SIGNATURE, Outcome.INFECTED, ""),
        (ProbeKind.CLEAN, Outcome.INFECTED, "the scan ended infected, not clean"),
        (ProbeKind.SIGNATURE, Outcome.CLEAN, "the scan ended clean, not infected"),
        (ProbeKind.CLEAN, Outcome.UNSCANNED, "the scan ended unscanned, not clean"),
        (ProbeKind.SIGNATURE, Outcome.ERROR, "the scan ended error, not infected"),
    ],
)
def test_an_answer_is_judged_by_its_outcome(kind: ProbeKind, outcome: Outcome, wrong: str) -> None:
    """Not by the code of the reply, which is the policy's."""
    _, one = make(KEY, kind)
    assert fault(one, sent(answered(one, outcome))) == wrong


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize(
    ("reply", "stage", "wrong"),
    [
        (ServerReply(0, "no reply: timed out"), Stage.CONNECT, "no reply in stage connect; start the incoming"),
        (
            ServerReply(550, "5.1.1 User unknown"),
            Stage.ENVELOPE,
            "rejected before the message, in stage envelope",
        ),
        (ServerReply(250, "2.0.0 A Message accepted for delivery"), Stage.DATA, "ACCEPTED UNSCANNED"),
        (ServerReply(451, "4.3.2 Please try again later"), Stage.DATA, "the reply does not prove a scan"),
        (ServerReply(550, "5.7.1 Virus found: Eicar"), Stage.DATA, "the reply does not prove a scan"),
    ],
)
def test_no_answer_is_no_scan(kind: ProbeKind, reply: ServerReply, stage: Stage, wrong: str) -> None:
    """A refusal that looks right is not enough: another filter may have said it."""
    assert fault(make(KEY, kind)[1], sent(reply, stage)).startswith(wrong)


def test_the_answer_to_the_other_probe_is_none() -> None:
    """The answer to one probe does not count for the other."""
    _, clean = make(KEY, ProbeKind.CLEAN)
    _, other = make(KEY, ProbeKind.CLEAN)
    assert fault(clean, sent(answered(other, Outcome.CLEAN)))


def test_both_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the server and in the envelope of the configuration; what comes back is fit to be read."""
    letters: list[tuple[object, OutgoingMail, float]] = []

    def record(place: tuple[str, int], letter: OutgoingMail, patience: float) -> Submission:
        letters.append((place, letter, patience))
        return sent(ServerReply(250, "2.0.0 \x1b[2J"))

    monkeypatch.setattr(probe_run, "submit", record)
    results = run_probes(options_for(Settings(), "inet:2525@mx.example.test"), KEY)
    assert [(place, letter[:2], patience) for place, letter, patience in letters] == [
        (("mx.example.test", 2525), ("", "miltscan-probe@localhost"), 90.0)
    ] * 2
    assert [result.message for result in results] == list(ProbeKind)
    assert not any(result.well for result in results)
    assert results[0].reply == r"250 2.0.0 \x1b[2J"


@pytest.mark.parametrize("discards", [False, True])
def test_a_filter_without_the_key_is_named_so(monkeypatch: pytest.MonkeyPatch, *, discards: bool) -> None:
    """Such a filter accepts the clean probe and rejects the other one; one that accepts both does not scan."""
    codes = iter([250, 250 if discards else 550])
    monkeypatch.setattr(probe_run, "submit", lambda *_: sent(ServerReply(next(codes), "2.0.0 x")))
    reasons = [result.why for result in run_probes(options_for(Settings(), None), KEY)]
    start = "ACCEPTED UNSCANNED" if discards else "a filter scans, but has not read key k; run there: systemctl reload"
    assert [reason.startswith(start) for reason in reasons] == [True, True]


def results() -> Iterator[Result]:
    """One that went well and one that did not."""
    yield Result(ProbeKind.CLEAN, "", "550 5.7.1 fine", SECONDS)
    yield Result(ProbeKind.SIGNATURE, "no reply in stage connect", "no reply: refused", {Stage.CONNECT: 0.1})


def test_what_people_read() -> None:
    """Times, result, and what was said."""
    assert probe_table([*results()]).splitlines() == [
        "message    result      connect    envelope        data",
        "clean      ok           1.2 ms    100.0 ms   2000.0 ms",
        "signature  FAILED     100.0 ms           -           -",
        "",
        "clean: 550 5.7.1 fine",
        "signature: no reply in stage connect",
        "signature: no reply: refused",
    ]


def test_what_machines_read() -> None:
    """Plain JSON; null for what was not reached."""
    told = json.loads(json.dumps(probe_fields(results())))
    assert told[0]["seconds"] == {"connect": 0.0012, "envelope": 0.1, "data": 2.0}
    assert told[1] == {
        "message": "signature",
        "success": False,
        "why": "no reply in stage connect",
        "reply": "no reply: refused",
        "seconds": {"connect": 0.1, "envelope": None, "data": None},
    }


def test_mistakes_get_a_line() -> None:
    """No key, no address."""
    with pytest.raises(ConfigError, match=r"keys\.file is empty: probes must be signed"):
        signing_key(())
    assert signing_key((KEY, Key("old", b"o" * 32))) == KEY
    for server in ("mx.example.test", "unix:/run/x", "inet:0@x", "\n"):
        with pytest.raises(ConfigError, match=r"^--server [^\n]*: expected [^\n]*$"):
            options_for(Settings(), server)
