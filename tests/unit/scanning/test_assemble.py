"""What is built from the settings: engines, policy and pipeline."""

from contextlib import closing
from pathlib import Path

import pytest

from miltscan import __version__
from miltscan.config.keyfile import Loaded
from miltscan.config.load import parse_settings
from miltscan.config.settings import Settings
from miltscan.core.action import ActionName, Choice
from miltscan.core.keys import Key, Keyring
from miltscan.core.lookup import Check, Source
from miltscan.core.message import PREFACE
from miltscan.core.split import RecipientMode
from miltscan.core.verdict import Limit, Verdict
from miltscan.quarantine.files import Files
from miltscan.scanning.assemble import (
    keeps_large,
    pipeline_for,
    policy_for,
    probed_pipeline,
    processor_for,
    releaser_for,
    rules_for,
)
from miltscan.scanning.assemble_engines import engine_for, probe_engines
from miltscan.scanning.pipeline import Bounded, Pipeline, Processor, scan_slots
from miltscan.scanning.probing import Probing
from miltscan.scanning.receipts import Signing, Verifying
from miltscan.scanning.servers import ServerRecords
from miltscan.scanning.splitting import Splitting
from miltscan.scanning.spool import Spool
from miltscan.scanning.storing import Storing
from tests.fakes.clamd import FakeClamd
from tests.fakes.engine import ScriptedEngine
from tests.fakes.messages import message

KEYS = (Key("k", b"k" * 32),)


def with_engines(*tables: str) -> Settings:
    """The default settings with these engines, a line of keys each."""
    text = "".join(f'[[engine]]\ntype = "clamd"\nservers = ["unix:/nowhere"]\n{keys}\n' for keys in tables)
    return parse_settings(text.encode(), "f")


def scripted(settings: Settings) -> list[ScriptedEngine]:
    """An engine for each of the settings, which calls everything clean."""
    return [ScriptedEngine(Verdict.clean(one.name), name=one.name, required=one.required) for one in settings.engines]


def test_an_engine_has_the_name_and_the_server_of_its_settings(tmp_path: Path) -> None:
    """Its verdicts and what it reports carry its name; a server that is down is reported and raises nothing."""
    records = ServerRecords()
    with FakeClamd.unix(tmp_path / "clamd") as clamd:
        settings = with_engines('name = "down"')
        up = f'[[engine]]\ntype = "clamd"\nname = "up"\nrequired = false\nservers = ["{clamd.address}"]\n'
        chosen = (*settings.engines, parse_settings(f'{up}[[engine]]\ntype = "clamd"'.encode(), "f").engines[0])
        (down, engine) = probe_engines(chosen, records)
    assert (engine.name, engine.required, down.name, down.required) == ("up", False, "down", True)
    assert records.of("up", clamd.address).good
    assert not records.of("down", "unix:/nowhere").good
    assert [*records.down()] == [("down unix:/nowhere", "connect: No such file or directory")]


def test_the_policy_is_that_of_the_settings() -> None:
    """Each Limit has the action of the key of its own name; of one required engine nothing is said."""
    text = """
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
        engine_unable = "hold"
        allowed = "reject"
    """
    policy = policy_for(parse_settings(text.encode(), "f"), "mx.example.test")
    assert policy.on_unscanned == {
        Limit.ALLOWED: Choice(ActionName.REJECT),
        Limit.MALFORMED: Choice(ActionName.REJECT),
        Limit.TOO_LARGE: Choice(ActionName.ACCEPT),
        Limit.TIMEOUT: Choice(ActionName.REJECT),
        Limit.NO_ENGINE: Choice(ActionName.HOLD),
        Limit.LIMITS: Choice(ActionName.ACCEPT),
        Limit.ENCRYPTED: Choice(ActionName.REJECT),
        Limit.BUSY: Choice(ActionName.DISCARD),
        Limit.ENGINE_UNABLE: Choice(ActionName.HOLD),
    }
    assert (policy.on_infected, policy.on_error) == (Choice(ActionName.HOLD), Choice(ActionName.REJECT))
    assert (policy.optional, policy.on_engine_error) == (frozenset(), {})


