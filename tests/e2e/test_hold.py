"""`miltscan hold` with real sendmails: what is held, released with the receipt of its EOM, refused and deleted.

The incoming queue has groups, folders for qf and df, and at most two recipients a file; the delivery side verifies.
"""

import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from miltscan.cli import app
from miltscan.config.keyfile import load_keys
from miltscan.core import receipt
from tests.e2e.test_receipt import both_sides, new_key, site
from tests.fakes.eicar import EICAR
from tests.fakes.runner import CliRunner
from tests.harness import client, preload
from tests.harness.jsonlog import LogLine
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder

VIRUS = EICAR + b"\r\n"
DAY = 86400


@pytest.fixture(scope="module")
def holding() -> Iterator[ScanningSandwich]:
    """A sandwich that holds what is infected."""
    with private_folder() as folder:
        (folder / "keys.toml").write_text(f"keys.file = '{folder}/keys'\nspool.directory = '{folder}'\n")
        new_key(folder, "first")
        tables = {**both_sides(folder), "policy": {"on_infected": "hold"}}
        with ScanningSandwich(folder, tables, site=site(folder, **queue_groups(folder))) as sandwich:
            yield sandwich


def queue_groups(folder: Path) -> dict[str, str]:
    """The settings of an incoming queue in two folders, one of them with folders of its own."""
    mqueue = folder / "mqueue"
    for name in ("q1/qf", "q1/df", "q1/xf", "q2"):
        (mqueue / name).mkdir(parents=True, mode=0o700)
    for made in (mqueue, mqueue / "q1"):
        made.chmod(0o700)
    (folder / "own.m4").write_text(
        f"include(`{folder}/incoming.site.m4')dnl\nQUEUE_GROUP(`mqueue', `P={mqueue}/q*, r=2')dnl\n"
    )
    return {"SITE_INCOMING": f"{folder}/own.m4", "SITE_INCOMING_QUEUE": f"{mqueue}/q*"}


def hold(sandwich: ScanningSandwich, *arguments: str, cf: str = "incoming") -> Result:
    """Run `miltscan hold` on the queue of one sendmail."""
    folder = sandwich.folder
    environment = {**preload.environment(folder), "PATH": f"{folder}:{os.environ['PATH']}", "COLUMNS": "80"}
    command = ["hold", arguments[0], "--cf", f"{folder}/{cf}.cf", *arguments[1:]]
    return CliRunner().invoke(app, command, env=environment)


