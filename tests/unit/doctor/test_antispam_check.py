"""What `check` finds about anti-spam engines: their versions, and choices about spam."""

import pytest

from miltscan.config.load import parse_settings
from miltscan.core.address import InetAddress
from miltscan.core.finding import Level
from miltscan.doctor.antispam_check import spam_findings, version_findings
from miltscan.doctor.clamd_check import engine_findings, run_self_tests
from miltscan.engines.antispam.version import antispam_version
from miltscan.engines.wire import targets
from miltscan.scanning.servers import ServerRecords
from tests.fakes.antispam import FakeAntispam, rspamd_says

ENGINE = "[clamd]\n[[engine]]\ntype = 'rspamd'\nservers = ['{}']\n"
PONG = b"HTTP/1.1 200 OK\r\nServer: rspamd/3.4\r\nContent-Length: 6\r\n\r\npong\r\n"


@pytest.mark.parametrize(
    ("toml", "texts"),
    [
        ("", []),
        ("policy.on_spam = 'reject'", ['"reject" has no effect: no engine detects spam']),
        (ENGINE, []),
        (f"policy.on_spam = 'discard'\n{ENGINE}", ["harmless mail may be lost"]),
        (f"policy.on_spam = 'discard:spam'\nquarantine.area.spam.compress = true\n{ENGINE}", []),
        (f"policy.on_spam = 'tempfail'\n{ENGINE}", ["a later attempt has the same result"]),
        (
            f"headers.mode = 'none'\n{ENGINE}",
            ['spam is accepted, and with headers.mode = "none" no header marks it'],
        ),
    ],
)
def test_choices_that_lose_mail_or_hide_spam(toml: str, texts: list[str]) -> None:
    """Each is a warning with a remedy."""
    found = [*spam_findings(parse_settings(toml.format("inet:11333@127.0.0.1").encode(), "f"))]
    assert [one.text for one in found] == texts
    assert all(one.level is Level.WARNING and one.remedy for one in found)


def test_a_server_is_reachable_passes_its_self_test_and_has_a_version() -> None:
    """As `check` prints it; one that does not detect GTUBE is a warning, as its engine is optional."""
    with FakeAntispam(lambda _: PONG) as fake:
        settings = parse_settings(ENGINE.format(fake.address).encode(), "f")
        about = [one for one in engine_findings(settings, run_self_tests) if one.subject == f"rspamd {fake.address}"]
        assert [one.text for one in about] == ["passes its self-test", "is rspamd/3.4"]
        fake.answers_self_test, fake.answer = False, rspamd_says()
        (found,) = [one for one in engine_findings(settings, run_self_tests) if one.subject == f"rspamd {fake.address}"]
        assert (found.level, found.remedy) == (Level.WARNING, "read its log")
        assert "did not detect the test message GTUBE" in found.text


@pytest.mark.parametrize(
    ("kind", "answer", "version"),
    [
        ("rspamd", PONG, "rspamd/3.4"),
        ("rspamd", b"HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n", None),
        (
            "spamd",
            b"SPAMD/1.1 0 EX_OK\r\n\r\nX-Spam-Checker-Version: SpamAssassin 4.0.1 (2024) on mx",
            "SpamAssassin 4.0.1",
        ),
        ("spamd", b"", None),
    ],
)
def test_the_version_of_a_server(kind: str, answer: bytes, version: str | None) -> None:
    """Only a text of the known form."""
    with FakeAntispam(lambda _: answer) as fake:
        (target,) = targets(fake.address)
        assert antispam_version(kind, target, 10.0) == version
    assert antispam_version(kind, target, 10.0) is None


def test_a_server_that_failed_has_no_version() -> None:
    """It is not asked."""
    settings = parse_settings(ENGINE.format(InetAddress("127.0.0.1", 1)).encode(), "f")
    assert [*version_findings(settings, ServerRecords())] == []
