"""The meaning of a log line, in words."""

from datetime import UTC, datetime

import pytest

from miltscan.trace.explain import explain

NOW = datetime(2026, 11, 23, tzinfo=UTC)
HEAD = "Nov 22 16:04:15 mx incoming[1849]: 6AMG4FAU001849: "
ENVELOPE = (
    "from=<a@example.org>, size=134, class=0, nrcpts=1, msgid=<x@example.org>, bodytype=8BITMIME, proto=ESMTP, "
    "daemon=incoming, tls_verify=NONE, auth=NONE, relay=localhost [127.0.0.1]"
)
DELIVERY = (
    "to=<b@example.test>, ctladdr=<b@example.test> (1001/1001), delay=00:00:01, xdelay=00:00:00, mailer=local, "
    "pri=30134, relay=[127.0.0.1] [127.0.0.1], dsn={}, stat={}"
)


def meanings(line: str) -> dict[str, str]:
    """The meaning of each part, by the name of the part."""
    return {part.name: part.meaning for part in explain(line, NOW)}


@pytest.mark.parametrize(
    "text", [ENVELOPE, DELIVERY.format("2.0.0", "Sent"), "ruleset=check_rcpt, arg1=<a@b>, reject=550"]
)
def test_every_field_of_sendmail_is_known(text: str) -> None:
    """Each field that sendmail writes has a meaning."""
    found = meanings(HEAD + text)
    assert {"time", "host", "program", "pid", "queue ID", "line"} < found.keys()
    assert len(found) == 6 + text.count("=")
    assert not [name for name, meaning in found.items() if "unknown" in meaning or not meaning]


@pytest.mark.parametrize(
    ("dsn", "stat", "in_dsn", "in_stat"),
    [
        (
            "2.0.0",
            "Sent (6AMG4FAU001850 Message accepted for delivery)",
            "sent",
            "the next sendmail has it as 6AMG4FAU001850",
        ),
        ("2.0.0", "Sent (ok)", "sent", "sent"),
        ("4.4.1", "Deferred: Connection refused by h", "deferred", "tries again"),
        ("5.1.1", "User unknown", "failed permanently", "failed permanently"),
        ("5.7.1", "anything else", "failed permanently", "the reason, in words"),
    ],
)
def test_result(dsn: str, stat: str, in_dsn: str, in_stat: str) -> None:
    """The class of the code and the begin of the text give the result."""
    found = meanings(HEAD + DELIVERY.format(dsn, stat))
    assert in_dsn in found["dsn"]
    assert in_stat in found["stat"]


@pytest.mark.parametrize(
    ("queue_id", "made"),
    [
        ("6AMG4FAU001849", "2026-11-22 16:04:15"),
        ("m2Q8K2e1009516", "2008-03-26 08:20:02"),
        ("xxxxxxAU001849", None),
        ("NOQUEUE", None),
    ],
)
def test_queue_id_has_a_time(queue_id: str, made: str | None) -> None:
    """The first six characters of a queue ID are its time, if they are valid."""
    found = meanings(f"Nov 22 16:04:15 mx incoming[1849]: {queue_id}: text")["queue ID"]
    assert f"made at {made} UTC" in found if made else "made at" not in found


def test_relay_depends_on_the_line() -> None:
    """It is the client in one line and the next host in the other."""
    assert "the client" in meanings(HEAD + ENVELOPE)["relay"]
    assert "the next host" in meanings(HEAD + DELIVERY.format("2.0.0", "Sent"))["relay"]


@pytest.mark.parametrize("line", ["", "hello", "\x1b[2J", '{"event":"message","queue_id":"6AMG4FAU001849","size":3}'])
def test_any_line_has_a_kind(line: str) -> None:
    """A line that no sendmail has written has a kind, too."""
    assert "line" in meanings(line)


def test_unknown_field_is_shown() -> None:
    """A field of a later sendmail is shown without a meaning."""
    assert "unknown" in meanings(HEAD + "from=<a@b>, colour=blue, size=1")["colour"]


def test_lines_that_give_a_message_another_queue_id() -> None:
    """The meaning of a line that links two queue IDs is not that of any other line."""
    assert "a copy with another queue ID" in meanings(f"{HEAD}6AMG4FAU001850: clone: owner=boss@example.test")["line"]
    assert "a bounce or report" in meanings(f"{HEAD}6AMG4FAU001850: DSN: User unknown")["line"]
    assert "one attempt" in meanings(HEAD + DELIVERY.format("2.0.0", "Sent (6AMG4FAU001850 Message accepted)"))["line"]
