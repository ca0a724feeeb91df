"""The settings: defaults, engines, and what the core receives."""

import os
import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from miltscan.config.engines import ClamdEngineSettings
from miltscan.config.load import DEFAULT_PATH, load_settings, parse_settings
from miltscan.config.settings import Settings
from miltscan.core.action import ActionName, Choice
from miltscan.core.address import InetAddress, UnixAddress
from miltscan.errors import ConfigError
from tests.unit.config.full import ENGINES, FULL


def test_an_empty_file_means_the_defaults() -> None:
    """Every key is optional."""
    settings = parse_settings(b"", "f")
    assert settings == Settings()
    assert settings.milter.socket == UnixAddress("/run/miltscan/miltscan.sock")
    assert (settings.milter.socket_mode, settings.limits.message_size) == (0o660, 100 * 2**20)
    assert (settings.limits.scan_timeout, settings.limits.queue_wait) == (60.0, 10.0)


def test_without_an_engine_there_is_clamd_on_its_standard_socket() -> None:
    """A file without engines has one required engine named clamd."""
    assert Settings().engines == (ClamdEngineSettings(type="clamd"),)
    (engine,) = Settings().engines
    assert (engine.name, engine.required, engine.servers) == ("clamd", True, (UnixAddress("/run/clamav/clamd.ctl"),))
    assert (engine.on_error, engine.timeout, engine.skip_above, engine.canary_interval) == (None, None, None, 10.0)


def test_the_table_clamd_is_one_required_engine() -> None:
    """The table [clamd] means the same as one [[engine]] of this type."""
    keys = 'servers = ["inet:3310@a"]\ncanary_interval = "1m"\n'
    old, new = (parse_settings(f"{head}{keys}".encode(), "f") for head in ("[clamd]\n", "[[engine]]\ntype='clamd'\n"))
    assert old.engines == new.engines
    assert old.engines[0].servers == (InetAddress("a", 3310),)


def test_several_engines_keep_their_order_and_keys() -> None:
    """Each [[engine]] table has the common keys and those of its type."""
    first, second = parse_settings(ENGINES.encode(), "f").engines
    assert first == ClamdEngineSettings(type="clamd")
    assert second.model_dump() == {
        "type": "clamd",
        "name": "second",
        "required": False,
        "on_error": "tempfail",
        "timeout": "5s",
        "skip_above": "1MiB",
        "servers": ("unix:/run/a.sock", "inet:3310@clamd.example.test"),
        "canary_interval": "30s",
    }
    assert (second.on_error, second.timeout, second.skip_above) == (Choice(ActionName.TEMPFAIL), 5.0, 2**20)


def test_settings_never_change() -> None:
    """A message sees one configuration from MAIL to EOM."""
    with pytest.raises(ValidationError, match="frozen"):
        Settings().milter.workers = 3


def test_settings_go_through_a_pipe() -> None:
    """The supervisor hands them to its children pickled."""
    for text in (FULL, ENGINES):
        settings = parse_settings(text.encode(), "f")
        assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - our own


def test_a_copy_is_not_checked() -> None:
    """A reload that keeps old keys may combine what no file could hold: that must not end a service."""
    probe = Settings().probe.model_copy(update={"readiness": True})
    assert Settings().model_copy(update={"probe": probe}).probe.readiness


def test_a_byte_order_mark_is_ignored() -> None:
    """Some editors write one, which is invisible."""
    assert parse_settings(b"\xef\xbb\xbfmilter.workers = 2", "f").milter.workers == 2


def test_without_a_file_the_defaults_apply(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The default file may be absent, a file named by --config may not."""
    monkeypatch.setattr("miltscan.config.load.DEFAULT_PATH", tmp_path / "absent.toml")
    assert load_settings() == Settings()
    with pytest.raises(ConfigError, match=r"named\.toml: cannot be read: no such file"):
        load_settings(tmp_path / "named.toml")


def test_a_folder_cannot_be_read(tmp_path: Path) -> None:
    """The line gives the reason of the operating system."""
    with pytest.raises(ConfigError, match="cannot be read: is a directory"):
        load_settings(tmp_path)


def test_a_fifo_is_refused(tmp_path: Path) -> None:
    """A FIFO without a writer would block a reload for ever."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match="/fifo: is a FIFO; expected a regular file"):
        load_settings(tmp_path / "fifo")


def test_the_default_file() -> None:
    """The default is the path that the documentation names."""
    assert str(DEFAULT_PATH) == "/etc/miltscan/miltscan.toml"


@pytest.mark.parametrize(
    ("verify", "workers"), [("", 3), ("workers = 2", 3), ("socket = 'unix:/run/b'\nworkers = 2", 5)]
)
def test_the_workers_are_those_of_both_sockets(verify: str, workers: int) -> None:
    """Without verify.socket the delivery side has no workers."""
    text = f"[milter]\nworkers = 3\n[verify]\n{verify}\n"
    assert parse_settings(text.encode(), "f").workers == workers
