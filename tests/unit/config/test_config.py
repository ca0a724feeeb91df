"""The configuration: defaults, keys, and every mistake in a line of its own."""

import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from miltscan import __version__
from miltscan.config.render import as_markdown, keys, needs_restart, settings_toml
from miltscan.config.settings import DEFAULT_PATH, Settings, load_settings, parse_settings
from miltscan.core.action import ActionName
from miltscan.core.address import InetAddress, UnixAddress
from miltscan.core.verdict import Limit
from miltscan.errors import ConfigError

FULL = """
[milter]
socket = "inet:7357@127.0.0.1"
socket_mode = "0666"
socket_group = "smmsp"
allow = ["192.0.2.0/24", "2001:db8::1"]
workers = 4
[spool]
directory = "/srv/spool"
memory = "512KiB"
[limits]
message_size = "25MB"
scan_timeout = "2m"
concurrent_scans = 8
queue_wait = "500ms"
[clamd]
servers = ["unix:/run/a.sock", "inet:3310@clamd.example.test"]
canary_interval = "30s"
[policy]
on_infected = "hold"
on_error = "reject"
[policy.on_unscanned]
too_large = "accept"
timeout = "reject"
no_engine = "hold"
limits = "accept"
encrypted = "reject"
busy = "discard"
[headers]
mode = "none"
[keys]
file = "/srv/keys"
[receipt]
max_age = "30m"
[verify]
socket = "inet:7358@127.0.0.1"
workers = 2
[probe]
interval = "1m"
server = "inet:2525@mx.example.test"
sender = "probe@example.test"
recipient = "nobody@example.test"
timeout = "30s"
readiness = true
[exporter]
listen = "off"
directory = "/srv/metrics"
allow = ["192.0.2.9"]
certificate = "/srv/exporter.crt"
key = "/srv/exporter.key"
client_ca = "/srv/ca.crt"
users_file = "/srv/users"
token_file = "/srv/token"
[queues]
incoming = "/var/spool/mqueue/q*"
delivery = ""
interval = "1m"
[log]
format = "console"
level = "debug"
[tracing]
endpoint = "https://collector.example.test"
addresses = true
"""


def mistakes_in(text: str) -> list[str]:
    """The lines of the error that `text` as a file `f` gives."""
    with pytest.raises(ConfigError) as caught:
        parse_settings(text.encode(), "f")
    return str(caught.value).splitlines()


def test_an_empty_file_means_the_defaults() -> None:
    """Every key is optional."""
    settings = parse_settings(b"", "f")
    assert settings == Settings()
    assert settings.milter.socket == UnixAddress("/run/miltscan/miltscan.sock")
    assert (settings.milter.socket_mode, settings.limits.message_size) == (0o660, 100 * 2**20)
    assert (settings.limits.scan_timeout, settings.limits.queue_wait) == (60.0, 10.0)


def test_every_key_can_be_set() -> None:
    """Each key of FULL differs from its default, and all keys are in it."""
    changed, defaults = keys(parse_settings(FULL.encode(), "f")), keys(Settings())
    assert [str(key) for key in defaults] == [
        str(key) for key, default in zip(changed, defaults, strict=True) if key.value != default.value
    ]
    assert parse_settings(FULL.encode(), "f").clamd.servers[1] == InetAddress("clamd.example.test", 3310)


@pytest.mark.parametrize("text", ["", FULL])
def test_printed_settings_give_themselves_back(text: str) -> None:
    """`miltscan config` prints a file that means the same."""
    settings = parse_settings(text.encode(), "f")
    assert settings == parse_settings(settings_toml(settings).encode(), "g")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("probe.interval = '1m'", "key probe.interval: expected keys.file beside it, with whose key probes are signed"),
        (
            "probe.readiness = true",
            "key probe.readiness: expected probe.interval beside it, which is 0s and sends no probe",
        ),
        (
            "probe.recipient = 'a b@c'",
            'key probe.recipient = "a b@c": expected a mail address with a domain',
        ),
        ("probe.server = 'unix:/run/x'", 'key probe.server = "unix:/run/x": expected inet:PORT@HOST'),
        ("probe.readiness = 1", "key probe.readiness = 1: expected true or false"),
    ],
)
def test_what_a_probe_needs(text: str, line: str) -> None:
    """Without a key nobody could tell it from mail."""
    assert mistakes_in(text) == [f"f: {line}"]


