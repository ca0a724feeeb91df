"""Probes and self-tests under rules and lists that apply to everything: what they say is named, and not carried out."""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from miltscan.core.probe import ProbeKind
from miltscan.quarantine.files import Files
from miltscan.scanning.listfile import ListFile
from miltscan.scanning.probe_run import make
from tests.e2e.test_probe import PROBE, by_hand, key, site, tables
from tests.fakes.antispam import SPAMD_GTUBE, FakeAntispam, spamd_says
from tests.fakes.eicar import EICAR
from tests.harness.client import SENDER, new_message_id, text_message
from tests.harness.commands import in_process
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder

BOSS, ADMINISTRATOR = "boss@example.test", "root@example.test"
AREA: dict[str, dict[str, Any]] = {"quarantine.area.all": {}}
WITH_NOTICE: dict[str, dict[str, Any]] = {
    "notice": {"administrators": [ADMINISTRATOR], "sender": "filter@example.test"},
    "quarantine.area.noticed": {"notice": "administrators"},
}
RULES: dict[str, tuple[dict[str, Any], int]] = {
    "reject": ({"action": "reject"}, 550),
    "reject, by recipient": ({"action": "reject", "when": {"recipient": [PROBE, "@example.test"]}}, 550),
    "reject, by size": ({"action": "reject", "when": {"size_from": "1B"}, "text": "no {signature}"}, 550),
    "tempfail": ({"action": "tempfail"}, 451),
    "accept": ({"action": "accept", "tag": "[T]", "add_headers": {"X-Rule": "{rule}"}}, 250),
    "hold": ({"action": "hold"}, 250),
    "discard": ({"action": "discard:all"}, 250),
    "quarantine": ({"action": "quarantine:all"}, 250),
    "redirect": ({"action": "redirect", "to": [BOSS]}, 250),
    "copy": ({"action": "copy", "to": [BOSS]}, 250),
}
NOTHING = ("rule_matches_total", "copies_total", "list_hits_total", "messages_total", "quarantine_mails_total")
"""Metrics that no probe changes."""


@pytest.fixture(scope="module")
def sandwich() -> Iterator[ScanningSandwich]:
    """A sandwich with a key, the alias of probes and one worker; the service sends no probe by itself."""
    with private_folder() as folder, ScanningSandwich(folder, site=site(folder)) as sandwich:
        sandwich.incoming.run("-bi")
        sandwich.run_with(one_worker(sandwich))
        yield sandwich


