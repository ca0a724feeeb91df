"""The probe through real sendmails: what proves a scan, what fails, and that no probe is ever delivered or abused."""

import json
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.generator import log_events
from miltscan.config.keyfile import load_keys
from miltscan.core.keys import Key
from miltscan.core.probe import ProbeKind, Stage
from miltscan.scanning.probe_run import make
from miltscan.status.page import API
from tests.fakes.eicar import EICAR
from tests.harness.client import new_message_id, text_message
from tests.harness.commands import in_process
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import wait_until
from tests.harness.sandwich import Sandwich, private_folder

PATIENCE = 60.0  # seconds
ZEROS = b"0" * 64
PROBE = "miltscan-probe@localhost"


@pytest.fixture(scope="module")
def sandwich() -> Iterator[ScanningSandwich]:
    """A sandwich that probes itself every second, and is ready only if that goes well."""
    with private_folder() as folder, ScanningSandwich(folder, site=site(folder)) as sandwich:
        sandwich.incoming.run("-bi")
        sandwich.run_with(tables(sandwich))
        yield sandwich


def site(folder: Path) -> dict[str, str]:
    """The alias that the documentation asks for, at incoming."""
    (folder / "aliases").write_text("miltscan-probe: /dev/null\n")
    more = folder / "more.m4"
    more.write_text(f"include(`{folder}/incoming.site.m4')dnl\ndefine(`ALIAS_FILE', `{folder}/aliases')dnl\n")
    return {"SITE_INCOMING": str(more)}


def tables(sandwich: Sandwich, **more: object) -> dict[str, dict[str, Any]]:
    """Miltscan with a key and the probe."""
    keys = sandwich.folder / "keys"
    keys.write_text(f"first {'5a' * 32}\n")
    keys.chmod(0o600)
    probe = {"interval": "1s", "server": f"inet:{sandwich.incoming.port}@127.0.0.1", "readiness": True}
    return {"keys": {"file": str(keys)}, "probe": {**probe, **more}}


def by_hand(sandwich: ScanningSandwich, *arguments: str) -> tuple[int, str]:
    """`miltscan probe`: status and output."""
    done = in_process("probe", "--config", sandwich.miltscan.configuration, *arguments)
    assert done.stderr == ""
    return done.returncode, done.stdout


def success(sandwich: ScanningSandwich) -> list[float]:
    """The metric of both probes."""
    return [sandwich.miltscan.metric("probe_success", message=kind) for kind in ProbeKind]


def key(sandwich: ScanningSandwich) -> Key:
    """The one that signs."""
    return load_keys(str(sandwich.folder / "keys"))[0]


def counted(sandwich: ScanningSandwich) -> float:
    """All messages that were counted."""
    return sandwich.miltscan.metric("messages_total")


def last_run(sandwich: ScanningSandwich) -> float:
    """When the last clean probe ended."""
    return sandwich.miltscan.metric("probe_last_run_timestamp_seconds", message="clean")


def test_a_probe_goes_through_and_is_no_mail(sandwich: ScanningSandwich) -> None:
    """Both probes are proven and each stage has its time; neither is counted, delivered or left in a queue."""
    wait_until(lambda: success(sandwich) == [1, 1], PATIENCE, "two probes that go well")
    before = counted(sandwich)
    ran = last_run(sandwich)
    for kind in ProbeKind:
        seconds = [sandwich.miltscan.metric("probe_duration_seconds", message=kind, stage=stage) for stage in Stage]
        assert all(0 < value < PATIENCE for value in seconds)
    wait_until(lambda: last_run(sandwich) > ran, PATIENCE, "another probe")
    wait_until(lambda: sandwich.miltscan.events("probe_message", probe="signature"), PATIENCE, "its line")
    assert counted(sandwich) == before
    assert sandwich.miltscan.metric("detections_total") == 0
    assert json.loads(sandwich.miltscan.get(API))["detections"] == []
    assert not sandwich.miltscan.events("message", rule="probe")
    line = sandwich.miltscan.events("probe_message", probe="signature")[0]
    assert (line["outcome"], line["rule"], line["action"]) == ("infected", "probe", "reject")
    told = sandwich.miltscan.events("probe_works") + sandwich.miltscan.events("probe_message")
    assert [text for line in told for text in log_events.deviations(line)] == []
    assert sandwich.miltscan.ready
    sandwich.wait_until_empty()
    assert not any(b"miltscan probe" in message.raw for message in sandwich.mailbox.messages())


