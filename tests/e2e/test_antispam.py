"""A real rspamd and a real spamd behind real sendmails: what they receive, what users find, and what their end does."""

import smtplib
from collections.abc import Callable, Iterator
from email.message import Message

import pytest

from tests.harness.antispam import SPAM_WORDS, Rspamd, Spamd
from tests.harness.client import RECIPIENT, SENDER, new_message_id, text_message
from tests.harness.miltscan import ScanningSandwich, Tables
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder

HELO = "other.example.org"
"""A name that a local rule knows. sendmail refuses one that is not ASCII; tests/milter/test_antispam.py sends such."""
SPAM = ("X-Spam-Flag", "X-Spam-Status", "X-Spam-Score", "X-Spam-Level")


class Filtered:
    """A sandwich with a real clamd, and both anti-spam programs."""

    def __init__(self, sandwich: ScanningSandwich) -> None:
        self.sandwich = sandwich
        self.miltscan = sandwich.miltscan
        self.rspamd = Rspamd(sandwich.programs, HELO)
        self.spamd = Spamd(sandwich.programs)

    def use(self, *names: str, policy: dict[str, object] | None = None, **keys: object) -> None:
        """Reload with these anti-spam engines, which have these keys; wait until they are in use and up."""
        servers = {"rspamd": self.rspamd.address, "spamd": self.spamd.address}
        engines: list[dict[str, object]] = [
            {"type": "clamd", "servers": self.miltscan.servers, "canary_interval": "1h"}
        ]
        engines += [{"type": name, "servers": [servers[name]], "canary_interval": "2s", **keys} for name in names]
        tables: Tables = {"milter": {"workers": 1}, "": {"engine": engines}, "policy": policy or {}}
        self.miltscan.configure(tables)
        self.miltscan.reload_and_wait()
        for name in names:
            up = lambda name=name: self.miltscan.metric("engine_up", engine=name) == 1  # noqa: E731
            wait_until(up, PATIENCE, name)
        wait_until(lambda: self.miltscan.ready, PATIENCE, "a service that is ready")

    def send(self, text: str = "Hello Bob,\r\n", head: bytes = b"", helo: str = "client.example.org") -> Message:
        """A message as it is in the mailbox; the client says `helo`."""
        message_id = new_message_id()
        message = head + text_message(message_id, text.encode())
        with smtplib.SMTP("127.0.0.1", self.sandwich.incoming.port, helo, PATIENCE) as session:
            session.sendmail(SENDER, [RECIPIENT], message)
        return self.sandwich.mailbox.wait_for(message_id).message


@pytest.fixture(scope="module")
def filtered() -> Iterator[Filtered]:
    """One for all tests."""
    with private_folder() as folder, ScanningSandwich(folder, {"milter": {"workers": 1}}) as sandwich:
        made = Filtered(sandwich)
        made.rspamd.start()
        made.spamd.start()
        yield made


@pytest.mark.parametrize("engine", ["rspamd", "spamd"])
def test_spam_is_marked_and_delivered(filtered: Filtered, engine: str) -> None:
    """The headers are ours, the sender's own are gone, and other mail says No."""
    filtered.use(engine)
    spam = filtered.send(f"Here is a {SPAM_WORDS}.\r\n", b"X-Spam-Status: No, forged\r\nx-spam-foo: bar\r\n")
    status = spam.get_all("X-Spam-Status", [])
    assert [one.partition(",")[0] for one in status] == ["Yes"]
    assert f"engine={engine}" in status[0]
    assert "SAMPLE_SPAM" in status[0]
    assert spam["X-Spam-Flag"] == "YES"
    assert float(spam["X-Spam-Score"]) >= 5
    assert spam["X-Spam-Level"].startswith("*****")
    assert spam["x-spam-foo"] is None
    assert spam["X-Virus-Status"] == "Clean"
    ham = filtered.send()
    assert (ham["X-Spam-Flag"], ham["X-Spam-Status"].partition(",")[0]) == (None, "No")
    line = filtered.miltscan.wait_for_message(outcome="spam")
    assert line["action"] == "accept"
    assert filtered.miltscan.metric("spam_actions_total", engine=engine) >= 2


def test_spam_is_rejected_by_choice(filtered: Filtered) -> None:
    """With policy.on_spam, and the reply names the message."""
    filtered.use("spamd", policy={"on_spam": "reject"})
    with pytest.raises(smtplib.SMTPDataError) as refused:
        filtered.send(f"Here is a {SPAM_WORDS}.\r\n")
    assert refused.value.smtp_code == 550
    assert b"Message detected as spam" in refused.value.smtp_error


def test_the_name_in_helo_reaches_the_engine(filtered: Filtered) -> None:
    """Without a callback for HELO: it is a macro at MAIL."""
    filtered.use("rspamd")
    assert "SAMPLE_HELO" in filtered.send(helo=HELO)["X-Spam-Status"]
    assert "SAMPLE_HELO" not in filtered.send()["X-Spam-Status"]


def test_what_rspamd_proposes_is_honoured_by_choice(filtered: Filtered) -> None:
    """Its headers, and Authentication-Results, each with a key of its own."""
    forged = b"Authentication-Results: example.org; dkim=pass\r\nX-Spamd-Bar: forged\r\n"
    filtered.use("rspamd")
    message = filtered.send(head=forged)
    assert (message["X-Spamd-Bar"], message.get_all("Authentication-Results")) == (
        None if message["X-Spamd-Bar"] is None else "forged",
        ["example.org; dkim=pass"],
    )
    filtered.use("rspamd", edit_headers=True, authentication_results=True)
    message = filtered.send(head=forged)
    results = message.get_all("Authentication-Results", [])
    assert len(results) == 1
    assert "dkim=pass" not in results[0]
    assert message["X-Spamd-Bar"] not in {None, "forged"}


@pytest.mark.parametrize("engine", ["rspamd", "spamd"])
def test_mail_flows_without_the_engine(filtered: Filtered, engine: str) -> None:
    """It is marked and counted; with on_error the client receives 451."""
    filtered.use(engine)
    program = getattr(filtered, engine)
    program.stop()
    try:
        down: Callable[[], bool] = lambda: filtered.miltscan.metric("engine_up", engine=engine) == 0  # noqa: E731
        wait_until(down, PATIENCE, "an engine that is down")
        message = filtered.send()
        assert (message["X-Spam-Status"], message["X-Virus-Status"]) == ("Unscanned (no-engine)", "Clean")
        assert message["X-Virus-Unscanned-By"] is None
        assert filtered.miltscan.ready
    finally:
        program.start()
