"""Rules in the configuration: every mistake is found when the file is read, with its place."""

from pathlib import Path

import pytest

from miltscan.config.load import load_settings, parse_settings
from miltscan.config.rules import Side
from miltscan.errors import ConfigError
from tests.unit.config.full import RULES


def lines_of(text: str) -> list[str]:
    """The mistakes in a file."""
    with pytest.raises(ConfigError) as raised:
        parse_settings(text.encode(), "f")
    return str(raised.value).splitlines()


def rule(body: str, name: str = "r", action: str = "reject") -> str:
    """A rule."""
    return f'[[rule]]\nname = "{name}"\naction = "{action}"\n{body}\n'


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (rule('when = { outcome = "x" }'), 'rule[1].when.outcome = "x": expected one of "clean", "spam"'),
        (rule('when = [{ outcome = "clean" }, { tls = 1 }]'), "rule[1].when[2].tls = 1: expected true or false"),
        (rule('unless = { sender = ["@a", "b"] }'), 'rule[1].unless.sender[2] = "b": expected an address'),
        (rule('when = { size_from = "1XB" }'), 'rule[1].when.size_from = "1XB": expected a size'),
        (rule('when = { header = { "X-A" = [] } }'), "rule[1].when.header.X-A = []: expected at least one value"),
        (rule('when = { colour = "red" }'), "rule[1].when.colour: unknown condition; expected one of outcome, reason"),
        (
            rule('when = { sender = "file:x" }'),
            'rule[1].when.sender = "file:x": expected file:/absolute/path, or',
        ),
        (
            rule('to = ["a@example.test"]\nat = "delivery"', action="copy"),
            'rule[1].action = "copy": expected another action at the delivery side',
        ),
        (
            rule('when = { recipient = "@a" }') + '[limits]\nscan_timeout = "4m"\nqueue_wait = "35s"\n',
            'limits.queue_wait + limits.scan_timeout = "275s": expected less than 270s if recipients differ',
        ),
        (rule("when = {}"), "rule[1].when = {}: expected a table of conditions"),
        (rule("when = []"), "rule[1].when = []: expected a table of conditions"),
        (rule("when = 1"), "rule[1].when = 1: expected a table of conditions"),
        (rule("unless = {}"), "rule[1].unless = {}: expected a table of conditions"),
        (rule('when = { size_from = "2KiB", size_to = "1KiB" }'), "rule[1].when: no message matches: size_from"),
        (rule('when = { outcome = "clean", reason = "busy" }'), "rule[1].when: no message matches: only outcomes"),
        (
            rule('when = { outcome = "error", class = "Macro" }'),
            'rule[1].when: no message matches: only the outcome "infected"',
        ),
        (rule('when = { authenticated = false, user = "a" }'), "rule[1].when: no message matches: only authenticated"),
        (
            rule('when = { authenticated = true, direction = "inbound" }'),
            "rule[1].when: no message matches: the mail",
        ),
        (rule("", name="policy.on_error"), 'rule[1].name = "policy.on_error": expected another name'),
        (rule("", name="clean"), 'rule[1].name = "clean": expected another name'),
        (rule("", name="x" * 61), "rule[1].name = "),
        (rule("", name="a\\u0007"), 'rule[1].name = "a\\u0007": expected a unique name of at most 60'),
        (rule('code = "451"'), 'rule[1].code = "451": expected a code such as "550"'),
        (rule("code = 421", action="tempfail"), 'rule[1].code = "421": expected a code such as "450"'),
        (rule('code = "550 4.7.1"'), 'rule[1].code = "550 4.7.1": expected a code'),
        (rule("code = 550", action="accept"), 'rule[1].code = "550": expected none'),
        (rule('text = "no"', action="accept"), "rule[1].text: expected none"),
        (rule('text = "{nobody}"'), 'rule[1].text = "{nobody}": unknown placeholder {nobody}; expected one of {class}'),
        (rule('text = "{size!r}"'), 'rule[1].text = "{size!r}": unknown placeholder'),
        (rule('text = "{size"'), 'rule[1].text = "{size": expected pairs of braces'),
        (rule('text = "a\\tb"'), 'rule[1].text = "a\\tb": expected printable ASCII'),
        (rule('tag = "[x]"'), 'rule[1].action: expected one of "accept", "hold"'),
        (rule(f'tag = "{"x" * 41}"', action="accept"), "rule[1].tag = "),
        (
            rule('add_headers = { "X A" = "b", "X-Virus-Status" = "Clean", "X-C" = "{d}" }', action="accept"),
            'rule[1].add_headers."X A" = "b": expected the name of a header',
        ),
        (
            rule('remove_headers = ["Received"]', action="accept"),
            'rule[1].remove_headers[1] = "Received": expected another',
        ),
        (rule("", action="copy"), 'rule[1].to: expected addresses with the actions "redirect" and "copy"'),
        (rule('to = ["a@b.test"]'), 'rule[1].to: expected addresses with the actions "redirect" and "copy"'),
        (rule("", action="refuse"), 'rule[1].action = "refuse": expected one of "accept"'),
        (rule("", action="quarantine:none"), 'rule[1].action = "quarantine:none": expected an area that exists'),
        (rule("", name="a") + rule("", name="b"), 'rule[2]: "b" is never reached: "a" before it matches every message'),
        (rule("when = { tls = true }") * 2, 'rule[2].name = "r": expected a name that no other rule has'),
        (rule('colour = "red"'), "rule[1].colour: unknown key"),
        ("[rule]\nname = 1", "rule = { name = 1 }: expected tables [[rule]]"),
        (
            rule('when = [{ tls = true }, { engine = "c" }]'),
            'rule[1].when[2].engine = "c": expected the name of an engine',
        ),
        (rule('unless = { engine = ["clamd", "c"] }'), 'rule[1].unless.engine = "c": expected the name of an engine'),
        (
            rule("when = { score_from = { clamd = 5 } }"),
            'rule[1].when.score_from = "clamd": expected the name of an anti-spam',
        ),
        (rule('when = { type = "exe" }') + "[mime]\nread = false\n", "rule[1]: a condition on the parts of a message"),
        (rule('when = { type = "execute" }'), 'rule[1].when.type = "execute": expected one of "empty"'),
        (rule('when = { anomaly = "odd" }'), 'rule[1].when.anomaly = "odd": expected one of "header-broken"'),
        (rule("when = { depth_from = 0 }"), "rule[1].when.depth_from = 0: expected a number from 1 to 20"),
        (rule("when = { depth_from = true }"), "rule[1].when.depth_from = true: expected a number from 1 to 20"),
        (
            rule("when = { depth_from = 1 }") + "[mime]\nread = false\n",
            "rule[1]: a condition on the parts of a message",
        ),
        (rule('when = { macro = "yes" }'), 'rule[1].when.macro = "yes": expected true or false'),
    ],
)
def test_a_mistake(text: str, mistake: str) -> None:
    """One line with the place, the value and what is expected."""
    line, *more = lines_of(text)
    assert len(more) == text.count("X-Virus-Status") * 2
    assert line.startswith(f"f: {mistake}")


