"""Parts of the sandwich stopped, paused, killed or broken: no mail is lost, and none is accepted unscanned."""

import shutil
import smtplib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fakes.odd_macros import crash_by_odd_macros
from tests.harness import messages
from tests.harness.clamav import Clamd
from tests.harness.client import new_message_id, send_data, text_message
from tests.harness.miltscan import ScanningSandwich, Tables
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder

QUICK: Tables = {"clamd": {"canary_interval": "3s"}, "milter": {"workers": 1}}
SELDOM: Tables = {"clamd": {"canary_interval": "1h"}}  # but for a message that waits long, which asks for one
NO_CANARY: Tables = {"clamd": {"canary_interval": "1h"}, "limits": {"scan_timeout": "2s"}}


@pytest.fixture(scope="module")
def fragile() -> Iterator[ScanningSandwich]:
    """A sandwich whose engine is watched closely."""
    with private_folder() as folder, ScanningSandwich(folder, QUICK) as sandwich:
        yield sandwich


@pytest.fixture
def sandwich(fragile: ScanningSandwich) -> Iterator[ScanningSandwich]:
    """The same, whole again after each test."""
    yield fragile
    fragile.repair()


def clean() -> bytes:
    """A clean message."""
    return text_message(new_message_id())


def infected() -> bytes:
    """EICAR deep in a message."""
    return messages.as_wire(messages.infected_deep_down())


def test_clamd_stopped(sandwich: ScanningSandwich) -> None:
    """Every client receives 451; when clamd is back, each retry is accepted or refused as before."""
    sandwich.clamd.stop()
    for message in (clean(), infected()):
        reply = sandwich.send(message)
        assert (reply.code, reply.text[:25]) == (451, "4.7.1 Message not scanned")
    sandwich.clamd.start()
    sandwich.clamd.wait_ready()
    assert sandwich.retry(clean()).code == 250
    assert sandwich.send(infected()).code == 550


def test_clamd_not_there_at_start(sandwich: ScanningSandwich) -> None:
    """A service that starts without its engine is not ready, and tempfails until the engine is there."""
    sandwich.miltscan.stop()
    sandwich.clamd.stop()
    sandwich.miltscan.start()
    sandwich.miltscan.wait_ready()
    assert sandwich.send(clean()).code == 451
    assert not sandwich.miltscan.ready
    sandwich.clamd.start()
    assert sandwich.retry(clean()).code == 250


def test_miltscan_stopped(sandwich: ScanningSandwich) -> None:
    """Sendmail tempfails by itself (F=T), at whichever step it notices."""
    sandwich.miltscan.stop()
    assert [sandwich.send(message).code for message in (clean(), infected())] == [451, 451]
    sandwich.start_miltscan()
    assert [sandwich.send(message).code for message in (clean(), infected())] == [250, 550]


def test_delivery_stopped(sandwich: ScanningSandwich) -> None:
    """Mail is scanned and accepted as before, stays in mqueue, and arrives after the delivery sendmail is started."""
    message_id = new_message_id()
    wait_until(lambda: not sandwich.incoming.queued(), PATIENCE, "an empty mqueue")
    sandwich.delivery.stop()
    assert sandwich.send(infected()).code == 550
    queue_id = sandwich.send(text_message(message_id)).queue_id
    sandwich.syslog.wait_for(rf"{queue_id}: to=.*stat=Deferred")
    assert sandwich.incoming.queued() == [queue_id]
    sandwich.delivery.start()
    sandwich.delivery.wait_ready()
    sandwich.incoming.drain()
    assert sandwich.mailbox.wait_for(message_id).message["X-Virus-Status"] == "Clean"


@pytest.mark.parametrize(("tables", "reason"), [(SELDOM, "canary"), (NO_CANARY, "timeout")], ids=["canary", "timeout"])
def test_clamd_paused(sandwich: ScanningSandwich, tables: Tables, reason: str) -> None:
    """A clamd that never answers costs 451: when it fails its self-test, and without one at scan_timeout."""
    sandwich.run_with(tables)
    sandwich.clamd.pause()
    reply = sandwich.send(clean())
    assert (reply.code, reply.text[:25]) == (451, "4.7.1 Message not scanned")
    sandwich.miltscan.wait_for_message(reason=reason, reply=str(reply))
    sandwich.clamd.resume()
    assert sandwich.retry(clean()).code == 250


