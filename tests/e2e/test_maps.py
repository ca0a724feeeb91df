"""A site's own tables work as before: aliases, virtusertable and mailertable, each where it belongs."""

from collections.abc import Iterator

import pytest

from tests.harness.client import new_message_id, text_message
from tests.harness.sandwich import Sandwich, private_folder

ALIASES = "staff: one, two@elsewhere.example\njoe: \\joe, copy@elsewhere.example\n"
VIRTUSERS = """\
info@example.test joe-info
gone@example.test error:5.1.6:550 Moved away
@virtual.example all@elsewhere.example
"""


@pytest.fixture(scope="module")
def sandwich() -> Iterator[Sandwich]:
    """A sandwich with its own tables; aliases at incoming only."""
    with private_folder() as folder:
        more = folder / "more.m4"
        aliases = f"define(`ALIAS_FILE', `{folder}/aliases')dnl\nVIRTUSER_DOMAIN(`virtual.example')dnl\n"
        more.write_text(f"include(`{folder}/incoming.site.m4')dnl\n{aliases}")
        (folder / "aliases").write_text(ALIASES)
        site = {"SITE_INCOMING": str(more), "SITE_DOMAIN": "example.test virtual.example"}
        with Sandwich(folder, site=site) as sandwich:
            sandwich.incoming.run("-bi")
            sandwich.incoming.make_map("virtusertable", VIRTUSERS)
            sandwich.delivery.make_map("mailertable", "special.example\tlocal:special\n")
            yield sandwich


@pytest.mark.parametrize(
    ("recipient", "delivered"),
    [
        ("staff@example.test", [["one"], ["two@elsewhere.example"]]),
        ("joe@example.test", [["copy@elsewhere.example"], ["joe"]]),
        ("info@example.test", [["joe-info"]]),
        ("anybody@virtual.example", [["all@elsewhere.example"]]),
        ("anybody@special.example", [["special"]]),
    ],
)
def test_recipient_is_looked_up(sandwich: Sandwich, recipient: str, delivered: list[list[str]]) -> None:
    """Incoming reads aliases and virtusertable, delivery the mailertable; each recipient gets one copy."""
    message_id = new_message_id()
    assert sandwich.send(text_message(message_id), recipients=[recipient]).code == 250
    sandwich.wait_until_empty()
    assert sorted(message.recipients for message in sandwich.mailbox.find(message_id)) == delivered


def test_virtusertable_refuses_inside_the_session(sandwich: Sandwich) -> None:
    """The client itself receives the text of an error: entry."""
    reply = sandwich.send(text_message("<x@y>"), recipients=["gone@example.test"])
    assert str(reply) == "550 5.1.6 <gone@example.test>... Moved away"