def test_settings_never_change() -> None:
    """A message sees one configuration, so nobody may change it under way."""
    with pytest.raises(FrozenInstanceError):
        Settings().milter.workers = 3  # type: ignore[misc]  # what nobody may do


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[milter]\nworker = 3", "f: key milter.worker: unknown key, did you mean milter.workers?"),
        ("workers = 3", "f: key workers: unknown key, did you mean milter.workers?"),
        ("[headers]\nworkers = 3", "f: key headers.workers: unknown key, did you mean milter.workers?"),
        ("[mitler]\nworkers = 3", "f: key mitler: unknown key, did you mean milter?"),
        (
            "[policy.on_unscanned]\n'too-large' = 'reject'",
            ("f: key policy.on_unscanned.too-large: unknown key, did you mean policy.on_unscanned.too_large?"),
        ),
        ("xyzzy = 1", "f: key xyzzy: unknown key"),
        ('"\\u001b[2J" = 1', r'f: key "\u001b[2J": unknown key'),
        (
            '[limits]\nscan_timeout = "60 parsecs"',
            ('f: key limits.scan_timeout = "60 parsecs": expected a duration such as "60s", from 1s to 4m'),
        ),
        (
            "[limits]\nmessage_size = 1",
            ('f: key limits.message_size = 1: expected a size such as "1MiB", from 1KiB to 2GB'),
        ),
        (
            '[milter]\nallow = ["192.0.2.1/24"]',
            (
                'f: key milter.allow = ["192.0.2.1/24"]: expected an address, or a network without host bits such as '
                "192.0.2.0/24, not 192.0.2.1/24"
            ),
        ),
        (
            "[queues]\ndelivery = 'mqueue'",
            (
                'f: key queues.delivery = "mqueue": expected the absolute path of a queue folder, which may end in *, '
                "or an empty text for none"
            ),
        ),
        ("[milter]\nworkers = 65", "f: key milter.workers = 65: expected a whole number from 1 to 64"),
        ("[milter]\nworkers = true", "f: key milter.workers = true: expected a whole number from 1 to 64"),
        (
            "[log]\nlevel = 1979-05-27",
            ('f: key log.level = 1979-05-27: expected one of "debug", "info", "warning", "error"'),
        ),
        ("[headers]\nmode = ['none']", 'f: key headers.mode = ["none"]: expected one of "replace", "none"'),
        ("log = 3", "f: key log = 3: expected a table [log]"),
        (
            '[milter]\nsocket = "/run/a"',
            ('f: key milter.socket = "/run/a": expected unix:/absolute/path or inet:PORT@HOST'),
        ),
        (
            '[limits]\nscan_timeout = "4m"\nqueue_wait = "60s"',
            (
                'f: keys limits.queue_wait + limits.scan_timeout = "5m": '
                "expected less than 5m, when the MTA gives up (timeout E: of its milter)"
            ),
        ),
        ('[exporter]\nkey = "/a.pem"', "f: key exporter.key: expected exporter.certificate beside it"),
        (
            '[exporter]\ntoken_file = "token"',
            ('f: key exporter.token_file = "token": expected the absolute path of a file, or an empty text for none'),
        ),
        ("\na =", "f: line 2: Invalid value"),
        ("[log]\nlevel = yes", "f: line 2, column 9: Invalid value"),
        *(
            (
                f'milter.socket_group = "a{escape}"',
                f'f: key milter.socket_group = "a{escape}": expected a name, or an empty text for none',
            )
            for escape in ("\\u0000", "\\u001b")
        ),
        ("a = 1\na = 2", "f: line 2: Cannot overwrite a value"),
        (f"milter.workers = {'1' * 5000}", "f: expected no number of thousands of digits"),
        (
            f"milter.workers = 0x{'f' * 5000}",
            "f: key milter.workers = a number of thousands of digits: expected a whole number from 1 to 64",
        ),
        (f"a = {'[' * 3000}", "f: expected no brackets within brackets hundreds deep"),
        (
            '[milter]\nsocket = "unix:/a"\n[verify]\nsocket = "local:/a"',
            'f: key verify.socket = "unix:/a": expected another socket than milter.socket',
        ),
    ],
)
def test_a_mistake_is_named_with_what_was_expected(text: str, line: str) -> None:
    """One line: the file, the key, what stands there, what should."""
    assert [line] == mistakes_in(text)


