"""An anti-spam engine behind the real service: what it is asked, and what the MTA, the log and the metrics are told."""

from collections.abc import Iterator

import pytest

from tests.fakes.antispam import FakeAntispam, rspamd_says
from tests.fakes.eicar import EICAR
from tests.fakes.milter_wire import Stage
from tests.fakes.mta import MTA, Message, Result
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon

CLAMD = {"type": "clamd", "servers": ["OWN"], "canary_interval": "3s"}
SPAM = rspamd_says(score=7.5, action="add header", symbols={"SAMPLE": {"score": 7.5}, "OTHER": {"score": 0.0}})
MACROS = {b"s": b"m\xe9l (x)", b"{auth_authen}": b"al\xffice", b"{tls_version}": b"TLSv1.3", b"{cipher}": b"AES"}


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeAntispam]:
    """One for all tests, so that the services that use it are shared."""
    with FakeAntispam(rspamd_says()) as made:
        yield made


@pytest.fixture
def rspamd(fake: FakeAntispam) -> Iterator[FakeAntispam]:
    """The same, honest before and after the test."""
    fake.answer = rspamd_says()
    fake.requests.clear()
    yield fake
    fake.answer, fake.answers_self_test = rspamd_says(), True


def table(fake: FakeAntispam, **keys: object) -> dict[str, object]:
    """An `[[engine]]` table of type rspamd."""
    return {"type": "rspamd", "servers": [str(fake.address)], "canary_interval": "1s", **keys}


def added(result: Result) -> dict[str, str]:
    """The headers that an accepted message got."""
    assert result.accepted, result
    return {edit.name.decode(): edit.value.strip().decode() for edit in result.edits if edit.value}


def fields(request: bytes) -> dict[bytes, bytes]:
    """The header fields of a request, by their names in lower case."""
    lines = request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}


def test_the_engine_is_asked_with_what_the_mta_knows(shared: Fleet, rspamd: FakeAntispam) -> None:
    """HELO, user and TLS, of any bytes, come as macros at MAIL; the HELO callback is left out."""
    daemon = shared(engine=[CLAMD, table(rspamd)])
    with MTA.open(daemon.address) as mta:
        mta.values |= MACROS
        assert mta.macro_names(Stage.MAIL) == (
            *(b"i", b"{auth_type}", b"{auth_authen}", b"{tls_version}", b"{cipher}", b"s", b"j", b"{daemon_name}"),
        )
        assert mta.send_message(Message(queue_id=b"ASKED")).accepted
    asked = fields(rspamd.requests[-1])
    assert asked[b"ip"] == b"192.0.2.1"
    assert asked[b"helo"] == b"m\\xe9l (x)"
    assert asked[b"user"] == b"al\\xffice"
    assert (asked[b"tls-version"], asked[b"tls-cipher"]) == (b"TLSv1.3", b"AES")
    assert (asked[b"mta-name"], asked[b"queue-id"]) == (b"mx.example.test", b"ASKED")


def test_the_mta_keeps_its_macros_without_such_an_engine(daemon: Daemon) -> None:
    """So that a site without an anti-spam engine pays for none."""
    with MTA.open(daemon.address) as mta:
        assert mta.options.macros == {}


