"""A real rspamd and a real spamd behind real sendmails: what they receive, what users find, and what their end does."""

import email
import smtplib
import subprocess
from collections.abc import Callable, Iterator
from email.message import Message
from functools import partial

import dkim
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

    def __init__(self, sandwich: ScanningSandwich, tables: Tables) -> None:
        self.sandwich = sandwich
        self.tables = tables
        self.miltscan = sandwich.miltscan
        self.rspamd = Rspamd(sandwich.programs, HELO)
        self.spamd = Spamd(sandwich.programs)

    def use(
        self,
        *names: str,
        policy: dict[str, object] | None = None,
        rule: dict[str, object] | None = None,
        **keys: object,
    ) -> None:
        """Reload with these anti-spam engines, which have these keys; wait until they are in use and up."""
        servers = {"rspamd": self.rspamd.address, "spamd": self.spamd.address}
        engines: list[dict[str, object]] = [
            {"type": "clamd", "servers": self.miltscan.servers, "canary_interval": "1h"}
        ]
        engines += [{"type": name, "servers": [servers[name]], "canary_interval": "2s", **keys} for name in names]
        above = {"engine": engines, **({"rule": [rule]} if rule else {})}
        tables: Tables = {**self.tables, "": above, "policy": policy or {}}
        self.miltscan.configure(tables)
        self.miltscan.reload_and_wait()
        for name in names:
            up = lambda name=name: self.miltscan.metric("engine_up", engine=name) == 1  # noqa: E731
            wait_until(up, PATIENCE, name)
        wait_until(lambda: self.miltscan.ready, PATIENCE, "a service that is ready")

    def send(self, text: str = "Hello Bob,\r\n", head: bytes = b"", helo: str = "client.example.org") -> Message:
        """A message as it is in the mailbox; the client says `helo`."""
        return email.message_from_bytes(self.pass_through(head + text_message(new_message_id(), text.encode()), helo))

    def pass_through(self, message: bytes, helo: str = "client.example.org") -> bytes:
        """The bytes of this message in the mailbox."""
        with smtplib.SMTP("127.0.0.1", self.sandwich.incoming.port, helo, PATIENCE) as session:
            session.sendmail(SENDER, [RECIPIENT], message)
        return self.sandwich.mailbox.wait_for(email.message_from_bytes(message)["Message-ID"]).raw

    def receipts(self, result: str) -> float:
        """The messages that the delivery side checked with this result."""
        return self.miltscan.metric("receipts_total", result=result)


@pytest.fixture(scope="module")
def running() -> Iterator[Filtered]:
    """One for all tests; the delivery side verifies receipts."""
    with private_folder() as folder:
        (folder / "keys").write_text(f"first {'ab' * 32}\n")
        (folder / "keys").chmod(0o600)
        tables: Tables = {
            "milter": {"workers": 1},
            "keys": {"file": f"{folder}/keys"},
            "verify": {"socket": f"unix:{folder}/run/verify.sock"},
        }
        site = {"SITE_DELIVERY_MILTER": f"unix:{folder}/run/verify.sock"}
        with ScanningSandwich(folder, tables, site=site) as sandwich:
            made = Filtered(sandwich, tables)
            made.rspamd.start()
            made.spamd.start()
            yield made


@pytest.fixture
def filtered(running: Filtered) -> Iterator[Filtered]:
    """The same; whatever a test does to headers, every receipt was valid, so that no message was scanned twice."""
    valid = running.receipts("valid")
    yield running
    if running.sandwich.incoming.queued():
        running.sandwich.wait_until_empty()
    assert running.receipts("valid") >= valid
    assert [running.receipts(result) for result in ("none", "mismatch", "forged", "rescanned")] == [0, 0, 0, 0]


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
    counted = partial(filtered.miltscan.metric, "spam_actions_total", engine=engine)
    wait_until(lambda: counted() >= 2, PATIENCE, "both counts")


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


FORGED = (
    b"X-Virus-Status: Clean\r\n",
    b"X-Spam-Flag: NO\r\nx-spam-flag: NO\r\n",
    b"X-Spamd-Bar: forged\r\nX-Spam: no\r\n",
    b"Authentication-Results: mx.example.test; dkim=pass\r\n",
)


@pytest.mark.parametrize("forged", FORGED)
def test_the_receipt_holds_after_each_kind_of_edit(filtered: Filtered, forged: bytes) -> None:
    """Removed and added by us and for rspamd: the delivery side believes it, and the mailbox has our headers."""
    filtered.use("rspamd", edit_headers=True, authentication_results=True)
    valid = filtered.receipts("valid")
    message = filtered.send(head=forged)
    assert message["X-Spam-Status"].startswith("No")
    assert message["X-Miltscan-Receipt"] is None
    wait_until(lambda: filtered.receipts("valid") == valid + 1, PATIENCE, "the count")


COVERED = [b"from", b"to", b"subject", b"date", b"message-id"]
EVERY_EDIT = {
    "add_headers": {"X-Sort": "{outcome}, {score}", "X-Own": "{recipient}"},
    "remove_headers": ["X-Sender-Only"],
}


def signature_holds(filtered: Filtered, how: bytes, **rule: object) -> bool:
    """Whether the DKIM signature of a spam message is valid in the mailbox, after the edits of this rule as well."""
    rule = {"name": "edits", "when": {"outcome": "spam"}, "action": "accept", **rule}
    filtered.use("rspamd", rule=rule, edit_headers=True, authentication_results=True)
    made = ["openssl", "genrsa", "-traditional", "1024"]
    key = subprocess.run(made, check=True, capture_output=True).stdout
    shown = subprocess.run(["openssl", "rsa", "-pubout"], input=key, check=True, capture_output=True).stdout
    record = b"v=DKIM1; k=rsa; p=" + b"".join(shown.splitlines()[1:-1])
    date = b"Date: Sun, 29 Nov 2026 01:00:00 +0000\r\n"
    plain = date + text_message(new_message_id(), f"{SPAM_WORDS}\r\n".encode())
    signature = dkim.sign(plain, b"sel", b"example.org", key, canonicalize=(how, b"simple"), include_headers=COVERED)
    forged = b"X-Spam-Flag: NO\r\nX-Own: forged\r\nX-Sender-Only: a\r\n b\r\n"
    delivered = filtered.pass_through(signature + forged + plain)
    for edit in (b"X-Spam-Flag: YES", b"X-Sort: spam, ", b"X-Own: <recipient@", b"Authentication-Results: "):
        assert edit in delivered
    for edit in (b"X-Sender-Only", b"forged"):
        assert edit not in delivered

    def resolve(_name: bytes, **_: int) -> bytes:
        return record

    valid: bool = dkim.verify(delivered, dnsfunc=resolve)
    return valid


@pytest.mark.parametrize("how", [b"relaxed", b"simple"])
def test_our_edits_keep_a_dkim_signature(filtered: Filtered, how: bytes) -> None:
    """Of a message whose signature covers From, Subject, To, Date and more, with every edit but the subject tag."""
    assert signature_holds(filtered, how, **EVERY_EDIT)


def test_a_subject_tag_breaks_a_dkim_signature(filtered: Filtered) -> None:
    """As docs/anti-spam.md says; no other edit of the same rule does."""
    assert not signature_holds(filtered, b"relaxed", **EVERY_EDIT, tag="[spam]")