def test_all_mistakes_come_at_once() -> None:
    """Nobody has to start a service five times to find five mistakes."""
    text = """
    colour = "red"
    [milter]
    worker = 3
    workers = 0
    [limits]
    scan_timeout = "4m"
    queue_wait = "4m"
    [policy]
    on_error = "ignore"
    """
    named = [re.search(r"keys? (\S+?):? ", f"{line} ") for line in mistakes_in(text)]
    found = {match[1] for match in named if match}
    assert found == {"colour", "milter.worker", "milter.workers", "limits.queue_wait", "policy.on_error"}


def test_a_byte_order_mark_says_nothing() -> None:
    """Some editors put one in front, where nobody sees it."""
    assert parse_settings(b"\xef\xbb\xbfmilter.workers = 2", "f").milter.workers == 2


def test_bytes_that_are_no_utf8_are_named_by_line() -> None:
    """TOML is UTF-8."""
    with pytest.raises(ConfigError, match=r"^f: line 2: expected UTF-8$"):
        parse_settings(b"# ok\n# \xff", "f")


def test_a_long_value_is_cut() -> None:
    """A mistake stays a line even where a page was pasted."""
    (line,) = mistakes_in(f'[log]\nlevel = "{"x" * 10_000}"')
    assert len(line) < 200


def test_without_a_file_the_defaults_hold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The default file may be absent, one that was named may not."""
    monkeypatch.setattr("miltscan.config.settings.DEFAULT_PATH", tmp_path / "absent.toml")
    assert load_settings() == Settings()
    with pytest.raises(ConfigError, match=r"named\.toml: cannot be read: no such file"):
        load_settings(tmp_path / "named.toml")


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """A folder instead of a file."""
    with pytest.raises(ConfigError, match="cannot be read: is a directory"):
        load_settings(tmp_path)


def test_the_default_file() -> None:
    """The place that the documentation names."""
    assert str(DEFAULT_PATH) == "/etc/miltscan/miltscan.toml"


def test_a_reload_tells_what_it_cannot_change() -> None:
    """Sockets, processes and the exporter are there already; sizes and rules are not."""
    named = needs_restart(Settings(), parse_settings(FULL.encode(), "f"))
    assert named == [
        "milter.socket",
        "milter.socket_mode",
        "milter.socket_group",
        "milter.workers",
        "verify.socket",
        "verify.workers",
        "probe.interval",
        "exporter.listen",
        "exporter.directory",
        "log.format",
        "tracing.endpoint",
        "tracing.addresses",
    ]
    assert needs_restart(Settings(), Settings()) == []


def test_the_policy_has_an_action_for_each_limit() -> None:
    """Each Limit has a key of its own name, and the policy takes its action from it."""
    policy = parse_settings(FULL.encode(), "f").policy_for("mx.example.test")
    assert policy.on_unscanned == {
        Limit.TOO_LARGE: ActionName.ACCEPT,
        Limit.TIMEOUT: ActionName.REJECT,
        Limit.NO_ENGINE: ActionName.HOLD,
        Limit.LIMITS: ActionName.ACCEPT,
        Limit.ENCRYPTED: ActionName.REJECT,
        Limit.BUSY: ActionName.DISCARD,
    }
    assert (policy.on_infected, policy.on_error) == (ActionName.HOLD, ActionName.REJECT)


def test_headers_name_version_and_host_or_nothing() -> None:
    """`headers.mode` decides whether any header is touched."""
    assert Settings().policy_for("mx.example.test").scanned_by == f"miltscan {__version__} at mx.example.test"
    assert parse_settings(b'[headers]\nmode = "none"', "f").policy_for("mx.example.test").scanned_by is None


def test_the_documentation_has_the_keys_of_the_code() -> None:
    """The table in docs/configuration.md is the one that the code prints."""
    text = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()
    regenerate = (
        "sed -i '/^| key /,$d' F && miltscan config --markdown --config /dev/null >> F  # F=docs/configuration.md"
    )
    assert text.endswith("\n\n" + as_markdown(Settings())), regenerate
