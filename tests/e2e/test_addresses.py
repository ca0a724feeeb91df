"""A rule or a list names a mailbox in one form, and a client may write it in many: with real sendmails."""

import smtplib
from collections.abc import Mapping, Sequence

from tests.e2e.test_receipt import both_sides, new_key, site
from tests.harness import client
from tests.harness.addresses import SAME_MAILBOX
from tests.harness.miltscan import ScanningSandwich
from tests.harness.sandwich import private_folder

RULE = {"name": "named", "when": {"recipient": "other@example.test"}, "action": "reject", "enforce": False}


def sent(sandwich: ScanningSandwich, others: Sequence[str]) -> Mapping[str, list[str]]:
    """The mailboxes that a message to each form and to other recipients has reached."""
    ids = {form: client.new_message_id() for form in SAME_MAILBOX}
    with smtplib.SMTP("127.0.0.1", sandwich.incoming.port) as session:
        session.ehlo()
        for form in SAME_MAILBOX:
            commands = (f"MAIL FROM:<{client.SENDER}>", *(f"RCPT TO:{one}" for one in (*others, form)))
            assert [session.docmd(one)[0] for one in commands] == [250] * len(commands)
            assert session.data(client.text_message(ids[form]))[0] == 250
    sandwich.wait_until_empty()
    found = {form: sandwich.mailbox.find(one) for form, one in ids.items()}
    return {form: sorted(who for one in copies for who in one.recipients) for form, copies in found.items()}


def test_no_form_of_an_address_avoids_a_rule() -> None:
    """Sendmail delivers each form to the same mailbox, and the rule that names it matches each."""
    with private_folder() as folder, ScanningSandwich(folder, {"": {"rule": [RULE]}}) as sandwich:
        assert sent(sandwich, ()) == {form: ["other"] for form in SAME_MAILBOX}
        avoided = [line["recipients"] for line in sandwich.miltscan.events("message") if not line["observed"]]
        assert avoided == []


def test_a_recipient_is_removed_in_each_form() -> None:
    """Sendmail removes what it has made of the form, and the other recipient has the message."""
    rule = RULE | {"action": "quarantine", "enforce": True}
    with private_folder() as folder:
        (folder / "keys.toml").write_text(f"keys.file = '{folder}/keys'\nspool.directory = '{folder}'\n")
        new_key(folder, "first")
        tables = {**both_sides(folder), "": {"rule": [rule]}}
        with ScanningSandwich(folder, tables, site=site(folder)) as sandwich:
            assert sent(sandwich, ["<box@example.test>"]) == {form: ["box"] for form in SAME_MAILBOX}
            lines = sandwich.miltscan.events("message", decisions_count=2)
            assert all(line["decisions"][1]["entry"] for line in lines)
            assert len(lines) == len(SAME_MAILBOX)
