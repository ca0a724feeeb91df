"""Every mistake in a configuration file is one line: key, value, what is expected, the nearest known key."""

from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from miltscan.config import places, units
from miltscan.config.engines import ClamdEngineSettings
from miltscan.config.load import parse_settings
from miltscan.config.mistakes import mistakes
from miltscan.config.render import settings_toml
from miltscan.config.settings import Settings
from miltscan.config.table import Table
from miltscan.errors import ConfigError


def mistakes_in(text: str) -> list[str]:
    """The lines of the error that `text` as a file `f` gives."""
    with pytest.raises(ConfigError) as caught:
        parse_settings(text.encode(), "f")
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[milter]\nworker = 3", "milter.worker: unknown key; did you mean milter.workers?"),
        ("workers = 3", "workers: unknown key; did you mean milter.workers?"),
        ("[headers]\nworkers = 3", "headers.workers: unknown key; did you mean milter.workers?"),
        ("[headers]\nworkerz = 3", "headers.workerz: unknown key; did you mean milter.workers?"),
        ("[mitler]\nworkers = 3", "mitler: unknown key; did you mean milter?"),
        ("[[engines]]\ntype = 'clamd'", "engines: unknown key; did you mean engine?"),
        (
            "[policy.on_unscanned]\n'too-large' = 'reject'",
            "policy.on_unscanned.too-large: unknown key; did you mean policy.on_unscanned.too_large?",
        ),
        (
            "[[engine]]\ntype = 'clamd'\n[[engine]]\ntype = 'clamd'\nname = 'b'\nserver = 3",
            "engine[2].server: unknown key; did you mean engine[2].servers?",
        ),
        (
            "[quarantine.area.a]\nmax_ages = '3d'",
            "quarantine.area.a.max_ages: unknown key; did you mean quarantine.area.a.max_age?",
        ),
        ("xyzzy = 1", "xyzzy: unknown key"),
        ('"\\u001b[2J" = 1', r'"\u001b[2J": unknown key'),
    ],
)
def test_an_unknown_key_comes_with_the_nearest_known_one(text: str, line: str) -> None:
    """A key of the same table is nearest, then the same key of another table."""
    assert mistakes_in(text) == [f"f: {line}"]


def test_no_password_is_shown() -> None:
    """Neither an error nor `miltscan config`, which people send to others, has the password of a URL."""
    (line,) = mistakes_in("quarantine.index = 'mysql://ann:p@ss/w@host/db'")
    assert line.startswith('f: quarantine.index = "mysql://ann:***@host/db": expected a URL')
    settings = parse_settings(b"quarantine.index = 'postgresql://ann:secret@host/db'", "f")
    assert settings.quarantine.index == "postgresql://ann:secret@host/db"
    assert 'index = "postgresql://ann:***@host/db"' in settings_toml(settings)