def test_one_of_two_clamds_paused(sandwich: ScanningSandwich) -> None:
    """The other clamd takes all mail: no client receives 451, nor do messages that wait for the paused one."""
    second = Clamd.prepare(sandwich.programs, "clamd2")
    second.start()
    second.wait_ready()
    sandwich.miltscan.servers.append(f"unix:{second.socket}")
    sandwich.run_with(QUICK)
    sandwich.miltscan.wait_for_engines(2)
    sandwich.clamd.pause()
    mail = [clean() for _ in range(8)] + [infected() for _ in range(8)]
    with ThreadPoolExecutor(4) as clients:
        codes = [reply.code for reply in clients.map(sandwich.send, mail)]
    second.stop()
    assert codes == [250] * 8 + [550] * 8


def test_clamd_killed_in_mid_scan(sandwich: ScanningSandwich) -> None:
    """A connection that ends in the middle of a scan is an error: 451, never clean."""
    sandwich.run_with(NO_CANARY)
    before = set(sandwich.clamd.temporary.iterdir())  # of abandoned scans, which may end at any time
    large = messages.as_wire(messages.clean_attachment(30_000_000))
    with ThreadPoolExecutor(1) as client:
        reply = client.submit(sandwich.send, large)
        wait_until(lambda: set(sandwich.clamd.temporary.iterdir()) - before, PATIENCE, "a scan in clamd")
        sandwich.clamd.kill()
        assert reply.result().code == 451
    assert sandwich.miltscan.wait_for_message(size=len(large))["reason"] == "closed"


def test_a_worker_crashes_in_the_middle_of_a_message(sandwich: ScanningSandwich) -> None:
    """Sendmail tempfails the message by itself (F=T), and the next one is served by a new worker."""
    sandwich.miltscan.stop()  # only the memory of a new process is surely such that it crashes
    sandwich.start_miltscan()
    with smtplib.SMTP("127.0.0.1", sandwich.incoming.port, timeout=PATIENCE) as session:
        session.ehlo()
        session.mail("sender@example.org")
        session.rcpt("user@example.test")
        crash_by_odd_macros(f"unix:{sandwich.milter_socket}")
        code, text = send_data(session, clean())
    assert (code, text[:5]) == (451, b"4.3.2")
    assert sandwich.retry(clean()).code == 250
    assert sandwich.send(infected()).code == 550
    assert sandwich.miltscan.events("child_died", status="killed by SIGSEGV")


def test_clamd_without_its_temporary_folder(sandwich: ScanningSandwich) -> None:
    """A clamd that answers OK to everything fails its self-test, and passes it with its folder back."""
    temporary = sandwich.clamd.temporary
    assert sandwich.miltscan.metric("engine_up") == 1
    shutil.rmtree(temporary)
    sandwich.miltscan.wait_for_engines(0)
    assert not sandwich.miltscan.ready
    assert [sandwich.send(message).code for message in (clean(), infected())] == [451, 451]
    temporary.mkdir()
    assert sandwich.retry(clean()).code == 250
    assert sandwich.send(infected()).code == 550


def test_message_too_large(sandwich: ScanningSandwich) -> None:
    """A message over message_size is refused, by SIZE= or by its bytes; one below it goes by the spool folder."""
    sandwich.run_with({"limits": {"message_size": "1MiB"}, "spool": {"memory": "1KiB"}})
    large, small = (text_message(new_message_id(), (b"x" * 70 + b"\r\n") * lines) for lines in (15_000, 14_000))
    replies = [sandwich.send(message) for message in (large, small)]
    assert [str(reply)[:9] for reply in replies] == ["552 5.3.4", "250 2.0.0"]
    assert sandwich.send(infected()).code == 550
    assert list((sandwich.folder / "spool").iterdir()) == []
