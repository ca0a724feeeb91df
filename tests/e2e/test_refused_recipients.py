"""Recipients that a rule refuses at RCPT, with a real sendmail: they alone are refused, and `trace` shows them."""

import json
import smtplib
from collections.abc import Iterator

import pytest

from tests.harness import client
from tests.harness.commands import in_process
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder

BOX, OTHER = "box@example.test", "other@example.test"
RULE = {"name": "no mail for it", "when": {"recipient": OTHER}, "action": "reject"}


@pytest.fixture(scope="module")
def sandwich() -> Iterator[ScanningSandwich]:
    """A sandwich with the rule."""
    with private_folder() as folder, ScanningSandwich(folder, {"": {"rule": [RULE]}}) as sandwich:
        yield sandwich


def answers(session: smtplib.SMTP) -> tuple[dict[str, int], int]:
    """The codes of recipients refused at RCPT, and the code at the end of a message for both."""
    message = client.text_message(client.new_message_id())
    try:
        refused = session.sendmail(client.SENDER, [BOX, OTHER], message)
    except smtplib.SMTPDataError as error:
        return {}, error.smtp_code
    return {name: code for name, (code, _) in refused.items()}, 250


def test_a_recipient_is_refused_alone(sandwich: ScanningSandwich) -> None:
    """The other one receives the message; a trace by the queue ID names both."""
    message_id = client.new_message_id()
    with smtplib.SMTP("127.0.0.1", sandwich.incoming.port) as session:
        refused = session.sendmail(client.SENDER, [BOX, OTHER], client.text_message(message_id))
    code, text = refused[OTHER]
    assert (code, [*refused]) == (550, [OTHER])
    sandwich.wait_until_empty()
    assert [one.recipients for one in sandwich.mailbox.find(message_id)] == [["box"]]
    (line,) = sandwich.miltscan.events("recipient_refused")
    assert str(line["reply"]).removeprefix("550 5.7.1 ") in text.decode()  # sendmail names the address before it
    logs = ["--log", str(sandwich.syslog.file), "--log", str(sandwich.miltscan.running.log)]
    traced = in_process("trace", "--json", *logs, line["queue_id"])
    fates = {one["recipient"].strip("<>"): one["status"] for one in json.loads(traced.stdout)["recipients"]}
    assert (fates.pop(OTHER), [*fates.values()]) == ("rejected", ["delivered"])


def test_a_reload_between_two_messages_of_one_connection(sandwich: ScanningSandwich) -> None:
    """Sendmail keeps its connection to the filter: what was negotiated stays, and the rules of now decide."""
    configuration = sandwich.miltscan.configuration
    with_rule = configuration.read_text()
    without = with_rule.replace('"reject"', '"accept"')
    with smtplib.SMTP("127.0.0.1", sandwich.incoming.port) as early:
        assert answers(early) == ({OTHER: 550}, 250)
        configuration.write_text(without)
        sandwich.miltscan.reload()
        wait_until(lambda: answers(early) == ({}, 250), PATIENCE, "a rule that accepts")
        with smtplib.SMTP("127.0.0.1", sandwich.incoming.port) as late:
            assert answers(late) == ({}, 250)
            configuration.write_text(with_rule)
            sandwich.miltscan.reload()
            wait_until(lambda: answers(early) == ({OTHER: 550}, 250), PATIENCE, "a rule that rejects")
            assert answers(late) == ({}, 250)  # at the end of the message, where the other one is removed
    refused = [line for line in sandwich.miltscan.events("message") if line["decisions_count"]]
    assert refused