_LONG = f"milter.workers = 0x{'f' * 5000}"
_CLAMD = "type = 'clamd'"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            '[limits]\nscan_timeout = "60 parsecs"',
            'limits.scan_timeout = "60 parsecs": expected a duration such as "60s", from 1s to 4m',
        ),
        (
            "[limits]\nmessage_size = 1",
            'limits.message_size = 1: expected a size such as "1MiB", from 1KiB to 2GB',
        ),
        (
            '[milter]\nallow = ["::1", "a/24"]',
            'milter.allow[2] = "a/24": expected an address, or a network without host bits such as 192.0.2.0/24',
        ),
        ('[milter]\nallow = "::1"', 'milter.allow = "::1": expected a list'),
        ("[milter]\nallow = []", "milter.allow = []: expected at least 1 item"),
        (
            "[queues]\ndelivery = 'mqueue'",
            f'queues.delivery = "mqueue": expected {places.QUEUE.expected}',
        ),
        ("[milter]\nworkers = 65", "milter.workers = 65: expected a whole number from 1 to 64"),
        ("[milter]\nworkers = true", "milter.workers = true: expected a whole number from 1 to 64"),
        (
            "[log]\nlevel = 1979-05-27",
            'log.level = 1979-05-27: expected one of "debug", "info", "warning", "error"',
        ),
        ("[headers]\nmode = ['none']", 'headers.mode = ["none"]: expected one of "replace", "none"'),
        ("log = 3", "log = 3: expected a table [log]"),
        ("engine = [1]", "engine[1] = 1: expected a table [[engine]]"),
        ('[milter]\nsocket = "/run/a"', 'milter.socket = "/run/a": expected unix:/absolute/path or inet:PORT@HOST'),
        (
            '[exporter]\ntoken_file = "token"',
            'exporter.token_file = "token": expected the absolute path of a file, or an empty string for none',
        ),
        *(
            (
                f'milter.socket_group = "a{escape}"',
                f'milter.socket_group = "a{escape}": expected a name, or an empty string for none',
            )
            for escape in ("\\u0000", "\\u001b")
        ),
        (_LONG, "milter.workers = a number with thousands of digits: expected a whole number from 1 to 64"),
        ("probe.recipient = 'a b@c'", 'probe.recipient = "a b@c": expected a mail address with a domain'),
        ("probe.server = 'unix:/run/x'", 'probe.server = "unix:/run/x": expected inet:PORT@HOST'),
        ("probe.readiness = 1", "probe.readiness = 1: expected true or false"),
        (
            "clamd.servers = ['unix:/a', 'unix:/a']",
            'clamd.servers = ["unix:/a", "unix:/a"]: expected each address once',
        ),
        ("clamd.servers = ['unix:/a', 'b']", 'clamd.servers[2] = "b": expected unix:/absolute/path or inet:PORT@HOST'),
        (f"[engine]\n{_CLAMD}", 'engine = { type = "clamd" }: expected tables [[engine]]'),
        ("engine = []", "engine = []: expected at least 1 item"),
        ("[[engine]]\nname = 'a'", "engine[1].type: required key is missing"),
        ("[[engine]]\ntype = 'x'", 'engine[1].type = "x": expected "clamd", "rspamd", "spamd"'),
        (
            f"[[engine]]\n{_CLAMD}\nname = 'Über'",
            'engine[1].name = "Über": expected 1 to 20 lower-case letters, digits and dashes',
        ),
        (
            f"[[engine]]\n{_CLAMD}\n[[engine]]\n{_CLAMD}\nname = 'b'\nservers = ['x']",
            'engine[2].servers[1] = "x": expected unix:/absolute/path or inet:PORT@HOST',
        ),
        (
            f"[[engine]]\n{_CLAMD}\ntimeout = '0s'",
            'engine[1].timeout = "0s": expected a duration such as "60s", from 1s to 4m, or an empty string for none',
        ),
        ("quarantine.area = 3", "quarantine.area = 3: expected tables [quarantine.area.NAME]"),
        ("quarantine.area.a = 3", "quarantine.area.a = 3: expected a table [quarantine.area.a]"),
        (
            "quarantine.area.a.encrypt_to = ['x']",
            'quarantine.area.a.encrypt_to[1] = "x": expected an age public key (age1...)',
        ),
        (
            "quarantine.index = 'mysql://a'",
            'quarantine.index = "mysql://a": expected a URL such as "postgresql+psycopg:///miltscan", or "" for SQLite',
        ),
        ("notice.summary_at = '6'", 'notice.summary_at = "6": expected a time of day such as "06:00"'),
    ],
)
def test_a_wrong_value_comes_with_what_is_expected(text: str, line: str) -> None:
    """The line names the file, the key with its position in lists, the value, and what is expected."""
    assert mistakes_in(text) == [f"f: {line}"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            '[limits]\nscan_timeout = "4m"\nqueue_wait = "60s"',
            ['limits.queue_wait + limits.scan_timeout = "5m": expected less than 5m, the timeout E: of the MTA'],
        ),
        (
            '[exporter]\nkey = "/a.pem"\nclient_ca = "/b.pem"',
            [f"exporter.{key}: requires exporter.certificate" for key in ("key", "client_ca")],
        ),
        (
            '[milter]\nsocket = "unix:/a"\n[verify]\nsocket = "local:/a"',
            ['verify.socket = "unix:/a": expected another socket than milter.socket'],
        ),
        ("probe.interval = '1m'", ["probe.interval: requires keys.file, whose first key signs the probes"]),
        ("probe.readiness = true", ["probe.readiness: requires probe.interval; 0s sends no probe"]),
        (
            f"[clamd]\n[[engine]]\n{_CLAMD}\nname = 'other'",
            ['engine[1].type = "clamd": expected no table [clamd] next to [[engine]] of this type'],
        ),
        (
            f"[[engine]]\n{_CLAMD}\n[[engine]]\n{_CLAMD}",
            [f'engine[{number}].name = "clamd": expected a name that no other engine has' for number in (1, 2)],
        ),
        (
            f"[[engine]]\n{_CLAMD}\nname = 'spool'",
            ['engine[1].name = "spool": expected another name; miltscan itself gives verdicts under this one'],
        ),
        (
            f"[[engine]]\n{_CLAMD}\nrequired = false\n[verify]\nsocket = 'unix:/run/miltscan/miltscan.sock'",
            [
                "engine: expected required = true for at least one engine that detects viruses",
                'verify.socket = "unix:/run/miltscan/miltscan.sock": expected another socket than milter.socket',
            ],
        ),
        (
            'policy.on_infected = "quarantine:a"\n[[engine]]\ntype = "clamd"\non_error = "discard:b"',
            [
                'policy.on_infected = "quarantine:a": expected an area that exists; add a table [quarantine.area.a]',
                'engine[1].on_error = "discard:b": expected an area that exists; add a table [quarantine.area.b]',
            ],
        ),
        (
            '[quarantine.area."Bad Name"]',
            ['quarantine.area."Bad Name": expected a name of 1 to 20 lower-case letters, digits and dashes'],
        ),
    ],
)
def test_keys_that_do_not_fit_together(text: str, lines: list[str]) -> None:
    """Each broken rule is a line, where every key is valid by itself."""
    assert mistakes_in(text) == [f"f: {line}" for line in lines]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\na =", "line 2: Invalid value"),
        ("[log]\nlevel = yes", "line 2, column 9: Invalid value"),
        ("a = 1\na = 2", "line 2: Cannot overwrite a value"),
        (f"milter.workers = {'1' * 5000}", "a number has thousands of digits; expected a shorter one"),
        (f"a = {'[' * 3000}", "brackets are nested hundreds deep; expected fewer"),
    ],
)
def test_a_file_that_is_not_toml(text: str, line: str) -> None:
    """The line names the place in the file."""
    assert mistakes_in(text) == [f"f: {line}"]