def listed(sandwich: ScanningSandwich, *arguments: str, cf: str = "incoming") -> list[dict[str, Any]]:
    """What `hold list --json` prints."""
    done = hold(sandwich, "list", "--json", *arguments, cf=cf)
    assert (done.exit_code, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def send(sandwich: ScanningSandwich, sender: str, *recipients: str, subject: str = "A virus") -> str:
    """Send an infected message; returns its queue ID at incoming, where it is held."""
    message = client.text_message(client.new_message_id(), VIRUS, subject)
    queue_id = sandwich.send(message, sender=sender, recipients=recipients or (client.RECIPIENT,)).queue_id
    assert files(sandwich, queue_id).keys() == {"hf", "df"}
    return queue_id


def files(sandwich: ScanningSandwich, queue_id: str) -> dict[str, Path]:
    """The files of a message in the incoming queue, by their kind."""
    found = (sandwich.folder / "mqueue").glob(f"**/??{queue_id}")
    return {path.name[:2]: path for path in found}


def delivery_lines(sandwich: ScanningSandwich, sender: str) -> list[LogLine]:
    """What miltscan logged at the delivery side about the messages of this sender."""
    return [one for one in sandwich.miltscan.events("message", sender=f"<{sender}>") if one["receipt"]]


def age(sandwich: ScanningSandwich, queue_id: str, seconds: int) -> None:
    """Make a held message older, and its receipt as well, signed with the same key."""
    control = files(sandwich, queue_id)["hf"]
    text = control.read_bytes()
    (key,) = load_keys(f"{sandwich.folder}/keys")
    was = re.search(rb"X-Miltscan-Receipt: (v=2; .*); m=[0-9a-f]{64}", text)
    assert was
    older = re.sub(rb"t=(\d+)", lambda found: b"t=%d" % (int(found[1]) - seconds), was[1])
    signed = b"X-Miltscan-Receipt: %b; m=%b" % (older, receipt._mac(key, older).encode())  # noqa: SLF001 - as it was signed then
    text = text.replace(was[0], signed)
    control.write_bytes(re.sub(rb"(?m)^T(\d+)", lambda found: b"T%d" % (int(found[1]) - seconds), text, count=1))


def without_receipt(sandwich: ScanningSandwich, queue_id: str) -> None:
    """Remove the receipt from a held message, as after the removal of its key."""
    control = files(sandwich, queue_id)["hf"]
    control.write_bytes(re.sub(rb"(?m)^H\?\?X-Miltscan-Receipt: .*\n", b"", control.read_bytes()))


def test_what_is_held_is_listed(holding: ScanningSandwich) -> None:
    """The list names the messages that mailq shows, with whole addresses, the subject and the reason."""
    long = "a-very-long-recipient-whose-address-mailq-cuts-after-some-columns@example.test"
    queue_id = send(holding, "listed@example.org", long, subject="=?utf-8?q?Gr=C3=BC=C3=9Fe?=")
    (found,) = listed(holding, "--sender", "listed@example.org")
    names = ("queue_id", "sender", "recipients", "subject", "status")
    assert [found[name] for name in names] == [queue_id, "listed@example.org", [long], "Grüße", ""]
    assert re.fullmatch(r"miltscan: Infected \(\S+\)", found["reason"])
    shown = holding.incoming.command("-bp", "-qQ")
    environment = {**os.environ, **preload.environment(holding.folder)}
    mailq = subprocess.run(shown, check=True, capture_output=True, text=True, env=environment).stdout
    in_mailq = {*re.findall(r"^([0-9A-Za-z]{14,})[ *]", mailq, re.MULTILINE)}
    assert {one["queue_id"] for one in listed(holding)} == in_mailq
    table = hold(holding, "list", "--recipient", "@example.test", "--reason", "eicar").stdout
    assert f"{queue_id}  " in table
    assert max(map(len, table.splitlines())) <= 80
    assert hold(holding, "list", "--sender", "@nowhere.example").stdout == "no message is held\n"


def test_a_release_is_delivered_with_a_receipt_of_any_age(holding: ScanningSandwich) -> None:
    """The command prints the queue ID of the delivery side, and trace follows the message to its mailbox."""
    queue_id = send(holding, "released@example.org")
    age(holding, queue_id, 30 * DAY)
    done = hold(holding, "release", queue_id)
    found = re.fullmatch(rf"{queue_id}: delivered as (\w+)\n", done.stdout)
    assert (done.exit_code, done.stderr) == (0, "")
    assert found
    (line,) = wait_until(lambda: delivery_lines(holding, "released@example.org"), PATIENCE, "the second line")
    assert (line["queue_id"], line["receipt"], line["engines"]) == (found[1], "valid", [])
    delivered = holding.mailbox.wait_for(line["message_id"])
    assert delivered.message["X-Virus-Status"].startswith("Infected (")
    assert receipt.RECEIPT_HEADER not in delivered.message
    assert listed(holding, "--sender", "released@example.org") == []
    trace = [sys.executable, "-m", "miltscan", "trace", "--json", "--log", str(holding.syslog.file), queue_id]
    traced = json.loads(subprocess.run(trace, check=True, capture_output=True, text=True).stdout)
    assert (traced["status"], traced["queue_ids"]) == ("delivered", [queue_id, found[1]])


def test_an_old_message_is_still_held_while_delivery_is_down(holding: ScanningSandwich) -> None:
    """Past Timeout.queuereturn sendmail would bounce it; the release says why it failed, and works later."""
    queue_id = send(holding, "patient@example.org")
    age(holding, queue_id, 10 * DAY)
    holding.delivery.stop()
    try:
        done = hold(holding, "release", "--json", queue_id)
        assert done.exit_code == 1
        result = json.loads(done.stdout)
        assert (result["released"], result["delivery"], result["refused"]) == (False, [], "")
        assert result["held"].startswith("Deferred: Connection refused by ")
        (found,) = listed(holding, "--sender", "patient@example.org")
        assert found["status"] == result["held"]
        assert holding.incoming.queued() == []  # no bounce
    finally:
        holding.delivery.start()
        holding.delivery.wait_ready()
    assert hold(holding, "release", queue_id).exit_code == 0
    wait_until(lambda: delivery_lines(holding, "patient@example.org"), PATIENCE, "the second line")


def test_sendmails_own_release_bounces_an_old_message(holding: ScanningSandwich) -> None:
    """The reason why -Q is not used: what it releases is ordinary mail, which is too old at its first failure."""
    queue_id = send(holding, "bounced@example.org")
    age(holding, queue_id, 10 * DAY)
    holding.delivery.stop()
    try:
        holding.incoming.run("-qQ", f"-qI{queue_id}", "-Q")
        assert files(holding, queue_id).keys() == {"qf", "df"}
        holding.incoming.run("-v", f"-qI{queue_id}")
        assert files(holding, queue_id) == {}
        bounce = holding.syslog.find(rf"{queue_id}: (\w+): DSN: Cannot send message for 5 days")
        assert bounce
    finally:
        holding.delivery.start()
        holding.delivery.wait_ready()
    for file in files(holding, bounce[1]).values():
        file.unlink()


def test_each_part_of_a_split_message_is_released_by_its_own_queue_id(holding: ScanningSandwich) -> None:
    """A common prefix names several messages; a filter takes them all, and each part has the rest of the recipients."""
    recipients = [f"part{number}@example.test" for number in range(5)]
    queue_id = send(holding, "split@example.org", *recipients)
    parts = listed(holding, "--sender", "split@example.org")
    assert sorted(one for part in parts for one in part["recipients"]) == recipients
    assert len(parts) == 3
    done = hold(holding, "release", queue_id[:6])
    assert (done.exit_code, done.stdout) == (1, "")
    assert re.fullmatch(rf"{queue_id[:6]}: \d+ held messages begin so: .*\n", done.stderr)
    done = hold(holding, "delete", "--yes", parts[0]["queue_id"])
    assert (done.exit_code, done.stdout) == (0, f"{parts[0]['queue_id']}: deleted\n")
    done = hold(holding, "release", "--sender", "@example.org", "--recipient", "@example.test", "--reason", "infected")
    assert done.exit_code == 0, done.stderr
    assert {part["queue_id"] for part in parts[1:]} <= {line.partition(":")[0] for line in done.stdout.splitlines()}
    (message_id,) = {part["message_id"] for part in parts}
    left = len(recipients) - len(parts[0]["recipients"])
    wait_until(lambda: reached(holding, message_id) == left, PATIENCE, f"{left} mailboxes")


def reached(sandwich: ScanningSandwich, message_id: str) -> int:
    """How many recipients the copies of a message in the mailbox have."""
    return sum(len(one.recipients) for one in sandwich.mailbox.find(message_id))


def test_what_delivery_refuses_is_reported(holding: ScanningSandwich) -> None:
    """Without its receipt the message is scanned again; its sender receives the bounce, and the command the reply."""
    queue_id = send(holding, "refused@example.org")
    without_receipt(holding, queue_id)
    before = holding.miltscan.configuration.read_text()
    holding.run_with({**both_sides(holding.folder), "policy": {"on_infected": "reject"}})
    try:
        done = hold(holding, "release", queue_id)
    finally:
        holding.miltscan.configuration.write_text(before)
        holding.miltscan.reload_and_wait()
    assert (done.exit_code, done.stdout) == (1, "")
    assert re.match(rf"{queue_id}: not delivered: 550 5\.7\.1 Virus found: .*; see: miltscan trace", done.stderr)
    assert files(holding, queue_id) == {}


def test_a_message_that_delivery_holds_is_released_there(holding: ScanningSandwich) -> None:
    """The same command for the other queue; a message at the delivery side is not checked again."""
    queue_id = send(holding, "twice@example.org")
    without_receipt(holding, queue_id)
    done = hold(holding, "release", queue_id)
    assert done.exit_code == 0, done.stderr
    (found,) = wait_until(
        lambda: listed(holding, "--sender", "twice@example.org", cf="delivery"), PATIENCE, "held at delivery"
    )
    done = hold(holding, "release", found["queue_id"], cf="delivery")
    assert (done.exit_code, done.stdout) == (0, f"{found['queue_id']}: delivered\n")
    assert holding.mailbox.wait_for(found["message_id"])


def test_what_another_process_works_on_is_left_alone(holding: ScanningSandwich) -> None:
    """The lock that sendmail takes is respected in both directions."""
    queue_id = send(holding, "locked@example.org")
    with files(holding, queue_id)["hf"].open("rb") as control:
        fcntl.flock(control, fcntl.LOCK_EX)
        released, deleted = hold(holding, "release", queue_id), hold(holding, "delete", "--yes", queue_id)
    assert (released.exit_code, deleted.exit_code) == (1, 1)
    assert released.stderr == f"{queue_id}: still held: another process works on it\n"
    assert deleted.stderr == f"{queue_id}: another process works on it; try again later\n"
    assert files(holding, queue_id).keys() == {"hf", "df"}


def test_a_message_without_its_body_is_not_released(holding: ScanningSandwich) -> None:
    """Otherwise sendmail would deliver an empty message, as if it were the one that was held; it can be deleted."""
    queue_id = send(holding, "lost@example.org")
    files(holding, queue_id)["df"].unlink()
    done = hold(holding, "release", queue_id)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.endswith("is missing, and sendmail would deliver an empty message\n")
    assert [one["size"] for one in listed(holding, "--sender", "lost@example.org")] == [None]
    assert hold(holding, "delete", "--yes", queue_id).exit_code == 0
    assert files(holding, queue_id) == {}


def test_a_deletion_needs_a_yes(holding: ScanningSandwich) -> None:
    """Without it the messages are listed; with it no file of them is left, and nobody receives a notice."""
    queue_id = send(holding, "deleted@example.org")
    done = hold(holding, "delete", queue_id)
    assert done.exit_code == 2
    assert f"{queue_id}  " in done.stdout
    assert done.stderr == "nothing is deleted; to delete 1 message, add --yes\n"
    assert files(holding, queue_id).keys() == {"hf", "df"}
    done = hold(holding, "delete", "--yes", queue_id)
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"{queue_id}: deleted\n", "")
    assert files(holding, queue_id) == {}
    done = hold(holding, "delete", "--yes", queue_id)
    assert (done.exit_code, done.stderr) == (1, f"{queue_id}: no message with this queue ID is held\n")
    assert holding.incoming.queued() == []


def test_a_probe_is_never_held(holding: ScanningSandwich) -> None:
    """It is rejected with the answer that the policy holds such mail."""
    before = listed(holding)
    command = [
        sys.executable,
        "-m",
        "miltscan",
        "probe",
        "--json",
        "--server",
        f"inet:{holding.incoming.port}@127.0.0.1",
    ]
    done = subprocess.run(
        [*command, "--config", str(holding.miltscan.configuration)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert [one for one in json.loads(done.stdout)["probes"] if "Probe: infected, policy says hold" in one["reply"]]
    assert listed(holding) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_receives_one_line(holding: ScanningSandwich) -> None:
    """The queue is readable by root only."""
    command = [sys.executable, "-m", "miltscan", "hold", "list", "--cf", f"{holding.folder}/incoming.cf"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE, user=65534)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"\S+/mqueue: Permission denied\. Run this command as root\n", done.stderr)


def test_a_wrong_file_receives_one_line(holding: ScanningSandwich) -> None:
    """The error names the file and the option."""
    done = hold(holding, "list", cf="absent")
    text = "No such file or directory. Name the .cf file of the sendmail with --cf"
    assert (done.exit_code, done.stderr) == (1, f"{holding.folder}/absent.cf: {text}\n")
