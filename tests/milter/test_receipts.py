"""Receipts through the real service: made on one socket, believed on the other, and never a way around the scan."""

import hashlib
import hmac
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from miltscan.core.keys import Key
from miltscan.core.receipt import AcceptedBy, Claim, ReceiptResult, sign_receipt
from miltscan.core.verdict import Fault, Limit, Outcome
from tests.fakes import clamd_lies as lies
from tests.fakes.clamd_lies import unless_canary
from tests.fakes.eicar import EICAR
from tests.fakes.milter_wire import Code, HeaderEdit
from tests.fakes.mta import MTA, Message, Result
from tests.harness import decisions
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon, scanned

VIRUS = EICAR + b"\r\n"
KEY = Key("k", b"k" * 32)
NAME = b"X-Miltscan-Receipt"
HEADERS = ((b"Subject", b" test"), (b"X-Fold", b" a\n\tb"))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with a key file."""
    path = Path(tempfile.mkdtemp(prefix="miltscan-"))  # short: a unix socket's path has 107 bytes
    (path / "keys").write_text(f"{KEY.id} {KEY.secret.hex()}\n")
    (path / "keys").chmod(0o600)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def both(shared: Fleet, folder: Path) -> Daemon:
    """A service with both sockets."""
    return shared(keys__file=f"{folder}/keys", verify__socket=f"unix:{folder}/verify")


def verified(folder: Path, message: Message) -> Result:
    """The reply of the delivery side."""
    with MTA.open(f"unix:{folder}/verify") as mta:
        return mta.send_message(message)


def receipts(result: Result) -> list[bytes]:
    """The receipts that a message gets."""
    return [edit.value for edit in result.edits if edit.code is Code.INSERT_HEADER and edit.name == NAME]


def with_receipt(message: Message, value: bytes) -> Message:
    """As the delivery sendmail gets it: the receipt on top, and a trace line."""
    return replace(message, headers=((NAME, value), (b"Received", b" from x"), *message.headers))


def own_receipt(body: bytes = b"hello\r\n", key: Key = KEY, age: int = 0, **said: Any) -> bytes:  # noqa: ANN401 - any field
    """A receipt for HEADERS and this body, of a clean message unless `said` is something else."""
    claim = Claim(int(time.time()) - age, Outcome.CLEAN, 1)._replace(**said)
    return b" " + sign_receipt(key, claim, HEADERS, hashlib.sha256(body).digest()).encode()


@pytest.mark.parametrize("body", [b"", b"hello\r\n", b"x" * 200_000], ids=["empty", "small", "disk"])
def test_what_one_side_signs_the_other_believes(both: Daemon, folder: Path, body: bytes) -> None:
    """No engine is asked again, the receipt is removed, and nothing else is touched."""
    message = Message(headers=HEADERS, body=body, queue_id=b"IN%d" % len(body))
    (receipt,) = receipts(both.send(message))
    asked = len(scanned(both.clamd))
    result = verified(folder, replace(with_receipt(message, receipt), queue_id=b"OUT%d" % len(body)))
    assert result.accepted
    assert result.edits == (HeaderEdit(Code.CHANGE_HEADER, NAME, b"", 1),)
    assert len(scanned(both.clamd)) == asked
    line = both.line_of(f"OUT{len(body)}")
    assert (line["receipt"], line["outcome"], line["rule"], line["engines"]) == ("valid", "clean", "receipt", [])
    assert both.line_of(f"IN{len(body)}")["receipt"] is None


def test_receipts_from_outside_are_removed(both: Daemon) -> None:
    """Only one of ours leaves the incoming side, and it is another one."""
    foreign = own_receipt(VIRUS)
    result = both.send(Message(headers=((NAME, foreign), *HEADERS, (NAME.lower(), b""))))
    removed = [edit for edit in result.edits if edit.code is Code.CHANGE_HEADER]
    assert removed == [
        HeaderEdit(Code.CHANGE_HEADER, NAME.lower(), b"", 2),
        HeaderEdit(Code.CHANGE_HEADER, NAME, b"", 1),
    ]
    assert len(receipts(result)) == 1
    assert receipts(result) != [foreign]


EDITS: dict[str, dict[str, Any]] = {
    "insert": {"add_headers": {"X-Sort": "{rule} {signature}"}},
    "replace": {"add_headers": {"X-Fold": "{sender}"}},
    "remove": {"remove_headers": ["x-fold", "X-Missing"]},
    "tag": {"tag": "[{outcome}]"},
    "hold": {"action": "hold", "tag": "[held]", "remove_headers": ["X-Fold"]},
    "all": {"add_headers": {"X-Sort": "a", "X-Other": "b"}, "remove_headers": ["X-Fold"], "tag": "[{rule}]"},
}
SUBJECTS: dict[str, tuple[tuple[bytes, bytes], ...]] = {
    "plain": ((b"Subject", b" test"),),
    "no-blank": ((b"SUBJECT", b"test"),),
    "folded": ((b"Subject", b" a  long\n\tsubject\n of three lines"),),
    "folded-at-once": ((b"Subject", b"\n\tsubject"),),
    "encoded": ((b"Subject", b" =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\n =?utf-8?B?w7w=?="),),
    "utf-8": ((b"Subject", " Grüße “x”".encode()),),
    "latin-1": ((b"Subject", b" Gr\xfc\xdfe \x93x\x94"),),
    "surrogate": ((b"Subject", b" \xed\xb3\xbf"),),
    "missing": (),
    "empty": ((b"Subject", b""),),
    "blank": ((b"Subject", b"  "),),
    "two": ((b"Subject", b" one"), (b"subject", b" two")),
    "tagged": ((b"Subject", b" [clean] test"),),
    "long": ((b"Subject", b" " + b"x" * 985),),
}
MARKED = ((b"X-Virus-Status", b" Clean"), (b"X-Fold", b" a\n\tb"), (b"x-fold", b" c"))
RULED = [{"name": name, "when": {"sender": f"{name}@example.org"}, "action": "accept", **EDITS[name]} for name in EDITS]


@pytest.mark.parametrize(
    ("edits", "subject"),
    [*((edits, "plain") for edits in EDITS if edits != "tag"), *(("tag", one) for one in SUBJECTS)],
)
def test_the_receipt_holds_after_the_edits_of_a_rule(shared: Fleet, folder: Path, edits: str, subject: str) -> None:
    """The delivery side believes the message as the MTA hands it over, and nothing of its subject is lost."""
    both = shared(keys__file=f"{folder}/keys", verify__socket=f"unix:{folder}/verify-ruled", rule=RULED)
    name = f"{edits}-{subject}"
    sender = f"<{edits}@example.org>".encode()
    message = Message(sender, headers=(*SUBJECTS[subject], *MARKED), queue_id=f"IN-{name}".encode())
    result = both.send(message)
    assert result.accepted
    changes = [(edit.name, edit.value, edit.index or 0) for edit in result.edits]
    headers = decisions.edited(message.headers, changes)
    with MTA.open(f"unix:{folder}/verify-ruled") as mta:
        second = mta.send_message(replace(message, headers=tuple(headers), queue_id=f"OUT-{name}".encode()))
    assert second.edits == (HeaderEdit(Code.CHANGE_HEADER, NAME, b"", 1),)
    assert both.line_of(f"OUT-{name}")["receipt"] == "valid"
    subjects = [value for one, value in headers if one.lower() == b"subject"]
    assert len(subjects) == max(1 if "tag" in EDITS[edits] else 0, len(SUBJECTS[subject]))
    assert all(len(line) <= 998 for value in subjects for line in (b"Subject:" + value).split(b"\n"))


CASES: dict[ReceiptResult, bytes] = {
    ReceiptResult.NONE: b"",
    ReceiptResult.FORGED: b" v=1; o=clean",
    ReceiptResult.STALE: own_receipt(VIRUS, age=3700),
    ReceiptResult.UNKNOWN_KEY: own_receipt(VIRUS, Key("other", b"k" * 32)),
    ReceiptResult.MISMATCH: own_receipt(b"hello\r\n"),
}


@pytest.mark.parametrize("receipt", CASES)
def test_without_a_valid_receipt_it_is_new_mail(both: Daemon, folder: Path, receipt: ReceiptResult) -> None:
    """Scanned and refused; the result is in the line and in the metrics."""
    message = Message(headers=HEADERS, body=VIRUS, queue_id=f"BAD-{receipt}".encode())
    result = verified(folder, with_receipt(message, CASES[receipt]) if CASES[receipt] else message)
    assert result.reply.smtp.startswith(b"550 5.7.1 Virus found")
    assert both.line_of(f"BAD-{receipt}")["receipt"] == receipt
    both.wait_metric("receipts_total", len(both.logged("message", receipt=receipt)), result=receipt)


def test_clean_mail_without_a_valid_receipt_gets_our_marks(both: Daemon, folder: Path) -> None:
    """Forged marks and receipts are removed and ours inserted; while the engine fails, mail is tempfailed."""
    message = with_receipt(Message(headers=((b"X-Virus-Status", b" Clean"), *HEADERS)), b" nonsense")
    result = verified(folder, message)
    assert result.accepted
    assert [(edit.name, edit.value.strip()) for edit in result.edits if edit.code is Code.CHANGE_HEADER] == [
        (b"X-Virus-Status", b""),
        (NAME, b""),
    ]
    assert receipts(result) == []
    assert any(edit.name == b"X-Virus-Status" and edit.value == b" Clean" for edit in result.edits)
    both.clamd.behaviour = unless_canary(lies.garbage)
    assert verified(folder, message).reply.smtp.startswith(b"451 4.7.1")
    assert verified(folder, with_receipt(Message(headers=HEADERS), own_receipt())).accepted


def test_messages_with_a_receipt_are_counted_once(both: Daemon, folder: Path) -> None:
    """Where they were scanned; what the delivery side scans counts like any."""
    assert verified(folder, with_receipt(Message(headers=HEADERS), own_receipt())).accepted
    assert verified(folder, Message(headers=HEADERS)).accepted
    valid, all_ = len(both.logged("message", receipt="valid")), len(both.logged("message"))
    assert 0 < valid < all_
    both.wait_metric("receipts_total", valid, result="valid")
    both.wait_metric("messages_total", all_ - valid)


def test_an_outcome_that_was_accepted_stays_accepted(both: Daemon, folder: Path) -> None:
    """The incoming side has decided; the line contains what it knew."""
    receipt = own_receipt(VIRUS, outcome=Outcome.UNSCANNED, reason=Limit.ENCRYPTED)
    assert verified(folder, with_receipt(Message(headers=HEADERS, body=VIRUS, queue_id=b"ENC"), receipt)).accepted
    line = both.line_of("ENC")
    assert (line["outcome"], line["reason"], line["level"]) == ("unscanned", "encrypted", "warning")
    assert (line["receipt"], line["engines"]) == ("valid", [])


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("by", [AcceptedBy.RULE, AcceptedBy.RELEASE])
def test_rules_and_releases_pass_whatever_their_outcome(folder: Path, by: AcceptedBy) -> None:
    """The receipt of a rule or release names it, so the message is not scanned again."""
    receipt = own_receipt(VIRUS, outcome=Outcome.INFECTED, by=by)
    assert verified(folder, with_receipt(Message(headers=HEADERS, body=VIRUS), receipt)).accepted


OLD = b" v=1; k=k; t=%d; o=%b; s=1; a=date,message-id; d=%b"


@pytest.mark.parametrize(("outcome", "receipt", "engines"), [(b"clean", "valid", 0), (b"error", "rescanned", 1)])
def test_mail_of_the_former_version_passes(
    both: Daemon, folder: Path, outcome: bytes, receipt: str, engines: int
) -> None:
    """Mail with a receipt of version 1 waited in mqueue while miltscan was upgraded, and passes."""
    digest = own_receipt().partition(b"; d=")[2].partition(b";")[0]
    text = OLD % (int(time.time()), outcome, digest)
    mac = hmac.digest(KEY.secret, b"miltscan receipt\n" + text.strip(), "sha256").hex().encode()
    name = b"V1-" + outcome
    message = with_receipt(Message(headers=HEADERS, queue_id=name), text + b"; m=" + mac)
    assert verified(folder, message).accepted
    line = both.line_of(name.decode())
    assert (line["receipt"], len(line["engines"])) == (receipt, engines)


FAILURES: dict[str, dict[str, Any]] = {
    "error": {"outcome": Outcome.ERROR, "reason": Fault.CLOSED},
    **{
        str(reason): {"outcome": Outcome.UNSCANNED, "reason": reason}
        for reason in (Limit.TIMEOUT, Limit.NO_ENGINE, Limit.BUSY, Limit.ENGINE_UNABLE)
    },
}


@pytest.mark.parametrize("why", FAILURES)
def test_a_message_whose_scan_failed_is_scanned_again(both: Daemon, folder: Path, why: str) -> None:
    """A virus is rejected, and a clean message has the mark of the second scan instead of that of the first."""
    virus = Message(headers=HEADERS, body=VIRUS, queue_id=f"AGAIN-{why}".encode())
    refused = verified(folder, with_receipt(virus, own_receipt(VIRUS, **FAILURES[why])))
    assert refused.reply.smtp.startswith(b"550 5.7.1 Virus found")
    assert both.line_of(f"AGAIN-{why}")["receipt"] == "rescanned"
    clean = with_receipt(Message(headers=((b"X-Virus-Status", b" Unscanned"), *HEADERS)), own_receipt(**FAILURES[why]))
    result = verified(folder, clean)
    assert result.accepted
    assert [(edit.name, edit.value) for edit in result.edits if edit.name == b"X-Virus-Status"] == [
        (b"X-Virus-Status", b""),
        (b"X-Virus-Status", b" Clean"),
    ]


def test_nothing_is_refused_because_its_scan_failed_twice(both: Daemon, folder: Path) -> None:
    """The default policy tempfails new mail meanwhile; mail that was accepted passes with the mark that it has."""
    both.clamd.behaviour = unless_canary(lies.garbage)
    receipt = own_receipt(VIRUS, **FAILURES["error"])
    result = verified(folder, with_receipt(Message(headers=HEADERS, body=VIRUS, queue_id=b"TWICE"), receipt))
    assert result.accepted
    assert result.edits == (HeaderEdit(Code.CHANGE_HEADER, NAME, b"", 1),)
    line = both.line_of("TWICE")
    assert (line["receipt"], line["rule"], line["outcome"]) == ("rescanned", "receipt", "error")


def test_no_receipt_leaves_a_host_that_verifies_none(shared: Fleet, folder: Path) -> None:
    """With keys for the probe alone miltscan makes no receipt, because nothing would remove it from outgoing mail."""
    assert receipts(shared(keys__file=f"{folder}/keys").send()) == []
    assert len(receipts(shared(keys__file=f"{folder}/keys", receipt__remote_verifier=True).send())) == 1


def test_the_receipt_of_what_is_held_counts_at_its_release(shared: Fleet, folder: Path) -> None:
    """The MTA keeps the message with its receipt; what the client keeps has none."""
    choices = {"policy__on_infected": "hold", "policy__on_unscanned__limits": "reject"}
    held = shared(keys__file=f"{folder}/keys", receipt__remote_verifier=True, **choices)
    result = held.send(Message(body=VIRUS))
    assert result.quarantine
    (receipt,) = receipts(result)
    assert b"; o=infected; by=release; r=; " in receipt
    held.clamd.behaviour = unless_canary(lies.limits_exceeded)
    assert receipts(held.send()) == []


def test_a_message_at_the_limit_may_grow_on_the_way(both: Daemon, folder: Path) -> None:
    """Trace lines and our own do not make it too large for the delivery side."""
    body = b"x" * (2**20 - 100)
    message = Message(headers=HEADERS, body=body)
    (receipt,) = receipts(both.send(message))
    grown = with_receipt(message, receipt)
    assert verified(folder, replace(grown, headers=((b"Received", b" " + b"y" * 500), *grown.headers))).accepted


def test_without_keys_everything_is_scanned(shared: Fleet, folder: Path) -> None:
    """No receipt is made, and none believed."""
    daemon = shared(verify__socket=f"unix:{folder}/keyless")
    assert receipts(daemon.send()) == []
    with MTA.open(f"unix:{folder}/keyless") as mta:
        result = mta.send_message(with_receipt(Message(headers=HEADERS, body=VIRUS), own_receipt(VIRUS)))
    assert result.reply.smtp.startswith(b"550 5.7.1 Virus found")


def test_a_key_file_that_becomes_wrong_changes_nothing(own: Fleet, folder: Path) -> None:
    """A reload reports it and keeps the former keys; a start fails."""
    keys = folder / "mine"
    keys.write_text(f"one {'1' * 64}\n")
    keys.chmod(0o600)
    daemon = own(keys__file=str(keys), receipt__remote_verifier=True)
    daemon.start()
    daemon.wait_ready()
    keys.chmod(0o644)
    daemon.running.signal(signal.SIGHUP)
    (line,) = daemon.wait_logged("reload_failed")
    assert line["why"] == [f"{keys}: mode 0644 lets others read or write it; run: chmod u=rw,g=r,o= {keys}"]
    (receipt,) = receipts(daemon.send())
    assert receipt.startswith(b" v=2; k=one;")
    assert daemon.stop() == 0
    daemon.start()
    assert daemon.ended() == 2
