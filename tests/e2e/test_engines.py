"""Two engines end to end: a real clamd, and a second engine that comes, fails and goes while mail flows."""

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from email.message import Message

import psutil
import pytest

from tests.fakes.clamd import FakeClamd
from tests.fakes.clamd_lies import Slow, always_ok, honest, says, unless_canary
from tests.harness import messages
from tests.harness.client import Reply, new_message_id, text_message
from tests.harness.miltscan import ScanningSandwich, Tables
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder

QUICK: Tables = {"clamd": {"canary_interval": "3s"}, "milter": {"workers": 1}}
SLACK = 5  # threads of libmilter and sessions with clamd that come and go; six engines that leak hold more
MAIL = 3  # messages and self-tests; more than the self-test of a new engine
MARK = "X-Virus-Unscanned-By"


class Engines:
    """A sandwich with a real clamd, and a fake server for its second engine."""

    def __init__(self, sandwich: ScanningSandwich, second: FakeClamd) -> None:
        self.sandwich = sandwich
        self.miltscan = sandwich.miltscan
        self.second = second

    def use(self, **keys: object) -> None:
        """Reload with a second engine that has these keys, or without it if there are none; wait until it is in use."""
        # no self-test of the first engine after the start: each one opens a connection, which is kept for a while
        first = {"type": "clamd", "servers": self.miltscan.servers, "canary_interval": "1h"}
        table = {"type": "clamd", "name": "second", "servers": [self.second.address], "canary_interval": "3s", **keys}
        self.miltscan.configure({"milter": QUICK["milter"], "": {"engine": [first, table] if keys else [first]}})
        self.miltscan.reload_and_wait()
        expected = {"clamd": "1.0"} | ({"second": "1.0" if keys["required"] else "0.0"} if keys else {})
        wait_until(lambda: self.required() == expected, PATIENCE, f"the engines {expected}")

    def required(self) -> dict[str, str]:
        """The engines in use, and whether mail must be scanned by them."""
        return dict(re.findall(r'miltscan_engine_required\{engine="(\w+)"\} (\S+)', self.miltscan.get("/metrics")))

    def down(self) -> None:
        """Let the second server detect nothing from now on, until the service has noticed."""
        self.second.behaviour = always_ok
        wait_until(lambda: self.miltscan.metric("engine_up", engine="second") == 0, PATIENCE, "an engine that is down")

    def delivered(self) -> Message:
        """A clean message, as it is in the mailbox."""
        message_id = new_message_id()
        assert self.sandwich.send(text_message(message_id)).code == 250
        return self.sandwich.mailbox.wait_for(message_id).message


@pytest.fixture(scope="module")
def running() -> Iterator[Engines]:
    """One for all tests."""
    with private_folder() as folder, FakeClamd.unix(folder / "second.ctl") as second, ExitStack() as stack:
        yield Engines(stack.enter_context(ScanningSandwich(folder, QUICK)), second)


@pytest.fixture
def engines(running: Engines) -> Iterator[Engines]:
    """The same, with an honest second server."""
    running.second.behaviour = honest
    yield running
    running.second.behaviour = honest


def infected() -> bytes:
    """EICAR deep in a message."""
    return messages.as_wire(messages.infected_deep_down())


def test_mail_is_delivered_without_a_dead_optional_engine(engines: Engines) -> None:
    """It carries the mark, and is counted; the service is ready, and what clamd finds is still rejected."""
    engines.use(required=False)
    assert engines.delivered()[MARK] is None
    engines.down()
    assert engines.miltscan.ready
    before = engines.miltscan.metric("optional_engine_unscanned_total", engine="second")
    message = engines.delivered()
    assert (message["X-Virus-Status"], message[MARK]) == ("Clean", "second (no-engine)")
    assert engines.sandwich.send(infected()).code == 550
    after = before + 1
    wait_until(lambda: engines.miltscan.metric("optional_engine_unscanned_total") == after, PATIENCE, "the count")


def test_no_mail_is_accepted_without_a_dead_required_engine(engines: Engines) -> None:
    """The client receives 451 although clamd is up, and the service is not ready; then the message is accepted."""
    engines.use(required=True)
    engines.down()
    reply = engines.sandwich.send(text_message(new_message_id()))
    assert (reply.code, reply.text[:25]) == (451, "4.7.1 Message not scanned")
    wait_until(lambda: not engines.miltscan.ready, PATIENCE, "a service that is not ready")
    engines.second.behaviour = honest
    assert engines.sandwich.retry(text_message(new_message_id())).code == 250
    wait_until(lambda: engines.miltscan.ready, PATIENCE, "a service that is ready")


def test_a_slow_optional_engine_costs_its_timeout(engines: Engines) -> None:
    """The message is delivered with the mark, long before limits.scan_timeout."""
    engines.use(required=False, timeout="1s")
    slow = Slow()
    engines.second.behaviour = unless_canary(slow)
    message = engines.delivered()
    slow.released.set()
    assert message[MARK] == "second (timeout)"
    line = engines.miltscan.wait_for_message(message_id=message["Message-ID"])
    assert line["unscanned_by"] == ["second"]
    assert line["total_ms"] < 30_000


def test_both_find_something(engines: Engines) -> None:
    """The first engine names the virus; what the second alone finds is rejected as well."""
    engines.use(required=False)
    engines.second.behaviour = unless_canary(says(b"Other.Virus FOUND"))
    assert "Eicar" in engines.sandwich.send(infected()).text
    assert "Virus found: Other.Virus" in engines.sandwich.send(text_message(new_message_id())).text


def test_an_engine_comes_and_goes_while_mail_flows(engines: Engines) -> None:
    """No client is refused meanwhile, and the worker keeps neither connection, descriptor nor thread of it."""
    engines.use()
    engines.delivered()
    (worker,) = engines.miltscan.workers()
    held = held_by(worker)
    replies: list[Reply] = []
    stop = threading.Event()

    def flow() -> None:
        while not stop.is_set():
            replies.append(engines.sandwich.send(text_message(new_message_id())))

    sender = threading.Thread(target=flow)
    sender.start()
    try:
        for required in (True, False) * 3:
            engines.use(required=required)
            engines.second.contents.clear()
            wait_until(lambda: len(engines.second.contents) > MAIL, PATIENCE, "mail at both engines")
            engines.use()
    finally:
        stop.set()
        sender.join(PATIENCE)
    assert {reply.code for reply in replies} == {250}
    wait_until(lambda: engines.second.connections == 0, PATIENCE, "no connection to the removed engine")
    wait_until(lambda: held_by(worker) <= held + SLACK, PATIENCE, f"{held} threads and descriptors")


def held_by(worker: psutil.Process) -> int:
    """The threads and descriptors of a worker."""
    return worker.num_threads() + worker.num_fds()
