"""The probe: who can make one, what makes it ordinary mail, and what its answer proves."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core import receipt
from miltscan.core.action import Accept, Action, ActionName, Decision, Discard, Hold, Reject, Reply, TempFail
from miltscan.core.edits import Header, RemoveHeader
from miltscan.core.keys import Key
from miltscan.core.probe import (
    FRESH,
    PROBE_HEADER,
    Answer,
    Probe,
    ProbeKind,
    probe_decision,
    read_answer,
    sign_probe,
    verify_probe,
)
from miltscan.core.verdict import Outcome

OLD, NEW = Key("old", b"o" * 32), Key("new", b"n" * 32)
NOW = 1_790_000_000
NONCE = bytes(range(16))
BODY = hashlib.sha256(b"harmless\r\n").digest()
NAME = PROBE_HEADER.encode()
OTHERS: tuple[Header, ...] = ((b"Received", b" from a by b"), (b"X-Mailer", b" x"), (b"Subject", b" x"))
REFUSED = Reject(Reply(550, "5.7.1", "Virus found: Eicar (AA1)"))
PUT_OFF = TempFail(Reply(451, "4.7.1", "Message not scanned: no engine is available, try again later (AA1)"))


def signed(kind: ProbeKind = ProbeKind.CLEAN, key: Key = NEW, at: float = NOW) -> tuple[bytes, Probe]:
    """The header's value as it arrives, and the probe."""
    value, probe = sign_probe(key, kind, at, NONCE, BODY)
    return b" " + value.encode(), probe


def checked(*values: bytes, body: bytes = BODY, now: float = NOW, keys: tuple[Key, ...] = (NEW, OLD)) -> Probe | None:
    """What a message with these values of the header is."""
    return verify_probe(keys, (*OTHERS, *((NAME, value) for value in values)), lambda: body, now)


def test_the_form_is_an_interface() -> None:
    """Another host may run another version, with the same keys."""
    value, probe = sign_probe(NEW, ProbeKind.SIGNATURE, NOW + 0.9, NONCE, BODY)
    said, _, mac = value.partition("; m=")
    assert said == (
        "v=1; k=new; p=signature; t=1790000000; n=000102030405060708090a0b0c0d0e0f; "
        "d=" + hashlib.sha256(b"harmless\r\n").hexdigest()
    )
    assert probe == Probe(ProbeKind.SIGNATURE, NEW, mac)
    assert len(value) < 400  # below the 998 bytes of a line: no program has to fold it


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("key", [NEW, OLD])
def test_every_key_verifies(kind: ProbeKind, key: Key) -> None:
    """Hosts that share a key file need not reload it in the same second."""
    value, probe = signed(kind, key)
    assert checked(value) == probe
    assert checked(value.replace(b"; ", b";\n\t")) == probe  # folded on its way
    assert verify_probe((NEW, OLD), ((b"x-MILTSCAN-probe", value),), lambda: BODY, NOW) == probe


@pytest.mark.parametrize(
    ("now", "valid"),
    [
        (NOW, True),
        (NOW + FRESH, True),
        (NOW - FRESH, True),
        (NOW + FRESH + 1, False),
        (NOW - FRESH - 1, False),
        (0.0, False),
    ],
)
def test_a_stale_one_is_ordinary_mail(now: float, *, valid: bool) -> None:
    """The clocks of two hosts may be apart, but nothing is a probe for long."""
    assert (checked(signed()[0], now=now) is not None) is valid


FORGED = {
    "none": (),
    "empty": (b"",),
    "no key of ours": (signed(key=Key("new", b"x" * 32))[0],),
    "a key that is not known": (signed(key=Key("other", b"n" * 32))[0],),
    "two": (signed()[0], signed(ProbeKind.SIGNATURE)[0]),
    "another kind": (signed()[0].replace(b"p=clean", b"p=signature"),),
    "another time": (signed()[0].replace(b"t=1790000000", b"t=1790000001"),),
    "another nonce": (signed()[0].replace(b"n=00", b"n=01"),),
    "a number that is no ASCII": (signed()[0].replace(b"t=1790000000", "t=١٧٩٠٠٠٠٠٠٠".encode()),),
    "more behind it": (signed()[0] + b"; x=1",),
}


@pytest.mark.parametrize("values", FORGED.values(), ids=FORGED)
def test_a_forged_one_is_ordinary_mail(values: tuple[bytes, ...]) -> None:
    """A probe that was changed in any way is ordinary mail."""
    assert checked(*values) is None


def test_a_replay_carries_nothing_else() -> None:
    """The same header on another body; without keys nothing is a probe."""
    assert checked(signed()[0], body=hashlib.sha256(b"spam\r\n").digest()) is None
    assert checked(signed()[0], keys=()) is None


def test_the_body_is_read_only_for_what_may_be_one() -> None:
    """Of ordinary mail, and of a forged one, no byte."""

    def body() -> bytes:
        raise AssertionError

    for value in (b"v=1; k=new", signed(key=Key("new", b"x" * 32))[0], signed(at=0)[0]):
        assert verify_probe((NEW,), ((NAME, value),), body, NOW) is None


