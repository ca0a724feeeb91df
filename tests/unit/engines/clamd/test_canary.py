"""The canary mail, and the replies that count as found."""

import email
import email.message
import zipfile
from io import BytesIO

import pytest

from miltscan.core.message import PREFACE
from miltscan.core.verdict import Fault, Limit
from miltscan.engines.clamd.canary import canary_mail, large_attachment, missed
from miltscan.engines.clamd.reply import CLEAN, ClamdReply, Found
from miltscan.engines.reply import Failed, Limited
from tests.fakes.eicar import EICAR, holds_zipped_eicar


def test_the_mail_must_be_decoded_to_find_it() -> None:
    """The test signature is its second part, in base64, byte for byte."""
    mail = canary_mail(b"mark", EICAR)
    assert mail.startswith(PREFACE)
    assert EICAR not in mail
    assert mail.count(b"\n") == mail.count(b"\r\n")
    parts = email.message_from_bytes(mail).get_payload()
    assert isinstance(parts, list)
    assert isinstance(parts[1], email.message.Message)
    assert parts[1].get_payload(decode=True) == EICAR


def test_a_large_one_must_be_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test signature is the last member of an archive of 4 MiB in an archive; no two are alike."""
    monkeypatch.undo()  # its real size
    first, second = large_attachment(EICAR), large_attachment(EICAR)
    assert first != second
    assert holds_zipped_eicar(canary_mail(b"mark", first))
    assert not holds_zipped_eicar(canary_mail(b"mark", large_attachment(b"harmless")))
    assert 500_000 < len(first) < 600_000
    with zipfile.ZipFile(BytesIO(first)) as archive:
        (inner,) = archive.infolist()
        assert inner.file_size > 4 * 2**20
        assert archive.read(inner).rindex(EICAR) > 4 * 2**20


@pytest.mark.parametrize(
    "signature",
    ["Eicar-Test-Signature", "Win.Test.EICAR_HDB-1", "Eicar-Signature", "{HEX}EICAR.TEST.3.UNOFFICIAL"],
)
def test_what_databases_call_it(signature: str) -> None:
    """Any name that contains EICAR counts."""
    assert missed(Found(signature)) == ""


@pytest.mark.parametrize(
    "reply",
    [
        CLEAN,
        Found("Win.Trojan.Other"),
        Limited(Limit.TIMEOUT, "late"),
        Limited(Limit.LIMITS, "Heuristics.Limits.Exceeded"),
        Failed(Fault.CLOSED, "closed"),
    ],
)
def test_everything_else_is_missed(reply: ClamdReply) -> None:
    """The reason is in the result."""
    assert missed(reply)
