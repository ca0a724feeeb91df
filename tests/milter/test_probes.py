"""Probes through the real service and a fake MTA: rejected with the proof, never counted; all else is ordinary mail."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from miltscan.core.action import ActionName
from miltscan.core.probe import Answer, ProbeKind, read_answer
from miltscan.core.verdict import Outcome
from tests.fakes import clamd_lies as lies
from tests.fakes.clamd_lies import unless_canary
from tests.fakes.eicar import EICAR
from tests.fakes.milter_wire import Code, HeaderEdit
from tests.fakes.mta import MTA, Message
from tests.harness import ports
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon, scanned
from tests.milter.probes import KEY_FILE, probe

NAME = b"X-Miltscan-Probe"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with a key file."""
    path = Path(tempfile.mkdtemp(prefix="miltscan-"))  # short: a unix socket's path has 107 bytes
    (path / "keys").write_text(KEY_FILE)
    (path / "keys").chmod(0o600)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def keyed(shared: Fleet, folder: Path) -> Daemon:
    """A service with a key and both sockets; it sends no probe itself."""
    return shared(keys__file=f"{folder}/keys", verify__socket=f"unix:{folder}/verify")


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (ProbeKind.CLEAN, Answer(Outcome.CLEAN, ActionName.ACCEPT)),
        (ProbeKind.SIGNATURE, Answer(Outcome.INFECTED, ActionName.REJECT)),
    ],
)
def test_a_probe_is_scanned_refused_and_not_counted(keyed: Daemon, kind: ProbeKind, answer: Answer) -> None:
    """The engine receives all of it; no header is changed; it has its own line and no other."""
    message, ours = probe(kind, f"P-{kind}".encode())
    result = keyed.send(message)
    assert read_answer(ours, result.reply.smtp.decode()) == answer
    assert (result.reply.smtp[:9], result.edits) == (b"550 5.7.1", ())
    assert len(scanned(keyed.clamd)) == 1
    (line,) = keyed.wait_logged("probe_message", queue_id=f"P-{kind}")
    assert (line["probe"], line["outcome"], line["rule"]) == (kind, answer.outcome, "probe")
    keyed.send(Message(queue_id=b"AFTER-%s" % kind.encode()))
    mail = len(keyed.wait_logged("message", queue_id=f"AFTER-{kind}")) and len(keyed.logged("message"))
    for name in ("messages_total", "smtp_replies_total", "message_size_bytes_count", "scan_duration_seconds_count"):
        keyed.wait_metric(name, mail)
    assert keyed.metric("detections_total") == len(keyed.logged("message", outcome="infected"))


def test_an_engine_that_fails_is_told(keyed: Daemon) -> None:
    """The policy's own tempfail, with the proof that this is what the scan came to."""
    keyed.clamd.behaviour = unless_canary(lies.FAULTS["half_reply"])
    message, ours = probe(ProbeKind.CLEAN, b"P-FAULT")
    result = keyed.send(message)
    assert result.reply.smtp.startswith(b"451 4.7.1 Message not scanned")
    assert read_answer(ours, result.reply.smtp.decode()) == Answer(Outcome.ERROR, ActionName.TEMPFAIL)


@pytest.mark.parametrize("body", [b"hello\r\n", EICAR + b"\r\n"], ids=["clean", "virus"])
def test_its_header_on_other_mail_is_worth_nothing(keyed: Daemon, body: bytes) -> None:
    """Ordinary mail, without the header where it passes."""
    message, _ = probe(ProbeKind.CLEAN, b"REUSED%d" % len(body))
    before = len(keyed.logged("message"))
    result = keyed.send(replace(message, body=body))
    assert result.accepted is (body == b"hello\r\n")
    assert b"[probe" not in result.reply.smtp
    assert (HeaderEdit(Code.CHANGE_HEADER, NAME, b"", 1) in result.edits) is result.accepted
    assert keyed.line_of(f"REUSED{len(body)}")["rule"] in {"clean", "policy.on_infected"}
    keyed.wait_metric("messages_total", before + 1)


def test_at_the_delivery_side_it_is_mail(keyed: Daemon, folder: Path) -> None:
    """To refuse it there would make the incoming side bounce it."""
    message, _ = probe(ProbeKind.CLEAN, b"P-DELIVERY")
    with MTA.open(f"unix:{folder}/verify") as mta:
        result = mta.send_message(message)
    assert result.accepted
    assert keyed.line_of("P-DELIVERY")["outcome"] == "clean"


RULED = {
    "quarantine": {},
    "discard:kept": {},
    "hold": {},
    "copy": {"to": ["boss@example.test"]},
    "redirect": {"to": ["boss@example.test"]},
}


@pytest.mark.parametrize("action", RULED)
def test_a_rule_decides_on_a_probe_and_nothing_is_carried_out(shared: Fleet, folder: Path, action: str) -> None:
    """Its answer names the action; no entry, no copy (there is no delivery sendmail), no hold, no count."""
    daemon = shared(
        keys__file=f"{folder}/keys",
        rule=[{"name": "ruled", "action": action, **RULED[action]}],
        quarantine__area={"kept": {}},
        delivery__server=f"inet:{ports.choose().number}@127.0.0.1",
    )
    queue_id = f"P-RULED-{action.partition(':')[0]}"
    message, ours = probe(ProbeKind.CLEAN, queue_id.encode())
    result = daemon.send(message)
    name = ActionName(action.partition(":")[0])
    assert read_answer(ours, result.reply.smtp.decode()) == Answer(Outcome.CLEAN, name)
    assert (result.reply.smtp[:3], result.edits, result.quarantine, result.refused) == (b"550", (), None, ())
    daemon.wait_logged("probe_message", queue_id=queue_id)
    assert [*(daemon.folder / "quarantine").rglob("*.entry")] == []
    assert daemon.metric("rule_matches_total") == daemon.metric("messages_total") == 0


def test_a_rule_that_refuses_a_probe_waits_for_its_end(shared: Fleet, folder: Path) -> None:
    """At RCPT there would be no proof; the reply is the rule's, which it names."""
    daemon = shared(keys__file=f"{folder}/keys", rule=[{"name": "nothing at all", "action": "reject"}])
    message, ours = probe(ProbeKind.CLEAN, b"P-REFUSED")
    result = daemon.send(replace(message, recipients=(b"<miltscan-probe@localhost>",)))
    assert (result.refused, read_answer(ours, result.reply.smtp.decode())) == (
        (),
        Answer(Outcome.CLEAN, ActionName.REJECT),
    )
    assert b"[nothing at all]" in result.reply.smtp