def test_headers_name_version_and_host_or_nothing() -> None:
    """The key headers.mode decides whether miltscan adds any header."""
    assert policy_for(Settings(), "mx.example.test").scanned_by == f"miltscan {__version__} at mx.example.test"
    assert policy_for(parse_settings(b'[headers]\nmode = "none"', "f"), "mx").scanned_by is None


@pytest.mark.parametrize(
    ("mode", "verifies", "foreign"),
    [
        ("replace", False, (b"x-virus-", b"x-miltscan-")),
        ("replace", True, (b"x-virus-", b"x-miltscan-receipt")),
        ("none", False, (b"x-miltscan-",)),
        ("none", True, (b"x-miltscan-receipt",)),
    ],
)
def test_fields_of_miltscan_do_not_come_from_outside(mode: str, foreign: tuple[bytes, ...], *, verifies: bool) -> None:
    """The delivery side leaves those of the incoming side and of a release, and removes the receipt in any mode."""
    settings = parse_settings(f'[headers]\nmode = "{mode}"'.encode(), "f")
    assert pipeline_for(settings, scripted(settings), scan_slots(1), "mx", verifies=verifies).policy.foreign == foreign


def test_engines_have_an_action_of_their_own() -> None:
    """For an optional engine it is accept unless the settings say otherwise."""
    settings = with_engines(
        'name = "a"',
        'name = "b"\non_error = "hold"',
        'name = "c"\nrequired = false',
        'name = "d"\nrequired = false\non_error = "tempfail"',
    )
    policy = policy_for(settings, "")
    assert policy.optional == {"c", "d"}
    assert policy.on_engine_error == {
        "b": Choice(ActionName.HOLD),
        "c": Choice(ActionName.ACCEPT),
        "d": Choice(ActionName.TEMPFAIL),
    }


def test_required_engines_are_asked_first() -> None:
    """An optional engine that hangs must not use up their time; otherwise the order is that of the settings."""
    optional = "required = false"
    settings = with_engines(f'name = "a"\n{optional}', 'name = "b"', f'name = "c"\n{optional}', 'name = "d"')
    pipeline = pipeline_for(settings, scripted(settings), scan_slots(1), "mx")
    assert [engine.name for engine in pipeline.engines] == ["b", "d", "a", "c"]


def test_only_an_engine_with_bounds_of_its_own_is_wrapped() -> None:
    """All other engines are called directly: each message would pay for a call more."""
    settings = with_engines('name = "a"', 'name = "b"\ntimeout = "1s"', 'name = "c"\nskip_above = "1KiB"')
    engines = scripted(settings)
    pipeline = pipeline_for(settings, engines, scan_slots(1), "mx")
    assert [*pipeline.engines] == [engines[0], Bounded(engines[1], 1.0, None), Bounded(engines[2], None, 1024)]


def test_the_delivery_side_takes_what_has_grown_on_the_way() -> None:
    """What the incoming side had scanned and accepted must not be too large for the same engine a second later."""
    settings = with_engines('skip_above = "1KiB"')
    (engine,) = pipeline_for(settings, scripted(settings), scan_slots(1), "mx", verifies=True).engines
    largest = 1024 + 64 * 1024
    assert [engine.scan(message(size=size), 1.0, lambda: None).reason for size in (largest, largest + 1)] == [
        None,
        Limit.TOO_LARGE,
    ]


def test_the_pipeline_of_a_command_tests_its_engines(tmp_path: Path) -> None:
    """Each server once: a server that was not tested counts as down."""
    with FakeClamd.unix(tmp_path / "clamd") as clamd:
        settings = parse_settings(f'[clamd]\nservers = ["{clamd.address}"]'.encode(), "f")
        (engine,) = probed_pipeline(settings, ServerRecords()).engines
        assert engine_for(settings.engines[0], ServerRecords()).name == engine.name == "clamd"
        assert len(clamd.contents) == 1


