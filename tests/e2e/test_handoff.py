"""The handoff by a program: the delivery sendmail is started for each message, and a queue runner sends what stays."""

from collections.abc import Iterator

import psutil
import pytest

from tests.harness import cf, messages, ports, preload
from tests.harness.client import RECIPIENT, new_message_id, text_message
from tests.harness.mailbox import Mailbox
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder

HANDOFF = ["smtp", "esmtp", "smtp8", "dsmtp", "relay", "local"]


@pytest.fixture(scope="module")
def program_sandwich() -> Iterator[ScanningSandwich]:
    """A sandwich with clamd and miltscan whose delivery sendmail is a program and not a listener."""
    with private_folder() as folder, ScanningSandwich(folder, site={"SITE_HANDOFF": "program"}) as sandwich:
        yield sandwich


@pytest.mark.parametrize("name", HANDOFF)
def test_every_mailer_starts_the_delivery_sendmail(program_sandwich: ScanningSandwich, name: str) -> None:
    """Each mailer starts the program with its configuration: k and S in F=, local without f, else as by TCP."""
    mailer = cf.mailers(program_sandwich.incoming.configuration)[name]
    assert mailer.program == str(preload.wrapper(program_sandwich.folder))
    assert mailer.arguments == f"sendmail -L delivery -C {program_sandwich.delivery.configuration} -bs"
    assert set("kSm") <= set(mailer.flags)
    assert not set("fP9") & set(mailer.flags)


@pytest.mark.parametrize("recipient", [RECIPIENT, "someone@elsewhere.example"])
def test_message_reaches_the_mailbox(program_sandwich: ScanningSandwich, recipient: str) -> None:
    """A local or remote message with a lone dot in it arrives marked Clean, and the log has both queue IDs."""
    message_id = new_message_id()
    assert program_sandwich.send(text_message(message_id, b"a\r\n.\r\nb\r\n"), recipients=[recipient]).code == 250
    delivered = program_sandwich.mailbox.wait_for(message_id)
    assert delivered.raw.endswith(b"\r\n\r\na\r\n.\r\nb\r\n")
    assert delivered.message["X-Virus-Status"] == "Clean"
    trace = program_sandwich.wait_for_trace(message_id)
    assert f"id {trace.delivery}" in "".join(delivered.message.get_all("Received", []))


def test_infected_message_is_refused_as_ever(program_sandwich: ScanningSandwich) -> None:
    """The way mail is handed over does not matter to the verdict."""
    assert program_sandwich.send(messages.as_wire(messages.infected())).code == 550


def test_nothing_listens_for_delivery(program_sandwich: ScanningSandwich) -> None:
    """No process listens on port 19000; the queue runner accepts no connection and has written its pid file."""
    runner = program_sandwich.delivery
    assert not ports.is_open(runner.port)
    assert psutil.Process(runner.running.pid).net_connections() == []
    assert int(runner.pid_file.read_text().split()[0]) == runner.running.pid


def test_the_queue_runner_sends_what_stayed(program_sandwich: ScanningSandwich) -> None:
    """With the mailbox down the message stays in mqueuedelivery, and a queue run sends it later."""
    message_id = new_message_id()
    program_sandwich.mailbox.program.terminate()
    assert program_sandwich.send(text_message(message_id)).code == 250
    queue_id = program_sandwich.wait_for_trace(message_id).delivery
    program_sandwich.syslog.wait_for(rf"delivery\[\d+\]: {queue_id}: to=.*stat=Deferred")
    assert queue_id in program_sandwich.delivery.queued()
    wait_until(lambda: not program_sandwich.incoming.queued(), PATIENCE, "an empty mqueue")
    program_sandwich.mailbox = Mailbox.start(program_sandwich.programs, program_sandwich.mailbox.port)
    program_sandwich.mailbox.wait_ready()
    program_sandwich.delivery.stop()
    program_sandwich.delivery.start_queue_runner("1s")
    assert program_sandwich.mailbox.wait_for(message_id).recipients == ["recipient"]
    wait_until(lambda: not program_sandwich.delivery.queued(), PATIENCE, "an empty mqueuedelivery")


def test_a_program_that_fails_keeps_the_message_in_mqueue(program_sandwich: ScanningSandwich) -> None:
    """Where the delivery sendmail cannot be started, the message waits at incoming."""
    message_id = new_message_id()
    configuration = program_sandwich.delivery.configuration
    hidden = configuration.rename(configuration.with_suffix(".hidden"))
    queue_id = program_sandwich.send(text_message(message_id)).queue_id
    program_sandwich.syslog.wait_for(rf"incoming\[\d+\]: {queue_id}: to=.*stat=Deferred")
    assert queue_id in program_sandwich.incoming.queued()
    hidden.rename(configuration)
    program_sandwich.incoming.drain()
    program_sandwich.mailbox.wait_for(message_id)