def one_worker(sandwich: ScanningSandwich, *rules: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any table
    """The configuration with these rules."""
    chosen = {**tables(sandwich, interval="0s", readiness=False), "milter": {"workers": 1}, **more}
    return {**chosen, "": {**more.get("", {}), "rule": [*rules]}} if rules else chosen


def reloaded(sandwich: ScanningSandwich, tables: dict[str, Any]) -> None:
    """Reload with these tables; the worker has them somewhat later."""
    sandwich.miltscan.configure(tables)
    sandwich.miltscan.reload_and_wait()


def probed(sandwich: ScanningSandwich, kind: ProbeKind) -> str:
    """The reply to a probe."""
    message, _ = make(key(sandwich), kind)
    return str(sandwich.send(message, sender="", recipients=[PROBE]))


def traces(sandwich: ScanningSandwich) -> list[object]:
    """What a message may leave behind: entries, held and queued mail, mail in the mailbox, log lines and counts."""
    queues = [sorted(path.name for path in one.queue.glob("[hq]f*")) for one in (sandwich.incoming, sandwich.delivery)]
    mail = [one.path for one in sandwich.mailbox.messages()]
    refused = len(sandwich.miltscan.events("recipient_refused"))
    ids = stored(Files(sandwich.folder / "quarantine"))
    return [ids, queues, mail, refused, len(sandwich.miltscan.events("message")), *counts(sandwich)]


def stored(files: Files) -> set[str]:
    """The IDs of all entries of the quarantine."""
    return {*files.waiting(), *(one for day in files.days() for one in files.ids(day))}


def counts(sandwich: ScanningSandwich) -> list[float]:
    """The metrics that no probe changes."""
    return [sandwich.miltscan.metric(name) for name in NOTHING]


@pytest.mark.parametrize(("rule", "code"), RULES.values(), ids=RULES)
def test_a_probe_is_decided_and_leaves_no_trace(sandwich: ScanningSandwich, rule: dict[str, Any], code: int) -> None:
    """The answer names what the rule says of everything; the same rule applies to mail, as its client sees."""
    action = rule["action"].partition(":")[0]
    reloaded(sandwich, one_worker(sandwich, {"name": "all", **rule}, **AREA))
    named = f"a={action} m="
    wait_until(lambda: named in probed(sandwich, ProbeKind.CLEAN), PATIENCE, "the rule in force")
    sandwich.wait_until_empty()
    before = traces(sandwich)
    for kind, outcome in ((ProbeKind.CLEAN, "clean"), (ProbeKind.SIGNATURE, "infected")):
        reply = probed(sandwich, kind)
        assert reply.startswith("451 " if action == "tempfail" else "550 ")
        assert f"[probe o={outcome} {named}" in reply
    status, table = by_hand(sandwich)
    assert (status, table.count(named)) == (0, 2)
    assert traces(sandwich) == before

    matches = sandwich.miltscan.metric("rule_matches_total", rule="all", enforced="yes")
    assert sandwich.send(text_message(new_message_id())).code == code
    counted = partial(sandwich.miltscan.metric, "rule_matches_total", rule="all", enforced="yes")
    wait_until(lambda: counted() > matches, PATIENCE, "the count of the ordinary message")


def test_only_mail_has_a_notice(sandwich: ScanningSandwich) -> None:
    """Of probes and a message in an area with notices the administrator learns of the message alone."""
    reloaded(sandwich, one_worker(sandwich, {"name": "all", "action": "quarantine:noticed"}, **WITH_NOTICE))
    wait_until(lambda: "a=quarantine m=" in probed(sandwich, ProbeKind.CLEAN), PATIENCE, "the rule in force")
    assert "a=quarantine m=" in probed(sandwich, ProbeKind.SIGNATURE)
    reply = sandwich.send(text_message(new_message_id()))
    entry = sandwich.miltscan.wait_for_message(queue_id=reply.queue_id)["entry"]
    wait_until(lambda: notices(sandwich), PATIENCE, "the notice")
    assert [entry.encode() in one for one in notices(sandwich)] == [True]
    files = Files(sandwich.folder / "quarantine")
    assert [one for one in stored(files) if files.read(one).entry.area == "noticed"] == [entry]


def notices(sandwich: ScanningSandwich) -> list[bytes]:
    """The notices that the administrator has received."""
    return [one.raw for one in sandwich.mailbox.messages() if one.recipients == [ADMINISTRATOR.partition("@")[0]]]


@pytest.fixture
def lists(sandwich: ScanningSandwich) -> Iterator[ListFile]:
    """Lists that deny the senders of all mail and probes, and allow the test signature."""
    on_list(sandwich, "deny", "<>")
    on_list(sandwich, "deny", f"@{SENDER.partition('@')[2]}")
    reply = sandwich.send(text_message(new_message_id(), EICAR), sender="other@elsewhere.example")
    signature = reply.text.partition("Virus found: ")[2].split()[0]
    on_list(sandwich, "allow", signature, "--client", "127.0.0.1")
    file = ListFile(sandwich.folder / "lists.jsonl")
    yield file
    for entry in file.read().entries:
        on_list(sandwich, "lists", "remove", entry.id)


def on_list(sandwich: ScanningSandwich, *arguments: str) -> None:
    """A command that changes the lists, once the worker has read them."""
    before = len(sandwich.miltscan.events("lists_read"))
    place = ["--config", str(sandwich.miltscan.configuration), "--reason", "test"]
    in_process(*arguments, *place).check_returncode()
    wait_until(lambda: len(sandwich.miltscan.events("lists_read")) > before, PATIENCE, "the new lists")


@pytest.mark.usefixtures("in_policy", "lists")
def test_no_list_applies_to_a_probe(sandwich: ScanningSandwich) -> None:
    """Both probes are proven by what the engine says, and no entry counts a hit; mail is denied and allowed."""
    before = counts(sandwich)
    assert "[probe o=clean a=accept m=" in probed(sandwich, ProbeKind.CLEAN)
    assert "[probe o=infected a=reject m=" in probed(sandwich, ProbeKind.SIGNATURE)
    assert by_hand(sandwich)[0] == 0
    assert counts(sandwich) == before
    assert "Sender denied" in sandwich.send(text_message(new_message_id())).text
    assert sandwich.send(text_message(new_message_id(), EICAR), sender="other@elsewhere.example").code == 250
    hits = partial(sandwich.miltscan.metric, "list_hits_total")
    wait_until(lambda: (hits(list="deny"), hits(list="allow")) == (1, 1), PATIENCE, "a hit of each list")


@pytest.fixture
def in_policy(sandwich: ScanningSandwich) -> None:
    """No rules are in force."""
    reloaded(sandwich, one_worker(sandwich))
    wait_until(lambda: "a=accept m=" in probed(sandwich, ProbeKind.CLEAN), PATIENCE, "no rule in force")


@pytest.mark.usefixtures("in_policy", "lists")
def test_self_tests_pass_neither_rules_nor_lists(sandwich: ScanningSandwich) -> None:
    """Where all mail is refused, and the test signature is allowed, both engines pass test after test."""
    with FakeAntispam(spamd_says(), SPAMD_GTUBE) as spamd:
        engines = [
            {"type": "clamd", "servers": sandwich.miltscan.servers, "canary_interval": "1s"},
            {"type": "spamd", "servers": [str(spamd.address)], "canary_interval": "1s"},
        ]
        rule = {"name": "all", "action": "reject", "when": {"size_from": "1B"}}
        reloaded(sandwich, one_worker(sandwich, rule, **{"": {"engine": engines}}))
        sandwich.miltscan.wait_for_engines(2)
        before = counts(sandwich)
        for _ in range(2):
            for engine in ("clamd", "spamd"):
                wait_until(partial(passed_since, sandwich, engine, time.time()), PATIENCE, f"a self-test of {engine}")
        assert (sandwich.miltscan.metric("engine_up"), sandwich.miltscan.ready) == (2, True)
        assert counts(sandwich) == before
        assert "[probe o=clean a=reject m=" in probed(sandwich, ProbeKind.CLEAN)
        assert spamd.requests == []
    reloaded(sandwich, one_worker(sandwich))


def passed_since(sandwich: ScanningSandwich, engine: str, moment: float) -> bool:
    """Whether the server of the engine has passed a self-test after this moment, in seconds since 1970."""
    return sandwich.miltscan.metric("canary_last_success_timestamp_seconds", engine=engine) > moment