def test_a_service_signs_where_it_has_keys() -> None:
    """The delivery side checks receipts, with keys or without; the incoming side without keys only scans."""
    made = [
        type(processor(Settings(), keys, verifies=verifies))
        for keys, verifies in (((), False), (KEYS, False), ((), True), (KEYS, True))
    ]
    assert made == [Pipeline, Probing, Verifying, Verifying]


def test_what_the_policy_keeps_is_stored_on_both_sides() -> None:
    """Behind the probes, which are never stored, and after the decision on a receipt."""
    settings = parse_settings(b"policy.on_error = 'quarantine'", "f")
    made = [processor(settings, keys, verifies=verifies) for keys in ((), KEYS) for verifies in (False, True)]
    assert [type(one) for one in made] == [Storing, Storing, Probing, Storing]
    assert isinstance(made[2], Probing)
    assert (type(made[2].ordinary), type(made[2].scanning)) == (Storing, Pipeline)
    assert isinstance(made[3], Storing)
    assert (type(made[3].processor), made[3].patience) == (Verifying, 70.0)


@pytest.mark.parametrize(
    ("rule", "splits"),
    [
        ('action = "reject"\nwhen = { recipient = "a@example.test" }', True),
        ('action = "reject"\nunless = { recipient = "a@example.test" }', True),
        ('action = "reject"\nwhen = [{ outcome = "clean" }, { recipient = "a@example.test" }]', True),
        ('action = "redirect"\nto = ["a@example.test"]', True),
        ('action = "reject"\nwhen = { sender = "a@example.test" }', False),
    ],
)
def test_rules_for_recipients_need_a_plan(rule: str, *, splits: bool) -> None:
    """Each side has one, after receipts and before what stores; without such rules nothing is made."""
    tables = "verify.socket = 'unix:/v'\nkeys.file = '/k'\npolicy.recipients = 'split-at-rcpt'\n"
    settings = parse_settings(f"{tables}[[rule]]\nname = 'r'\n{rule}".encode(), "f")
    assert (settings.splits, settings.quarantines, settings.splits_at_rcpt) == (splits,) * 3
    probing, storing = processor(settings, KEYS), processor(settings, KEYS, verifies=True)
    assert isinstance(probing, Probing)
    if not splits:
        assert (type(probing.ordinary), type(storing)) == (Signing, Verifying)
        return
    assert isinstance(probing.ordinary, Storing)
    assert isinstance(storing, Storing)
    incoming, delivery = probing.ordinary.processor, storing.processor
    assert isinstance(incoming, Splitting)
    assert isinstance(delivery, Splitting)
    assert (type(incoming.processor), type(delivery.processor)) == (Signing, Verifying)
    assert (incoming.mode, delivery.mode) == (RecipientMode.SPLIT_AT_RCPT, RecipientMode.STRICTEST)
    assert (incoming.host, incoming.sender.server, incoming.patience) == ("mx", ("127.0.0.1", 19000), 70.0)


LARGE = "when = {{ reason = 'too-large', sender = '@a.example' }}\naction = '{}'"


