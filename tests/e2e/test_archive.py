"""The archive behind real programs: what was delivered clean and is detected later names who received it."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.eicar import EICAR
from tests.harness.clamav import Clamd, write_database
from tests.harness.client import RECIPIENT, new_message_id, text_message
from tests.harness.mailbox import Delivered
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder

KNOWN = {"Eicar-Test-Signature": EICAR}
WORD = b"a program that nobody knows yet"
LEARNED = {**KNOWN, "Test.Late": WORD}
FIRST, ADMINISTRATOR = "first@example.test", "root@example.test"
PART = base64.b64encode(WORD + bytes(1000))


@pytest.fixture
def sandwich() -> Iterator[ScanningSandwich]:
    """A sandwich with an archive, whose clamd knows the test file alone."""
    tables: dict[str, dict[str, Any]] = {
        "clamd": {"canary_interval": "1s"},
        "archive": {"digests": "7d"},
        "notice": {"administrators": [ADMINISTRATOR]},
    }
    with private_folder() as folder:
        sandwich = ScanningSandwich(folder, tables, [f"unix:{folder}/clamd/clamd.ctl"])
        tables["delivery"] = {"server": f"inet:{sandwich.delivery.port}@127.0.0.1"}
        sandwich.clamd = Clamd.prepare(sandwich.programs, test_database=True)
        (sandwich.clamd.database / "eicar.ndb").unlink()
        write_database(sandwich.clamd.database, 101, KNOWN)
        sandwich.clamd.start()
        sandwich.clamd.wait_ready()
        with sandwich:
            yield sandwich


def mail(message_id: str) -> bytes:
    """A mail with a text of its own and the part."""
    return (
        f"Message-ID: {message_id}\r\nFrom: a@example.org\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\nContent-Type: text/plain\r\n\r\n"
        f"{message_id}\r\n--bb\r\nContent-Type: application/octet-stream; name=tool.bin\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n"
    ).encode() + b"%b\r\n--bb--\r\n" % PART


def notices(sandwich: ScanningSandwich) -> list[Delivered]:
    """The notices of late detections in the mailbox."""
    return [one for one in sandwich.mailbox.messages() if "Detected after delivery" in str(one.message["Subject"])]


def test_a_part_that_is_detected_later(sandwich: ScanningSandwich) -> None:
    """Log, metric and one notice name the first recipient; a repetition is silent."""
    service, clamd = sandwich.miltscan, sandwich.clamd
    assert clamd
    wait_until(lambda: service.metric("signature_database_version") == 101, PATIENCE, "a dated database")
    message_id = new_message_id()
    first = sandwich.send(mail(message_id), recipients=[FIRST])
    assert first.code == 250
    sandwich.mailbox.wait_for(message_id)
    wait_until(lambda: service.metric("archived_messages_total", result="kept") == 1, PATIENCE, "an archived message")

    write_database(clamd.database, 102, LEARNED)
    clamd.reload()
    wait_until(lambda: service.metric("signature_database_version") == 102, PATIENCE, "the new database")
    later = sandwich.send(mail(new_message_id()), recipients=[RECIPIENT])
    assert later.code == 550
    (line,) = wait_until(lambda: service.events("detected_late"), PATIENCE, "a late detection")
    assert (line["queue_id"], line["messages"]) == (service.wait_for_message(outcome="infected")["queue_id"], 1)
    assert line["signature"] == "Test.Late.UNOFFICIAL"
    (before,) = service.events("delivered_before")
    assert (before["recipients"], before["queue_id"]) == ([f"<{FIRST}>"], first.queue_id)
    assert service.metric("archive_searches_total", result="delivered") == 1
    (notice,) = wait_until(lambda: notices(sandwich), PATIENCE, "a notice")
    assert b"first@example[.]test" in notice.raw.replace(b"=\n", b"")
    assert notice.recipients == ["root"]

    assert sandwich.send(mail(new_message_id()), recipients=[RECIPIENT]).code == 550
    other = new_message_id()
    assert sandwich.send(text_message(other, body=EICAR + b"\r\n")).code == 550
    wait_until(lambda: service.metric("archive_searches_total", result="unknown") == 1, PATIENCE, "a lookup after both")
    assert len(service.events("detected_late")) == len(notices(sandwich)) == 1
    assert {path.stat().st_mode & 0o777 for path in files(sandwich)} == {0o600}


def files(sandwich: ScanningSandwich) -> list[Path]:
    """The files of the archive."""
    return [*(sandwich.folder / "quarantine" / "digests").iterdir()]