def test_by_hand(sandwich: ScanningSandwich) -> None:
    """The command shows the same two probes, as a table and as JSON."""
    status, table = by_hand(sandwich)
    assert status == 0
    head, *rows = table.splitlines()[:3]
    assert head.split() == ["message", "result", "connect", "envelope", "data"]
    assert [row.split()[:2] for row in rows] == [["clean", "ok"], ["signature", "ok"]]
    status, told = by_hand(sandwich, "--json")
    assert (status, json.loads(told)["well"]) == (0, True)
    assert [one["message"] for one in json.loads(told)["probes"]] == ["clean", "signature"]


def test_a_sendmail_without_its_filter_is_found_out(sandwich: ScanningSandwich) -> None:
    """A 250 of a sendmail without its filter fails the probe, and the alias drops the message."""
    with private_folder() as folder, Sandwich(folder, site=site(folder)) as plain:
        plain.incoming.run("-bi")
        status, table = by_hand(sandwich, "--server", f"inet:{plain.incoming.port}@127.0.0.1")
        assert status == 1
        assert table.count("FAILED") == table.count("ACCEPTED UNSCANNED") == 2
        plain.wait_until_empty()
        assert plain.mailbox.messages() == []
        assert plain.syslog.find("to=/dev/null.*mailer=[*]file[*].*stat=Sent")


def test_a_probe_of_ours_on_other_mail(sandwich: ScanningSandwich) -> None:
    """A copied probe header gets no other mail past scan or count, and its message is refused."""
    probe, _ = make(key(sandwich), ProbeKind.CLEAN)
    head, _, body = probe.partition(b"\r\n\r\n")
    reply = sandwich.send(probe)
    assert (reply.code, "[probe o=clean a=accept m=" in reply.text) == (550, True)
    message_id, before = new_message_id(), counted(sandwich)
    header = head.partition(b"\r\n")[0]
    clean = header + b"\r\n" + text_message(message_id)
    assert sandwich.send(clean).code == 250
    delivered = sandwich.mailbox.wait_for(message_id)
    assert delivered.message["X-Virus-Status"] == "Clean"
    assert b"x-miltscan-probe" not in delivered.raw.lower()
    reply = sandwich.send(header + b"\r\n" + text_message(new_message_id(), EICAR))
    assert (reply.code, "Virus found" in reply.text, "probe" in reply.text) == (550, True, False)
    assert sandwich.send(head + b"\r\nX-Other: header\r\n\r\n" + body).code == 550  # still ours, and harmless
    wait_until(lambda: counted(sandwich) == before + 2, PATIENCE, "two messages that count")


@pytest.mark.parametrize(
    "forged",
    [b"v=1; k=first; p=clean", b"", b"v=1; k=first; p=clean; t=1; n=" + ZEROS[:32] + b"; d=%b; m=%b" % (ZEROS, ZEROS)],
)
def test_a_forged_probe_is_ordinary_mail(sandwich: ScanningSandwich, forged: bytes) -> None:
    """A forged probe is scanned, delivered or refused, and counted; its header is removed."""
    message_id, before = new_message_id(), counted(sandwich)
    assert sandwich.send(b"X-Miltscan-Probe: " + forged + b"\r\n" + text_message(message_id)).code == 250
    assert b"x-miltscan-probe" not in sandwich.mailbox.wait_for(message_id).raw.lower()
    wait_until(lambda: counted(sandwich) == before + 1, PATIENCE, "a message that counts")


def test_the_reserved_recipient_is_one_as_any(sandwich: ScanningSandwich) -> None:
    """Mail to the reserved recipient is scanned and counted."""
    before = counted(sandwich)
    assert sandwich.send(text_message(new_message_id()), recipients=[PROBE]).code == 250
    assert sandwich.send(text_message(new_message_id(), EICAR), recipients=[PROBE]).code == 550
    wait_until(lambda: counted(sandwich) == before + 2, PATIENCE, "two messages that count")


