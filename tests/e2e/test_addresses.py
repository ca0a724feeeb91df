"""A rule or a list names a mailbox in one form, and a client may write it in many: with a real sendmail."""

import smtplib

from tests.harness import client
from tests.harness.addresses import SAME_MAILBOX
from tests.harness.miltscan import ScanningSandwich
from tests.harness.sandwich import private_folder

RULE = {"name": "named", "when": {"recipient": "other@example.test"}, "action": "reject", "enforce": False}


def test_no_form_of_an_address_avoids_a_rule() -> None:
    """Sendmail delivers each form to the same mailbox, and the rule that names it matches each."""
    sent: dict[str, str] = {}
    with private_folder() as folder, ScanningSandwich(folder, {"": {"rule": [RULE]}}) as sandwich:
        with smtplib.SMTP("127.0.0.1", sandwich.incoming.port) as session:
            session.ehlo()
            for form in SAME_MAILBOX:
                sent[form] = client.new_message_id()
                assert session.docmd(f"MAIL FROM:<{client.SENDER}>")[0] == 250
                assert session.docmd(f"RCPT TO:{form}")[0] == 250, form
                assert session.data(client.text_message(sent[form]))[0] == 250
        sandwich.wait_until_empty()
        delivered = {form: [one.recipients for one in sandwich.mailbox.find(sent[form])] for form in sent}
        assert delivered == {form: [["other"]] for form in sent}
        avoided = [line["recipients"] for line in sandwich.miltscan.events("message") if not line["observed"]]
        assert avoided == []