def test_every_mistake_is_named_at_once() -> None:
    """In all conditions of all rules."""
    text = rule('when = { outcome = "x", tls = 1 }', "a") + rule('unless = { sender = "b" }\nwhen = { user = [] }', "b")
    assert [line.partition(" = ")[0] for line in lines_of(text)] == [
        "f: rule[1].when.outcome",
        "f: rule[1].when.tls",
        "f: rule[2].when.user",
        "f: rule[2].unless.sender",
    ]


def test_a_rule_behind_one_of_the_other_side_is_reached() -> None:
    """Rules of the two sides are separate, and what is not enforced ends nothing."""
    text = rule("enforce = false", "a") + rule('at = "delivery"', "b") + rule("", "c")
    assert [one.at for one in parse_settings(text.encode(), "f").rule] == [Side.INCOMING, Side.DELIVERY, Side.INCOMING]


def test_the_sources_that_rules_name() -> None:
    """They are found wherever they stand."""
    rules = parse_settings(RULES.encode(), "f").rule
    assert [one.sources for one in rules] == [("file:/etc/miltscan/partners",), (), (), ()]


def test_rules_from_further_files(tmp_path: Path) -> None:
    """In the order of their names, behind those of the main file; the settings do not show where they come from."""
    main, folder = tmp_path / "miltscan.toml", tmp_path / "rules.d"
    folder.mkdir()
    main.write_text(f'[policy]\nrule_files = ["{folder}/*.toml"]\n' + rule("when = { tls = true }", "main"))
    assert [one.name for one in load_settings(main).rule] == ["main"]
    (folder / "20.toml").write_text(rule("", "last"))
    (folder / "10.toml").write_text(rule("when = { tls = false }", "first"))
    (folder / "ignored").write_text("what")
    settings = load_settings(main)
    assert [one.name for one in settings.rule] == ["main", "first", "last"]
    assert settings.policy.rule_files == ()


def test_mistakes_in_further_files(tmp_path: Path) -> None:
    """Each line names the file with the mistake; rules that contradict each other name all."""
    main, one = tmp_path / "miltscan.toml", tmp_path / "rules.toml"
    main.write_text(f'[policy]\nrule_files = ["{one}", "{tmp_path}/none.toml"]\n' + rule("", "main"))
    one.write_text(rule("when = { tls = 1 }") + "[policy]\n")
    with pytest.raises(ConfigError) as raised:
        load_settings(main)
    assert str(raised.value).splitlines() == [
        f"{one}: rule[1].when.tls = 1: expected true or false",
        f"{one}: policy: unknown key",
        f"{main}: policy.rule_files: {tmp_path}/none.toml does not exist",
    ]
    main.write_text(f'[policy]\nrule_files = ["{one}"]\n' + rule("", "main"))
    one.write_text(rule(""))
    with pytest.raises(ConfigError, match=f'{main} with its rule files: rule\\[2\\]: "r" is never reached'):
        load_settings(main)
    one.write_text("[[rule")
    with pytest.raises(ConfigError, match=f"{one}: line 1"):
        load_settings(main)
