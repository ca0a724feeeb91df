"""The lines with which a real sendmail gives a message more queue IDs: copies for owners, split queues, and bounces."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest

from miltscan.sandwich.logfiles import Logs
from miltscan.trace.follow import Trace, find
from miltscan.trace.recipients import DeliveryStatus
from tests.harness.client import SENDER, new_message_id, text_message
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import Sandwich, private_folder

SITE = """\
include(`{folder}/incoming.site.m4')dnl
define(`ALIAS_FILE', `{folder}/aliases')dnl
QUEUE_GROUP(`mqueue', `F=f, R=8, r=2')dnl
"""


@pytest.fixture(scope="module")
def sandwich() -> Iterator[Sandwich]:
    """A sandwich with an alias that has an owner, two recipients in a queue file, and a domain without users."""
    with private_folder() as folder:
        more = folder / "more.m4"
        more.write_text(SITE.format(folder=folder))
        (folder / "aliases").write_text("list: one, two, three\nowner-list: boss\n")
        with Sandwich(folder, site={"SITE_INCOMING": str(more)}) as sandwich:
            sandwich.incoming.run("-bi")
            sandwich.delivery.make_map("mailertable", "empty.example\terror:5.1.1:550 User unknown\n")
            yield sandwich


def traced(sandwich: Sandwich, recipients: Sequence[str], status: DeliveryStatus, queue_ids: int) -> Trace:
    """The trace of a new message, as soon as it has this status and so many queue IDs."""
    message_id = new_message_id()
    assert sandwich.send(text_message(message_id), recipients=recipients).code == 250
    return traced_again(sandwich, message_id, status, queue_ids)


def traced_again(sandwich: Sandwich, message_id: str, status: DeliveryStatus, queue_ids: int) -> Trace:
    """The trace of a message, as soon as it has this status and so many queue IDs."""

    def found() -> Trace | None:
        traces = find(message_id, Logs([sandwich.syslog.file], journal=False).matching, datetime.now(UTC)).traces
        good = [one for one in traces if one.status is status and len(one.queue_ids) == queue_ids]
        return good[0] if len(traces) == len(good) == 1 else None

    return wait_until(found, PATIENCE, f"a trace with status {status} and {queue_ids} queue IDs")


def test_copies_for_the_owner_of_an_alias_and_split_queue_files(sandwich: Sandwich) -> None:
    """Each of the queue IDs finds the message with all of its recipients."""
    waiting = traced(sandwich, ["list@example.test"], DeliveryStatus.UNKNOWN, 4)  # the split copy waits for a queue run
    assert sorted(one.address for one in waiting.recipients) == ["three", "two"]
    sandwich.incoming.drain()
    trace = traced_again(sandwich, waiting.message_id or "", DeliveryStatus.DELIVERED, 5)
    assert sorted(one.address for one in trace.recipients) == ["<one>", "<three>", "<two>"]
    texts = [event.text for event in trace.events if event.queue_id == trace.queue_ids[0]]
    assert any(": clone: owner=" in text for text in texts)
    logs = Logs([sandwich.syslog.file], journal=False)
    for queue_id in trace.queue_ids:
        assert [one.queue_ids for one in find(queue_id, logs.matching, datetime.now(UTC)).traces] == [trace.queue_ids]


def test_a_split_queue_file(sandwich: Sandwich) -> None:
    """The recipients that sendmail moves to other queue files are found."""
    names = ["a@example.test", "b@example.test", "c@example.test", "d@example.test", "e@example.test"]
    trace = traced(sandwich, names, DeliveryStatus.DELIVERED, 6)
    assert sorted(one.address for one in trace.recipients) == ["<a>", "<b>", "<c>", "<d>", "<e>"]
    assert any(event.text.startswith("split: maxrcpts=2, rcpts=5, count=2, ids=") for event in trace.events)


def test_a_bounce(sandwich: Sandwich) -> None:
    """The bounce is followed to its recipient, and does not count for the status of the message."""
    trace = traced(sandwich, ["gone@empty.example"], DeliveryStatus.FAILED, 1)

    def bounced() -> Trace | None:
        logs = Logs([sandwich.syslog.file], journal=False)
        (one,) = find(trace.queue_ids[0], logs.matching, datetime.now(UTC)).traces
        return one if one.notices and one.notices[0].status is DeliveryStatus.DELIVERED else None

    found = wait_until(bounced, PATIENCE, "the delivery of the bounce")
    assert [one.address for one in found.notices] == [f"<{SENDER}>"]
    assert found.status is DeliveryStatus.FAILED
    assert len(found.notice_ids) == 2
    (of_bounce,) = find(
        found.notice_ids[1], Logs([sandwich.syslog.file], journal=False).matching, datetime.now(UTC)
    ).traces
    assert of_bounce == found