@pytest.mark.parametrize(
    ("keys", "rule", "verifies", "kept"),
    [
        ("", "", False, False),
        ("", "", True, True),
        ("", LARGE.format("accept"), False, False),
        ("verify.socket = 'unix:/v'", "", False, False),
        ("verify.socket = 'unix:/v'", LARGE.format("accept"), False, True),
        ("verify.socket = 'unix:/v'", LARGE.format("hold"), False, True),
        ("verify.socket = 'unix:/v'", LARGE.format("tempfail"), False, False),
        ("verify.socket = 'unix:/v'", "when = { outcome = 'clean' }\naction = 'accept'", False, False),
        ("verify.socket = 'unix:/v'", LARGE.format("accept") + "\nenforce = false", False, False),
        ("receipt.remote_verifier = true\npolicy.on_unscanned.too_large = 'accept'", "", False, True),
        ("policy.on_unscanned.too_large = 'accept'", "", False, False),
        ("policy.on_unscanned.too_large = 'quarantine'", "", False, True),
        ("", LARGE.format("copy") + "\nto = ['a@example.test']", False, True),
        (
            "policy.on_unscanned.too_large = 'accept'",
            LARGE.format("reject") + "\nunless = { recipient = '.a' }",
            False,
            True,
        ),
    ],
)
def test_when_a_large_message_is_needed_whole(keys: str, rule: str, *, verifies: bool, kept: bool) -> None:
    """To be stored or copied, for its receipt, or to compare that; else its bytes would fill the spool in vain."""
    settings = parse_settings(
        ("keys.file = '/k'\n" + keys + (f"\n[[rule]]\nname = 'r'\n{rule}" if rule else "")).encode(), "f"
    )
    rules = rules_for(settings, no_source, verifies=verifies)
    assert keeps_large(settings, rules, verifies=verifies) is kept


def no_source(_text: str, _check: Check) -> Source:
    """None is named here."""
    raise AssertionError


def processor(settings: Settings, keys: Keyring, *, verifies: bool = False) -> Processor:
    """The processor of a service with these settings and keys."""
    pipeline = pipeline_for(settings, scripted(settings), scan_slots(1), "")
    return processor_for(Loaded(settings, keys), pipeline, lambda *_: 0, lambda *_: None, "mx", verifies=verifies)


@pytest.mark.parametrize(
    ("text", "signs"),
    [("", False), ("verify.socket = 'unix:/v'", True), ("receipt.remote_verifier = true", True)],
)
def test_no_receipt_is_made_without_a_verifier(text: str, *, signs: bool) -> None:
    """Keys for probes alone make no receipt: nothing would remove it, and it would leave with outgoing mail."""
    probing = processor(parse_settings(f"keys.file = '/k'\n{text}".encode(), "f"), KEYS)
    assert isinstance(probing, Probing)
    assert isinstance(probing.ordinary, Signing) is signs


@pytest.mark.parametrize("text", ["", "[receipt]\nremote_verifier = true\n[keys]\nfile = '/k'\n"])
def test_releases_go_to_the_delivery_sendmail(tmp_path: Path, text: str) -> None:
    """Server and timeout are those of `[delivery]`; a receipt is signed only where a delivery side verifies it."""
    files, key = Files(tmp_path), Key("k", b"k" * 32)
    settings = parse_settings(f"{text}[delivery]\nserver = 'inet:2@127.0.0.3'\ntimeout = '7s'".encode(), "f")
    made = releaser_for(Loaded(settings, (key,)), files, files.record, "mx.example.test", ["identity"])
    assert (made.server, made.timeout, made.host) == (("127.0.0.3", 2), 7.0, "mx.example.test")
    assert made.scanned_by == f"miltscan {__version__} at mx.example.test"
    assert (made.key, made.identities) == (key if text else None, ["identity"])
    assert releaser_for(Loaded(settings, ()), files, files.record, "mx.example.test").key is None


def test_a_command_without_a_server_that_is_up_calls_nothing_clean(tmp_path: Path) -> None:
    """The message is unscanned by its required engine, and its optional engine is missing."""
    pipeline = probed_pipeline(with_engines('name = "a"', 'name = "b"\nrequired = false'), ServerRecords())
    with closing(Spool(tmp_path, 1000)) as spool:
        spool.write(PREFACE + b"Subject: a\r\n\r\n")
        report = pipeline.process(message(content=spool, size=14), lambda: None)
    assert (report.verdict.engine, report.verdict.reason) == ("a", Limit.NO_ENGINE)
    assert [one.engine for one in report.missing] == ["b"]