def test_all_mistakes_come_at_once() -> None:
    """One run reports the mistakes of all tables, in the order of the tables."""
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
    [[engine]]
    type = "clamd"
    servers = ["a", "unix:/b", "c"]
    """
    found = [line.removeprefix("f: ").partition(":")[0].partition(" =")[0] for line in mistakes_in(text)]
    assert found == [
        "milter.workers",
        "milter.worker",
        "limits.queue_wait + limits.scan_timeout",
        "engine[1].servers[1]",
        "engine[1].servers[3]",
        "policy.on_error",
        "colour",
    ]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "[log]\nx = 1\n[clamd]\n[[engine]]\ntype = 'clamd'",
            [
                "log.x: unknown key",
                'engine[1].type = "clamd": expected no table [clamd] next to [[engine]] of this type',
            ],
        ),
        ("[probe]\ninterval = '1m'\n[keys]\nfile = 3", [f"keys.file = 3: expected {places.FILE.expected}"]),
        ("[[engine]]\ntype = 'clamd'\nrequired = false\nx = 1", ["engine[1].x: unknown key"]),
    ],
)
def test_tables_that_do_not_fit_together_next_to_a_mistake(text: str, lines: list[str]) -> None:
    """A rule between tables is checked next to other mistakes, unless one of its own tables has a mistake."""
    assert mistakes_in(text) == [f"f: {line}" for line in lines]


class Second(Table):
    """An engine type next to clamd."""

    type: Literal["second"]
    names: tuple[Annotated[str, units.LABEL], ...]


class TwoTypes(Table):
    """Settings with two engine types, which pydantic distinguishes by the key `type`."""

    engine: tuple[Annotated[ClamdEngineSettings | Second, Field(discriminator="type")], ...]


@pytest.mark.parametrize(
    ("engine", "line"),
    [
        ({"type": "second", "names": ["a", "B"]}, f'engine[1].names[2] = "B": expected {units.LABEL.expected}'),
        ({"type": "second", "names": [], "name": 1}, "engine[1].name: unknown key; did you mean engine[1].names?"),
        ({"type": "clamd", "servers": ["x"]}, f'engine[1].servers[1] = "x": expected {places.ADDRESS.expected}'),
        ({"type": "x"}, 'engine[1].type = "x": expected "clamd", "second"'),
        ({"names": []}, "engine[1].type: required key is missing"),
    ],
)
def test_a_second_engine_type_is_one_more_member_of_the_union(engine: object, line: str) -> None:
    """The lines name the keys of the file, not the members of the union."""
    with pytest.raises(ValidationError) as caught:
        TwoTypes.model_validate({"engine": [engine]})
    assert mistakes(caught.value, TwoTypes) == [line]


VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.floats(), st.text(), st.dates(), st.sampled_from(["1s", "/a", "clamd"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(st.text(max_size=9) | st.sampled_from(["type", "servers"]), inner, max_size=2),
    ),
    max_leaves=4,
)
TABLES = st.dictionaries(
    st.sampled_from(["socket", "allow", "servers", "on_unscanned", "scan_timeout"]) | st.text(max_size=9),
    VALUES,
    max_size=4,
)


@given(
    st.dictionaries(
        st.sampled_from([*Settings.model_fields]), VALUES | TABLES | st.lists(TABLES, max_size=2), max_size=4
    )
)
def test_no_content_of_a_file_is_an_error_of_the_program(document: dict[str, object]) -> None:
    """For any file the result is settings or lines of mistakes: a reload must not end the service."""
    lines = ["settings"]
    try:
        Settings.model_validate(document)
    except ValidationError as error:
        lines = mistakes(error, Settings)
    assert lines
    assert all(lines)


def test_a_value_of_many_brackets_is_shown() -> None:
    """A value as deep as the TOML parser accepts is one mistake."""
    (line,) = mistakes_in(f"milter.workers = {'[' * 300}{']' * 300}")
    assert line.startswith("f: milter.workers = [[[")


@pytest.mark.parametrize("line", [1, 2, 3])
def test_bytes_that_are_not_utf8_are_named_by_line(line: int) -> None:
    """A byte that is not UTF-8, as TOML requires, is named by its line."""
    with pytest.raises(ConfigError, match=rf"^f: line {line}: expected UTF-8$"):
        parse_settings(b"# ok\n" * (line - 1) + b"# \xff", "f")


def test_a_long_value_is_cut() -> None:
    """A mistake stays a line even if a page was pasted."""
    (line,) = mistakes_in(f'[log]\nlevel = "{"x" * 10_000}"')
    assert line.startswith(f'f: log.level = "{"x" * 98}…: expected ')
