"""The cases of tests/corpus/decisions through the real service, between a fake MTA and a fake clamd."""

from collections.abc import Iterator
from contextlib import ExitStack
from email import message_from_bytes
from functools import partial

import pytest

from tests.fakes.antispam import FakeAntispam, either_gtube, spamd_says
from tests.fakes.clamd import FakeClamd
from tests.fakes.delivery import FakeDelivery, fake_delivery
from tests.fakes.milter_wire import Code
from tests.fakes.mta import Message, Result
from tests.harness import decisions
from tests.harness.decisions import Case, Fate
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.conftest import private_daemon, settle
from tests.milter.daemon import Daemon


@pytest.fixture(scope="module")
def second() -> Iterator[FakeClamd]:
    """The clamd of a second engine."""
    with FakeClamd.tcp() as clamd:
        yield clamd


@pytest.fixture(scope="module")
def antispam() -> Iterator[FakeAntispam]:
    """The server of an anti-spam engine."""
    with FakeAntispam(spamd_says(), either_gtube) as server:
        yield server


@pytest.fixture(scope="module")
def delivery() -> Iterator[FakeDelivery]:
    """A delivery sendmail for copies."""
    with fake_delivery() as server:
        yield server


@pytest.fixture(scope="module")
def service() -> Iterator[Daemon]:
    """One service for all cases, which reads the configuration of each."""
    with ExitStack() as stack:
        daemon = private_daemon(stack, {})
        daemon.start()
        daemon.wait_ready()
        yield daemon
        assert daemon.stop() == 0


@pytest.fixture
def daemon(service: Daemon) -> Iterator[Daemon]:
    """The service, idle before and after the test."""
    settle(service)
    yield service
    settle(service)


@pytest.mark.parametrize("case", decisions.cases("milter"), ids=lambda case: case.name)
def test_case(daemon: Daemon, second: FakeClamd, antispam: FakeAntispam, delivery: FakeDelivery, case: Case) -> None:
    """The reply to the MTA and the edits that it is asked for are those that the file expects."""
    tables = case.tables_with(case.servers(["OWN", second.address], str(antispam.address)))
    settings = {
        f"{table}.{key}".lstrip("."): value for table, values in tables.items() for key, value in values.items()
    }
    if case.expected.each:
        settings["delivery.server"] = f"inet:{delivery.port}@127.0.0.1"
        delivery.messages.clear()
    if settings != daemon.settings:
        daemon.reload(**{name.replace(".", "__"): value for name, value in settings.items()})
    for engine in case.answers:  # without a result of its first self-test it would count as down already
        daemon.wait_metric("engine_up", 1, engine=engine)
    queue_id = case.name.replace("-", "_")  # as sendmail: letters, digits and underscores
    message = Message(
        sender=case.sender.path.encode(),
        sender_args=tuple(argument.encode() for argument in case.sender.arguments),
        recipients=tuple(recipient.encode() for recipient in case.recipients),
        headers=case.headers,
        body=case.body,
        queue_id=queue_id.encode(),
    )

    with ExitStack() as stack:
        fakes: list[FakeClamd | FakeAntispam] = case.servers((daemon.clamd, second), antispam)
        for (engine, answer), fake in zip(case.answers.items(), fakes, strict=False):
            down = partial(wait_until_down, daemon, engine)
            stack.enter_context(decisions.answering(fake, answer, down))
        reads = partial(_reads, daemon)
        stack.enter_context(decisions.in_force(case, daemon.folder / "lists.jsonl", reads))
        mta = stack.enter_context(daemon.mta())
        name, address = (text.encode() for text in case.client)
        mta.values |= {b"_": b"%b [%b]" % (name, address), b"{client_name}": name, b"{client_addr}": address}
        mta.values |= _values(case)
        mta.greeted = True
        mta.connect(name, address=address)
        mta.helo()
        result = mta.send_message(message)
    edits = [(edit.name, edit.value, edit.index or 0) for edit in result.edits]
    headers = [(name.decode(), value.decode()) for name, value in decisions.edited(case.headers, edits)]
    fate = fate_of(daemon, queue_id, result)
    if case.expected.each:
        fates = decisions.fates_in_log(daemon.line_of(queue_id)) | _copied(delivery)
        fates |= {one.decode(): (*fate, headers) for one in result.recipients} if result.recipients else {}
        assert case.deviations_of_each(result.reply.smtp.decode(), fates) == []
        return
    assert case.deviations(result.reply.smtp.decode(), *fate, headers) == []


def _values(case: Case) -> dict[bytes, bytes]:
    """The macros for the circumstances of a case and the mailer of its recipients."""
    given = case.circumstances
    values = {
        "{auth_type}": "PLAIN" if given.user else "",
        "{auth_authen}": given.user,
        "{tls_version}": given.tls_version,
        "{daemon_name}": given.daemon,
        "{rcpt_mailer}": "local" if case.local else "esmtp",
    }
    return {name.encode(): value.encode() for name, value in values.items() if value}


def _copied(delivery: FakeDelivery) -> dict[str, Fate]:
    """What the delivery sendmail has, by recipient."""
    return {
        recipient: (decisions.DELIVERED, "", message_from_bytes(one.content).items())
        for one in delivery.messages
        for recipient in one.recipients
    }


def _reads(daemon: Daemon) -> int:
    return len(daemon.logged("lists_read"))


def wait_until_down(daemon: Daemon, engine: str) -> None:
    """Returns when this engine has no server that passes its self-test."""
    wait_until(lambda: daemon.metric("engine_up", engine=engine) == 0, PATIENCE, f"{engine} to be down")


def fate_of(daemon: Daemon, queue_id: str, result: Result) -> tuple[str, str]:
    """What becomes of the message, and why it is held."""
    if result.quarantine is not None:
        return decisions.HELD, result.quarantine.decode()
    if result.accepted:
        return decisions.DELIVERED, ""
    if result.reply.code is not Code.DISCARD:
        return decisions.REFUSED, ""
    line = daemon.line_of(queue_id)
    return (decisions.QUARANTINED, str(line["area"])) if line["action"] == "quarantine" else (decisions.DISCARDED, "")
