"""Many clients at once, while workers die and configurations change: every client has a reply, and no 250 is lost."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from email.message import Message
from functools import partial

import pytest

from tests.harness.client import Reply, new_message_id, text_message
from tests.harness.miltscan import Miltscan, ScanningSandwich
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder
from tests.harness.sendmail import Sendmail


@pytest.fixture(scope="module")
def busy() -> Iterator[ScanningSandwich]:
    """A sandwich that may be worked hard."""
    with private_folder() as folder, ScanningSandwich(folder) as sandwich:
        yield sandwich


class Traffic:
    """Messages of `size` bytes on their way from `clients` clients at once; the replies by Message-ID."""

    def __init__(self, sandwich: ScanningSandwich, count: int, clients: int, size: int) -> None:
        self.sandwich = sandwich
        self._pool = ThreadPoolExecutor(clients)
        self._body = (b"x" * 70 + b"\r\n") * (size // 72)
        self._replies = {
            message_id: self._submit(message_id) for message_id in [new_message_id() for _ in range(count)]
        }

    def _submit(self, message_id: str) -> Future[Reply]:
        return self._pool.submit(self.sandwich.send, text_message(message_id, self._body))

    def wait_for_replies(self, count: int) -> None:
        """Returns when so many have been answered."""
        wait_until(lambda: sum(reply.done() for reply in self._replies.values()) >= count, PATIENCE, f"{count} replies")

    def replies(self) -> dict[str, Reply]:
        """All replies; raises what a client met instead of one."""
        self._pool.shutdown()
        return {message_id: reply.result() for message_id, reply in self._replies.items()}

    def wait_for_mail(self) -> list[Message]:
        """What arrived, when both queues are empty: each accepted message at least once, and no other."""
        for sendmail in (self.sandwich.incoming, self.sandwich.delivery):
            wait_until(partial(_is_empty, sendmail), PATIENCE, f"an empty queue of {sendmail.name}")
        arrived = [delivered.message for delivered in self.sandwich.mailbox.messages()]
        ours = [message for message in arrived if message["Message-ID"] in self._replies]
        accepted = {message_id for message_id, reply in self.replies().items() if reply.code == 250}
        assert {message["Message-ID"] for message in ours} == accepted
        return ours


def _is_empty(sendmail: Sendmail) -> bool:
    return not sendmail.queued()


def test_many_messages_from_many_clients(busy: ScanningSandwich) -> None:
    """200 messages from 50 clients are all accepted, and arrive once each; nothing is stuck in a queue."""
    traffic = Traffic(busy, 200, 50, 3000)
    assert Counter(reply.code for reply in traffic.replies().values()) == {250: 200}
    assert len(traffic.wait_for_mail()) == 200


def test_worker_killed(busy: ScanningSandwich) -> None:
    """Every client receives 250 or 4xx, every accepted message arrives, and each worker is replaced."""
    respawns = busy.miltscan.metric("worker_respawns_total")
    traffic = Traffic(busy, 200, 20, 30_000)
    for number, worker in enumerate(busy.miltscan.workers()):
        traffic.wait_for_replies(30 * (number + 1))
        worker.kill()
    codes = Counter(reply.code for reply in traffic.replies().values())
    assert all(code == 250 or 400 <= code < 500 for code in codes), codes
    assert codes[250] >= 100
    traffic.wait_for_mail()
    wait_until(lambda: len(busy.miltscan.workers()) == 2, PATIENCE, "both workers again")
    wait_until(lambda: busy.miltscan.metric("worker_respawns_total") == respawns + 2, PATIENCE, "two respawns")
    assert busy.send(text_message(new_message_id())).code == 250


def has_mark(sandwich: ScanningSandwich, *, marked: bool) -> bool:
    """Whether it is so that a message gets our headers now, or (`marked` False) gets none."""
    message_id = new_message_id()
    assert sandwich.send(text_message(message_id)).code == 250
    return ("X-Virus-Status" in sandwich.mailbox.wait_for(message_id).message) is marked


# what is written into the configuration file, and whether messages are marked then
CHANGES: list[tuple[Callable[[Miltscan], object], bool]] = [
    (lambda miltscan: miltscan.configure({"headers": {"mode": "none"}}), False),
    (lambda miltscan: miltscan.configuration.write_text("[headers]\nmode = 'replase'\n"), False),
    (lambda miltscan: miltscan.configure({"clamd": {"canary_interval": "3s"}}), True),
    (lambda miltscan: miltscan.configure({}), True),
]


def test_reload_while_mail_flows(busy: ScanningSandwich) -> None:
    """No client notices a reload; a message sees one configuration, and an invalid one changes nothing."""
    failed = busy.miltscan.metric("reloads_total", result="failed")
    traffic = Traffic(busy, 200, 10, 3000)
    for number, (change, marked) in enumerate(CHANGES):
        traffic.wait_for_replies(40 * number)
        change(busy.miltscan)
        busy.miltscan.reload_and_wait()
        wait_until(partial(has_mark, busy, marked=marked), PATIENCE, "messages that are marked as configured")
    assert Counter(reply.code for reply in traffic.replies().values()) == {250: 200}
    marks = {(mail["X-Virus-Scanned"] is not None, mail["X-Virus-Status"]) for mail in traffic.wait_for_mail()}
    assert marks <= {(True, "Clean"), (False, None)}
    reloads = partial(busy.miltscan.metric, "reloads_total", result="failed")
    wait_until(lambda: reloads() == failed + 1, PATIENCE, "a reload that failed")
    assert len(busy.miltscan.events("reload_failed")) == 1


def test_stop_and_start_while_mail_flows(busy: ScanningSandwich) -> None:
    """Open transactions finish, sendmail puts off new ones, and nothing is lost or left in a queue."""
    traffic = Traffic(busy, 200, 20, 30_000)
    traffic.wait_for_replies(50)
    busy.miltscan.stop()
    busy.start_miltscan()
    codes = Counter(reply.code for reply in traffic.replies().values())
    assert set(codes) <= {250, 451}, codes
    traffic.wait_for_mail()
    assert busy.retry(text_message(new_message_id())).code == 250