def test_no_receipt_is_a_probe_and_no_probe_a_receipt() -> None:
    """One key, three domains: what proves one thing proves nothing else."""
    value, probe = signed()
    said, _, mac = value.decode().strip().partition("; m=")
    theirs = receipt.sign_receipt(NEW, receipt.Claim(NOW, Outcome.CLEAN, 1), (), BODY)
    assert checked(b" " + theirs.encode()) is None
    assert receipt.verify_receipt((NEW,), ((receipt.RECEIPT_HEADER.encode(), value),), lambda: BODY, NOW, 3600.0) == (
        receipt.Checked(receipt.ReceiptResult.FORGED)
    )
    assert receipt._mac(NEW, said.encode()) != mac  # noqa: SLF001 - the same words under the other domain
    answer = probe_decision(probe, Outcome.CLEAN, Decision(Accept(), "clean")).reply
    assert answer is not None
    assert answer.text.rpartition("m=")[2].rstrip("]") not in {mac, theirs.rpartition("m=")[2]}


@given(st.binary(max_size=400))
def test_whatever_a_header_holds_nothing_raises(value: bytes) -> None:
    """No bytes in a header make the check raise."""
    assert checked(value) is None


@given(st.integers(0, len(signed()[0]) - 1), st.integers(1, 255))
def test_no_changed_byte_is_overlooked(at: int, by: int) -> None:
    """Blanks may change, and letters of nothing else."""
    value = bytearray(signed()[0])
    value[at] ^= by
    same = b" ".join(bytes(value).split()) == signed()[0].strip()
    assert (checked(bytes(value)) is not None) is same


@pytest.mark.parametrize(
    ("action", "reply"),
    [
        (Accept(), "550 5.7.1 Probe: clean, policy says accept "),
        (Discard(), "550 5.7.1 Probe: clean, policy says discard "),
        (Hold("x"), "550 5.7.1 Probe: clean, policy says hold "),
        (REFUSED, "550 5.7.1 Virus found: Eicar (AA1) "),
        (PUT_OFF, "451 4.7.1 Message not scanned: no engine is available, try again later (AA1) "),
    ],
)
def test_a_probe_is_never_taken(action: Action, reply: str) -> None:
    """The policy's own refusal stands; what it would keep or drop is refused, and nothing of it is edited."""
    decision = probe_decision(signed()[1], Outcome.CLEAN, Decision(action, "clean", (RemoveHeader("x", 1),)))
    assert str(decision.reply).startswith(reply + "[probe o=clean a=")
    assert (decision.rule, decision.edits) == ("probe", ())


def test_a_reply_stays_one_line() -> None:
    """RFC 5321 section 4.5.3.1.5: 512 bytes, with any name of a signature."""
    decision = probe_decision(signed()[1], Outcome.INFECTED, Decision(Reject(Reply(550, "5.7.1", "x" * 1000)), "x"))
    assert len(str(decision.reply)) < 500
    assert str(decision.reply).startswith(f"550 5.7.1 {'x' * 200} [probe ")


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("action", [Accept(), Discard(), Hold("x"), REFUSED, PUT_OFF])
def test_an_answer_is_read_as_it_was_given(outcome: Outcome, action: Action) -> None:
    """Through a reply of several lines too, as a server may make one of it."""
    _, probe = signed()
    text = str(probe_decision(probe, outcome, Decision(action, "x")).reply)
    assert read_answer(probe, f"{text}\n5.7.1 more") == Answer(outcome, action.name)


def answer() -> str:
    """The one to the clean probe."""
    return str(probe_decision(signed()[1], Outcome.CLEAN, Decision(Accept(), "clean")).reply)


@pytest.mark.parametrize(
    "text",
    [
        "2.0.0 AA1 Message accepted for delivery",
        "",
        answer().replace("o=clean", "o=infected"),
        answer().replace("a=accept", "a=reject"),
        answer().replace("o=clean", "o=nonsense"),
        answer().replace("a=accept", "a=nonsense"),
        f"[probe o=clean a=accept m={'0' * 64}]",
        f"[probe o=clean a=accept m={signed()[1].mac}]",
    ],
)
def test_nobody_else_can_answer(text: str) -> None:
    """Not without the key, and not with the answer that was given to something else."""
    assert read_answer(signed()[1], text) is None


def test_the_answer_to_another_probe_proves_nothing() -> None:
    """A server that repeats what it received yesterday."""
    assert read_answer(signed()[1], answer()) == Answer(Outcome.CLEAN, ActionName.ACCEPT)
    assert read_answer(signed(at=NOW + 1)[1], answer()) is None


@given(st.text(max_size=300))
def test_whatever_a_reply_holds_nothing_raises(text: str) -> None:
    """No text of a reply makes the reader raise."""
    assert read_answer(signed()[1], text) is None
