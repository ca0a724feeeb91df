"""The scan receipt: what keeps it valid, what breaks it, and that nothing in a header makes it raise."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core import receipt
from miltscan.core.edits import Header
from miltscan.core.keys import Key
from miltscan.core.receipt import (
    RECEIPT_HEADER,
    AcceptedBy,
    Checked,
    Claim,
    ReceiptResult,
    sign_receipt,
    verify_receipt,
)
from miltscan.core.verdict import Fault, Limit, Outcome

OLD, NEW = Key("old", b"o" * 32), Key("new", b"n" * 32)
BODY = hashlib.sha256(b"hello\r\n").digest()
NOW = 1_790_000_000
HOUR = 3600.0
HEADERS: tuple[Header, ...] = (
    (b"Received", b" from a by b"),
    (b"From", b" Alice <alice@example.org>"),
    (b"To", b" bob@example.test,\n\tcarol@example.test"),
    (b"Subject", b" a  long\n subject"),
    (b"Content-Type", b' multipart/mixed; boundary="x"'),
    (b"X-Twice", b" one"),
    (b"X-Twice", b" two"),
)
VALID = Checked(ReceiptResult.VALID, Claim(NOW, Outcome.CLEAN, 27000))


def signed(
    headers: tuple[Header, ...] = HEADERS,
    key: Key = NEW,
    time: int = NOW,
    by: AcceptedBy = AcceptedBy.SCAN,
    reason: Limit | None = None,
) -> tuple[Header, ...]:
    """The headers with a receipt."""
    value = sign_receipt(key, Claim(time, Outcome.CLEAN, 27000, by, reason), headers, BODY)
    return ((RECEIPT_HEADER.encode(), b" " + value.encode()), *headers)


def checked(headers: tuple[Header, ...], body: bytes = BODY, now: float = NOW, *keys: Key) -> Checked:
    """What the receipt among them is worth after an hour at most."""
    return verify_receipt(keys or (NEW, OLD), headers, lambda: body, now, HOUR)


def replaced(at: int, header: Header) -> tuple[Header, ...]:
    """The signed headers with another one instead of HEADERS[at]."""
    whole = list(signed())
    whole[at + 1] = header
    return tuple(whole)


def test_a_receipt_says_what_it_says() -> None:
    """Its form is an interface: the other side may run another version."""
    value = sign_receipt(NEW, Claim(NOW, Outcome.CLEAN, 27000), HEADERS, BODY)
    said, _, mac = value.partition("; m=")
    assert said.startswith("v=2; k=new; t=1790000000; o=clean; by=scan; r=; s=27000; a=date,message-id; d=")
    assert (len(said.partition("; d=")[2]), len(mac)) == (64, 64)
    assert value.isascii()
    assert len(value) < 300  # below the 998 bytes of a line: no program folds it
    assert value == (
        "v=2; k=new; t=1790000000; o=clean; by=scan; r=; s=27000; a=date,message-id; "
        "d=c18b4e3f109bde1a613837796e36ea7d2388347005f0cbc93afce849857c393f; "
        "m=b0824960cc46581e63170ebd47b91b8c66bb8a1af37dba4e17411f6b71b6c0e8"
    )


REASONS: list[Limit | Fault | None] = [None, *Limit, *Fault]


@pytest.mark.parametrize("key", [NEW, OLD])
@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("by", AcceptedBy)
@pytest.mark.parametrize("reason", REASONS)
def test_every_key_verifies(key: Key, outcome: Outcome, by: AcceptedBy, reason: Limit | Fault | None) -> None:
    """A receipt that an older key signed stays valid, with all that it says."""
    claim = Claim(NOW, outcome, 3, by, reason)
    value = sign_receipt(key, claim, HEADERS, BODY)
    assert checked(((b"x-miltscan-RECEIPT", value.encode()), *HEADERS)) == Checked(ReceiptResult.VALID, claim)


def with_mac(text: str) -> tuple[Header, ...]:
    """The headers with a receipt of this text, which a holder of the key signed."""
    return ((RECEIPT_HEADER.encode(), f" {text}; m={receipt._mac(NEW, text.encode())}".encode()), *HEADERS)  # noqa: SLF001 - another version's receipt


DIGEST = "c18b4e3f109bde1a613837796e36ea7d2388347005f0cbc93afce849857c393f"


def test_a_receipt_of_version_1_stays_valid() -> None:
    """Mail that waits in a queue during the upgrade has such a receipt, made by the former version."""
    value = (
        f" v=1; k=new; t=1790000000; o=clean; s=27000; a=date,message-id; d={DIGEST}; "
        "m=39f01d0c85653195725a9ac97f4de4c745a806dda952985585c81436ca793e21"
    )
    assert checked(((RECEIPT_HEADER.encode(), value.encode()), *HEADERS)) == VALID


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v=1; k=new; t=1790000000; o=unscanned; s=1", Checked(ReceiptResult.VALID, Claim(NOW, Outcome.UNSCANNED, 1))),
        (
            "v=2; k=new; t=1790000000; o=unscanned; by=scan; r=lost-in-space; s=1",
            Checked(ReceiptResult.VALID, Claim(NOW, Outcome.UNSCANNED, 1)),
        ),
        ("v=1; k=new; t=1790000000; o=clean; by=rule; r=; s=1", Checked(ReceiptResult.FORGED)),
        ("v=2; k=new; t=1790000000; o=clean; s=1", Checked(ReceiptResult.FORGED)),
        ("v=2; k=new; t=1790000000; o=clean; by=chance; r=; s=1", Checked(ReceiptResult.FORGED)),
        ("v=2; k=new; t=1790000000; o=spotless; by=scan; r=; s=1", Checked(ReceiptResult.FORGED)),
        ("v=3; k=new; t=1790000000; o=clean; by=scan; r=; s=1", Checked(ReceiptResult.FORGED)),
    ],
)
def test_what_other_versions_sign(text: str, expected: Checked) -> None:
    """An unknown reason counts as none; a receipt with an unknown outcome or `by` is not valid."""
    assert checked(with_mac(f"{text}; a=date,message-id; d={DIGEST}")) == expected


CURABLE = {Limit.TIMEOUT, Limit.NO_ENGINE, Limit.BUSY, Limit.ENGINE_UNABLE, None}


@pytest.mark.parametrize("by", AcceptedBy)
@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("reason", REASONS)
def test_what_another_scan_may_cure(by: AcceptedBy, outcome: Outcome, reason: Limit | Fault | None) -> None:
    """Only mail with a failed scan is scanned again; rules and releases accepted their messages with any outcome."""
    expected = by is AcceptedBy.SCAN and (
        outcome is Outcome.ERROR or (outcome is Outcome.UNSCANNED and reason in CURABLE)
    )
    assert Claim(NOW, outcome, 0, by, reason).curable is expected


@pytest.mark.parametrize(
    "headers",
    [
        (*signed(), (b"Received", b" from c by d")),
        (*signed(), (b"Date", b" Thu, 1 Jan 1970 00:00:00 +0000")),
        (*signed(), (b"Message-Id", b" <1@example.test>")),
        (*signed(), (b"X-Virus-Status", b" Clean"), (b"X-Virus-Scanned", b" y")),
        (*signed(), (b"X-Authentication-Warning", b" set sender")),
        (*signed(), (b"Return-Path", b" <a@b>"), (b"Full-Name", b" A"), (b"Resent-Date", b" x")),
        replaced(1, (b"From", b" Alice <alice@masked.example>")),
        replaced(2, (b"To", b" bob@example.test, carol@example.test")),
        replaced(3, (b"SUBJECT", b"\ta long subject ")),
        tuple(reversed(signed()[:-2])) + signed()[-2:],
    ],
    ids=["trace", "date", "message-id", "marks", "warning", "envelope", "masked", "folded", "blanks", "order"],
)
def test_what_sendmail_does_breaks_nothing(headers: tuple[Header, ...]) -> None:
    """Trace, lines it adds where they lack, addresses, folds, blanks, and the order of names."""
    assert checked(headers) == VALID


@pytest.mark.parametrize(
    "headers",
    [
        (*signed(), (b"Content-Type", b" text/plain")),
        (*signed(), (b"MIME-Version", b" 1.0")),
        (*signed(), (b"X-New", b"")),
        replaced(3, (b"Subject", b" another subject")),
        replaced(3, (b"Subject", b" a longsubject")),
        replaced(3, (b"Subject", b" a\x0blong subject")),
        replaced(4, (b"Content-Type", b' multipart/mixed; boundary="y"')),
        replaced(5, (b"X-Twice", b" two")),
        signed()[:-1],
        (*signed()[:-2], *reversed(signed()[-2:])),
    ],
)
def test_what_nobody_does_on_the_way_breaks_it(headers: tuple[Header, ...]) -> None:
    """A field changed, added or lost, or two of one name changed about."""
    assert checked(headers) == Checked(ReceiptResult.MISMATCH)


@pytest.mark.parametrize("name", [b"Date", b"Message-ID"])
def test_a_field_that_was_there_is_signed(name: bytes) -> None:
    """Fields that sendmail adds where they lack, and leaves alone where they do not."""
    whole = signed(((name, b" x"), *HEADERS))
    assert checked(whole) == VALID
    assert checked((whole[0], (name, b" y"), *whole[2:])) == Checked(ReceiptResult.MISMATCH)
    assert checked((*whole, (name, b" y"))) == Checked(ReceiptResult.MISMATCH)


def test_another_body_is_another_message() -> None:
    """A receipt cannot be used again."""
    assert checked(signed(), hashlib.sha256(b"virus").digest()) == Checked(ReceiptResult.MISMATCH)


@pytest.mark.parametrize(
    ("now", "result"),
    [
        (NOW, ReceiptResult.VALID),
        (NOW + HOUR, ReceiptResult.VALID),
        (NOW + HOUR + 1, ReceiptResult.STALE),
        (NOW - 300, ReceiptResult.VALID),
        (NOW - 301, ReceiptResult.STALE),
    ],
)
def test_a_receipt_ages(now: float, result: ReceiptResult) -> None:
    """Past the age there may be newer signatures; clocks may differ a little, and a receipt is not for next year."""
    assert checked(signed(), now=now).receipt is result
    assert checked(signed(by=AcceptedBy.RULE), now=now).receipt is result


@pytest.mark.parametrize(
    ("age", "result"),
    [(HOUR + 1, ReceiptResult.VALID), (3650 * 86400, ReceiptResult.VALID), (-301, ReceiptResult.STALE)],
)
def test_the_receipt_of_a_release_does_not_age(age: float, result: ReceiptResult) -> None:
    """A held message has it from its EOM on, for months perhaps; one from the future is still stale."""
    assert checked(signed(by=AcceptedBy.RELEASE), now=NOW + age).receipt is result


def test_the_receipt_of_what_is_too_large_does_not_age() -> None:
    """No engine is asked about it at any time, and incoming may have waited for hours to hand it over."""
    too_large, encrypted = signed(reason=Limit.TOO_LARGE), signed(reason=Limit.ENCRYPTED)
    assert checked(too_large, now=NOW + 5 * 86400).receipt is ReceiptResult.VALID
    assert checked(too_large, now=NOW - 301).receipt is ReceiptResult.STALE
    assert checked(encrypted, now=NOW + 5 * 86400).receipt is ReceiptResult.STALE


def test_keys_that_are_not_there() -> None:
    """One of another sandwich, or one that was removed; without any nothing is believed."""
    assert checked(signed(key=Key("other", b"x" * 32))) == Checked(ReceiptResult.UNKNOWN_KEY)
    assert verify_receipt((), signed(), lambda: BODY, NOW, HOUR) == Checked(ReceiptResult.UNKNOWN_KEY)
    assert checked(signed(key=Key("new", b"x" * 32))) == Checked(ReceiptResult.FORGED)


def test_none_and_too_many() -> None:
    """The incoming side leaves exactly one, so two are one too many, whichever is right."""
    whole = signed()
    assert checked(HEADERS) == Checked(ReceiptResult.NONE)
    assert checked((whole[0], *whole)) == Checked(ReceiptResult.FORGED)


def test_the_body_is_not_read_for_a_forger() -> None:
    """What costs most comes last."""

    def body() -> bytes:
        raise AssertionError

    for keys, now in (((OLD,), NOW), ((Key("new", b"x" * 32),), NOW), ((NEW,), NOW + 2 * HOUR)):
        assert verify_receipt(keys, signed(), body, now, HOUR).receipt is not ReceiptResult.VALID


@given(st.integers(1, 400), st.binary(max_size=2))
def test_any_change_of_a_receipt_breaks_it(at: int, other: bytes) -> None:
    """Each of its bytes counts, but for blanks."""
    (name, value), *rest = signed()
    changed = value[:at] + other + value[at + 1 :]
    if changed.split() != value.split():
        assert checked(((name, changed), *rest)).receipt is not ReceiptResult.VALID


NAMES = st.sampled_from([b"Subject", b"X-A", b"Content-Type", b"Date", b"Message-ID", b"From", b"Received"])
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=30))).map(tuple)


@given(FIELDS, st.binary(max_size=40))
def test_a_round_trip(headers: tuple[Header, ...], body: bytes) -> None:
    """For any message its own receipt is valid."""
    digest = hashlib.sha256(body).digest()
    value = sign_receipt(NEW, Claim(NOW, Outcome.CLEAN, 1), headers, digest)
    assert checked(((RECEIPT_HEADER.encode(), value.encode()), *headers), digest).receipt is ReceiptResult.VALID


@given(FIELDS, FIELDS)
def test_only_what_reads_alike_is_alike(one: tuple[Header, ...], other: tuple[Header, ...]) -> None:
    """A receipt passes on other headers only if every signed name has the same values in the same order."""
    value = sign_receipt(NEW, Claim(NOW, Outcome.CLEAN, 1), one, BODY)
    result = checked(((RECEIPT_HEADER.encode(), value.encode()), *other))
    lacking = {name.lower() for name in (b"Date", b"Message-ID")} - {name.lower() for name, _ in one}
    assert (result.receipt is ReceiptResult.VALID) == (reading(one, lacking) == reading(other, lacking))


def reading(headers: tuple[Header, ...], lacking: set[bytes]) -> dict[bytes, list[list[bytes]]]:
    """The signed values by name, each as its words; written independently of the code, without a regular expression."""
    found: dict[bytes, list[list[bytes]]] = {}
    for name, value in headers:
        if name.lower() not in {b"from", b"received", *lacking}:
            blank = value.translate(bytes.maketrans(b"\t\r\n", b"   "))
            found.setdefault(name.lower(), []).append([word for word in blank.split(b" ") if word])
    return found


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary())), st.lists(st.binary(), max_size=2))
def test_nothing_raises(headers: list[Header], receipts: list[bytes]) -> None:
    """Hostile names and values, and hostile receipts among them, are never valid."""
    hostile = (*headers, *((RECEIPT_HEADER.encode(), value) for value in receipts))
    assert checked(hostile).receipt is not ReceiptResult.VALID
    assert sign_receipt(NEW, Claim(NOW, Outcome.CLEAN, 1), hostile, BODY)