def test_spam_is_marked(shared: Fleet, rspamd: FakeAntispam) -> None:
    """The sender's own fields are removed; the line has score, advice and rules, and metrics count them."""
    daemon = shared(engine=[CLAMD, table(rspamd)])
    rspamd.answer = SPAM
    result = daemon.send(Message(queue_id=b"SPAM", headers=((b"x-spam-flag", b" NO"), (b"Subject", b" x"))))
    headers = added(result)
    assert headers["X-Spam-Flag"] == "YES"
    assert headers["X-Spam-Status"] == "Yes, score=7.5 required=15.0 tests=SAMPLE,OTHER engine=rspamd"
    assert (headers["X-Spam-Score"], headers["X-Spam-Level"], headers["X-Virus-Status"]) == ("7.5", "*" * 7, "Clean")
    assert [edit.name.lower() for edit in result.edits if not edit.value] == [b"x-spam-flag"]
    line = daemon.line_of("SPAM")
    assert (line["level"], line["outcome"], line["rule"], line["action"]) == (
        "info",
        "spam",
        "policy.on_spam",
        "accept",
    )
    entry = line["engines"][1]
    assert (entry["score"], entry["threshold"], entry["advice"]) == (7.5, 15.0, "add header")
    assert entry["symbols"] == ["SAMPLE", "OTHER"]
    wait_until(lambda: daemon.metric("spam_actions_total", action="add header") >= 1, PATIENCE, "the count")
    assert daemon.metric("spam_symbols_total", symbol="SAMPLE") >= 1
    assert daemon.metric("spam_score_count", engine="rspamd") >= 1


def test_infected_mail_is_not_asked_about(shared: Fleet, rspamd: FakeAntispam) -> None:
    """It is rejected before; mail that is accepted although it was not scanned is asked about."""
    daemon = shared(engine=[CLAMD, table(rspamd)])
    assert daemon.send(Message(body=EICAR + b"\r\n")).reply.smtp.startswith(b"550")
    assert rspamd.requests == []


def test_an_engine_that_fails_is_named(shared: Fleet, rspamd: FakeAntispam) -> None:
    """Mail is accepted, marked and counted; a lie counts as a failure."""
    daemon = shared(engine=[CLAMD, table(rspamd)])
    rspamd.answer = rspamd_says(action="invented")
    headers = added(daemon.send(Message(queue_id=b"LIE")))
    assert (headers["X-Spam-Status"], headers["X-Virus-Status"]) == ("Unscanned (garbled)", "Clean")
    assert "X-Virus-Unscanned-By" not in headers
    line = daemon.line_of("LIE")
    assert (line["outcome"], line["unscanned_by"]) == ("clean", ["rspamd"])
    rspamd.answers_self_test = False
    daemon.wait_metric("engine_up", 0, engine="rspamd")
    assert added(daemon.send())["X-Spam-Status"] == "Unscanned (no-engine)"
    assert daemon.get("/readyz") == (200, "ok\n")


def test_spam_and_failures_are_stopped_by_choice(shared: Fleet, rspamd: FakeAntispam) -> None:
    """By policy.on_spam with rspamd's text, and by on_error of the engine; too large a message is neither."""
    tables = [CLAMD, table(rspamd, on_error="tempfail", reply_text=True, skip_above="1KiB")]
    daemon = shared(engine=tables, policy__on_spam="reject")
    rspamd.answer = rspamd_says(score=20.0, action="reject", messages={"smtp_message": "Go away"})
    assert daemon.send(Message(queue_id=b"Q1")).reply.smtp == b"550 5.7.1 Go away (Q1)"
    rspamd.answer = rspamd_says(symbols={})
    assert daemon.send().reply.smtp.startswith(b"451 4.7.1 Message not scanned (garbled)")
    assert added(daemon.send(Message(body=b"x" * 2000)))["X-Spam-Status"] == "Unscanned (too-large)"


def test_mail_of_users_is_left_out_by_choice(shared: Fleet, rspamd: FakeAntispam) -> None:
    """The engine is not asked, and the sender's own fields are removed all the same."""
    daemon = shared(engine=[CLAMD, table(rspamd, skip_authenticated=True)])
    with MTA.open(daemon.address) as mta:
        mta.values[b"{auth_type}"] = b"PLAIN"
        result = mta.send_message(Message(headers=((b"X-Spam-Flag", b" NO"),)))
    assert not [name for name in added(result) if name.startswith("X-Spam")]
    assert [edit.name for edit in result.edits if not edit.value] == [b"X-Spam-Flag"]
    assert rspamd.requests == []
    assert daemon.send().accepted
    assert len(rspamd.requests) == 1