def test_without_an_engine_it_fails_and_recovers(sandwich: ScanningSandwich) -> None:
    """The reply proves that the filter is there and did not scan; readiness follows."""
    sandwich.clamd.stop()
    wait_until(lambda: success(sandwich) == [0, 0], PATIENCE, "two probes that fail")
    lines = sandwich.miltscan.events("probe_fails", message="clean")
    assert "not clean" in lines[-1]["why"]
    with pytest.raises(urllib.error.HTTPError) as answer:
        sandwich.miltscan.get("/readyz")
    with answer.value as page:
        assert page.code == 503
        assert b"clean probe: failed" in page.read()
    assert by_hand(sandwich)[0] == 1
    sandwich.clamd.start()
    sandwich.clamd.wait_ready()
    wait_until(lambda: success(sandwich) == [1, 1], PATIENCE, "two probes that go well")
    wait_until(lambda: sandwich.miltscan.ready, PATIENCE, "ready")


def test_an_accepting_policy_delivers_no_probe(sandwich: ScanningSandwich) -> None:
    """A probe is refused even where the policy discards viruses, and reports what the policy would have done."""
    changed = {**tables(sandwich), "policy": {"on_infected": "discard"}}
    sandwich.miltscan.configure(changed)
    sandwich.miltscan.reload_and_wait()

    def discarded() -> bool:
        reply = sandwich.send(make(key(sandwich), ProbeKind.SIGNATURE)[0])
        assert reply.code == 550
        return "a=discard" in reply.text

    wait_until(discarded, PATIENCE, "workers that have the new policy")
    status, table = by_hand(sandwich)
    assert (status, table.count("550 5.7.1 Probe: ")) == (0, 2)
    sandwich.miltscan.configure(tables(sandwich))
    sandwich.miltscan.reload_and_wait()


def test_a_key_that_the_service_has_not_read(sandwich: ScanningSandwich) -> None:
    """`keys new` and the probe name the missing reload, and no probe is sent; after the reload both succeed."""
    before, place = counted(sandwich), ("--config", str(sandwich.miltscan.configuration))
    made = subprocess.run(
        [sys.executable, "-m", "miltscan", "keys", "new", "--id", "second", *place],
        capture_output=True,
        text=True,
        check=True,
    )
    missing = "the service has not read key second yet; run: systemctl reload miltscan"
    assert made.stdout.splitlines()[1:] == [missing]
    status, table = by_hand(sandwich)
    assert (status, table.count(missing)) == (1, 2)
    checked = subprocess.run([sys.executable, "-m", "miltscan", "check", *place], capture_output=True, check=False)
    assert b"keys.file: the service has not read key second yet" in checked.stdout
    assert counted(sandwich) == before
    sandwich.miltscan.reload_and_wait()
    metric = sandwich.miltscan.metric  # counted after the line that the reload waits for
    wait_until(lambda: metric("key_info", key="second", use="signs") == 1, PATIENCE, "the key in use")
    assert sandwich.miltscan.metric("key_info", key="first", use="verifies") == 1
    wait_until(lambda: by_hand(sandwich)[0] == 0, PATIENCE, "workers that have the new key")


def test_a_remote_service_that_has_not_read_the_key(sandwich: ScanningSandwich) -> None:
    """If the service's keys cannot be seen, the replies to both probes show that it scans without proof."""
    other = sandwich.folder / "other"
    other.mkdir()
    (other / "keys").write_text(f"third {'6b' * 32}\n")
    (other / "keys").chmod(0o600)
    config = other / "miltscan.toml"
    config.write_text(f'[keys]\nfile = "{other}/keys"\n[exporter]\ndirectory = "{other}/absent"\n')
    server = f"inet:{sandwich.incoming.port}@127.0.0.1"
    status, table = by_hand(sandwich, "--config", str(config), "--server", server)
    assert (status, table.count("a filter scans, but has not read key third")) == (1, 2)
    assert "UNSCANNED" not in table


def test_miltscan_that_is_down_is_found_out(sandwich: ScanningSandwich) -> None:
    """F=T keeps the mail with its client; the reply is sendmail's own, before the message."""
    sandwich.miltscan.stop()
    status, table = by_hand(sandwich)
    assert (status, table.count("451 4.3.2")) == (1, 2)
    assert table.count("rejected before the message, in stage envelope") == 2
    sandwich.start_miltscan()
