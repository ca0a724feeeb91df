"""The scan receipt between two real sendmails: what passes, what is scanned again, and what cannot be bypassed."""

import hashlib
import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from miltscan.config.keyfile import load_keys
from miltscan.core.keys import Key
from miltscan.core.receipt import RECEIPT_HEADER, Claim, sign_receipt
from miltscan.core.verdict import Outcome
from miltscan.quarantine.files import Files
from miltscan.quarantine.release import Order, Releaser
from tests.fakes.eicar import EICAR
from tests.fakes.entries import put
from tests.harness import client, messages, ports, preload
from tests.harness.client import RECIPIENT
from tests.harness.commands import in_process
from tests.harness.jsonlog import LogLine
from tests.harness.mailbox import Delivered
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import wait_until
from tests.harness.sandwich import private_folder

PATIENCE = 60.0  # seconds
REMOTE = "someone@elsewhere.example"
MIME = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
UMLAUTS = "Grüße, schöne\r\n".encode() * 3
REWRITTEN = (
    *(b"Bcc: x@example.org", b"Content-Length: 3", b"Return-Receipt-To: a", b"Errors-To: b", b"Full-Name: A B"),
    *(b"Resent-From: c", b"Return-Path: <d@example.org>", b"X-Odd :  two  blanks ", b"Received: from a by b", b""),
)
MANY = b", ".join(b"Somebody With A Name <recipient-number-%d@example.org>" % number for number in range(40))


@pytest.fixture(scope="module")
def signing() -> Iterator[ScanningSandwich]:
    """A sandwich whose delivery side asks miltscan as well.

    The incoming one masquerades, and hands remote mail over by a way that does not offer 8BITMIME.
    """
    with private_folder() as folder, without_8bitmime() as way:
        (folder / "own.m4").write_text(
            f"include(`{folder}/incoming.site.m4')dnl\n"
            "MASQUERADE_AS(`masked.example')dnl\nFEATURE(`masquerade_entire_domain')dnl\n"
            f"define(`ESMTP_MAILER_ARGS', `TCP [127.0.0.1] {way.port}')dnl\n"
        )
        with ScanningSandwich(folder, tables(folder), site=site(folder, SITE_INCOMING=f"{folder}/own.m4")) as sandwich:
            way.target = sandwich.delivery.port
            yield sandwich


@pytest.fixture(scope="module")
def program() -> Iterator[ScanningSandwich]:
    """The same with the handoff by a program."""
    with private_folder() as folder:
        settings = site(folder, SITE_HANDOFF="program")
        with ScanningSandwich(folder, tables(folder), site=settings) as sandwich:
            yield sandwich


def tables(folder: Path) -> dict[str, dict[str, Any]]:
    """Miltscan for both sides, with a key."""
    (folder / "keys.toml").write_text(f"keys.file = '{folder}/keys'\nspool.directory = '{folder}'\n")
    new_key(folder, "first")
    return both_sides(folder)


def both_sides(folder: Path) -> dict[str, dict[str, Any]]:
    """The key file and the second socket."""
    return {"keys": {"file": f"{folder}/keys"}, "verify": {"socket": f"unix:{folder}/run/verify.sock"}}


def site(folder: Path, **more: str) -> dict[str, str]:
    """The setting of sendmail/ that has delivery ask."""
    return {"SITE_DELIVERY_MILTER": f"unix:{folder}/run/verify.sock", **more}


def new_key(folder: Path, name: str) -> None:
    """As an administrator makes one."""
    in_process("keys", "new", "--id", name, "--config", folder / "keys.toml").check_returncode()


class Way:
    """A listener that hands each connection to port `target` and hides the keyword 8BITMIME."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.target = 0

    def serve(self) -> None:
        """Until the listener is closed."""
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self.target)) as far:
            back = threading.Thread(target=_pump, args=(far, near, b"8BITMIME"), daemon=True)
            back.start()
            _pump(near, far, b"\0")
            back.join(PATIENCE)


def _pump(source: socket.socket, target: socket.socket, hidden: bytes) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data.replace(hidden, b"X-HIDDEN"))
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@contextmanager
def without_8bitmime() -> Iterator[Way]:
    """A `Way`, closed at the end."""
    way = Way()
    thread = threading.Thread(target=way.serve, daemon=True)
    thread.start()
    with closing(way.listener):
        yield way
        way.listener.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE)


def line(sandwich: ScanningSandwich, name: str, *, delivery: bool = True) -> LogLine:
    """Miltscan's line of the message with this sender, of one side."""

    def found() -> list[LogLine]:
        lines = sandwich.miltscan.events("message", sender=f"<{name}@example.org>")
        return [one for one in lines if (one["receipt"] is not None) == delivery]

    (one,) = wait_until(found, PATIENCE, f"the line of {name}")
    return one


def arrivals(sandwich: ScanningSandwich, name: str) -> list[Delivered]:
    """The messages of this name in the mailbox."""
    return [one for one in sandwich.mailbox.messages() if one.message["X-Name"] == name]


def arrived(sandwich: ScanningSandwich, name: str) -> Delivered:
    """The message of this name in the mailbox, which has no receipt."""
    (one,) = wait_until(lambda: arrivals(sandwich, name), PATIENCE, f"{name} in the mailbox")
    assert RECEIPT_HEADER not in one.message
    return one


def through(sandwich: ScanningSandwich, name: str, head: bytes, body: bytes, recipient: str = RECIPIENT) -> Delivered:
    """Sends a message through the whole sandwich."""
    whole = b"X-Name: " + name.encode() + b"\r\n" + head + b"\r\n" + body
    reply = sandwich.send(whole, sender=f"{name}@example.org", recipients=[recipient])
    assert reply.code == 250, reply
    return arrived(sandwich, name)


def test_a_message_is_scanned_once(signing: ScanningSandwich) -> None:
    """A message is counted once, where it was scanned; its mark is that of the incoming side; no receipt is left."""
    delivered = through(signing, "once", b"Subject: x\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n", b"Hello\r\n")
    assert delivered.message.get_all("X-Virus-Status") == ["Clean"]
    incoming, delivery = line(signing, "once", delivery=False), line(signing, "once")
    assert [engine["outcome"] for engine in incoming["engines"]] == ["clean"]
    assert (delivery["engines"], delivery["rule"], delivery["receipt"]) == ([], "receipt", "valid")
    assert incoming["queue_id"] != delivery["queue_id"]
    lines = signing.miltscan.events("message")
    scanned = [one for one in lines if one["receipt"] != "valid"]
    wait_until(lambda: signing.miltscan.metric("messages_total") == len(scanned), PATIENCE, "each scan counted")
    believed = len(lines) - len(scanned)
    wait_until(
        lambda: signing.miltscan.metric("receipts_total", result="valid") == believed, PATIENCE, "each receipt counted"
    )


def test_a_release_passes_the_delivery_side(signing: ScanningSandwich) -> None:
    """Released mail has a receipt that does not age, and reaches the mailbox, infected or not; else it is refused."""
    files = Files(signing.folder / "quarantine")
    message = b"X-Name: released\r\nX-Miltscan-Receipt: v=2\r\nSubject: folded\r\n one\r\n\r\n.\r\n" + UMLAUTS + EICAR
    to = (f"<{RECIPIENT}>".encode(), f"<{REMOTE}>".encode())
    entry = put(files, message, sender=b"<released@example.org>", recipients=to)
    (key, *_) = load_keys(str(signing.folder / "keys"))
    order, server = Order("root", infected=True, reason="wanted"), ("127.0.0.1", signing.delivery.port)
    unsigned = Releaser(files, files.record, server, PATIENCE, "mx.example.test")
    refused = unsigned.release(entry.id, order)
    assert all(re.match(r"550 5\.7\.1 Virus found", one.reply) for one in refused.deliveries)
    months_ago = time.time() - 90 * 86400
    releaser = replace(unsigned, key=key, clock=lambda: months_ago)
    (queue_id,) = {one.queue_id for one in releaser.release(entry.id, order).deliveries}
    wait_until(lambda: len(arrivals(signing, "released")) == len(to), PATIENCE, "both copies")
    for delivered in arrivals(signing, "released"):
        assert RECEIPT_HEADER not in delivered.message
        assert delivered.message["X-Miltscan-Released"] == entry.id
        assert delivered.raw.endswith(b"\r\n\r\n.\r\n" + UMLAUTS + EICAR.rstrip(b"\r\n") + b"\r\n")
    (passed,) = signing.miltscan.events("message", queue_id=queue_id)
    assert (passed["receipt"], passed["rule"], passed["outcome"]) == ("valid", "receipt", "infected")


def test_trace_and_doctor_know_both_sides(signing: ScanningSandwich) -> None:
    """A trace shows the receipt; the doctor checks the keys, and delivery's filter as it checks incoming's."""
    message_id = client.new_message_id()
    assert signing.send(client.text_message(message_id), sender="traced@example.org").code == 250
    assert line(signing, "traced")["receipt"] == "valid"
    logs: list[str | Path] = ["--log", signing.syslog.file, "--log", signing.miltscan.running.log]
    assert "receipt: valid\n" in command("trace", *logs, message_id)
    files: list[str | Path] = [
        "--incoming",
        signing.incoming.configuration,
        "--delivery",
        signing.delivery.configuration,
    ]
    told = json.loads(command("doctor", "--json", *files, "--config", signing.miltscan.configuration))["findings"]
    wrong = {"host name", "SELinux", "incoming queue run", "delivery queue run"}
    found = [one for one in told if one["step"] in {"miltscan", "delivery sendmail"} and one["subject"] not in wrong]
    assert {one["level"] for one in found} == {"ok"}, found
    texts = "".join(f"{one['subject']}: {one['text']}\n" for one in found)
    assert f"delivery.cf daemon delivery: asks filter miltscan at unix:{signing.folder}/run/verify.sock\n" in texts
    assert f"keys {signing.folder}/keys: " in texts


def command(*arguments: str | Path) -> str:
    """The output of a command of miltscan, with any exit status."""
    return in_process(*arguments).stdout


@pytest.mark.parametrize(
    ("name", "head", "body", "recipient", "receipt"),
    [
        ("bare", b"", b"No header lines of its own\r\n", RECIPIENT, "valid"),
        ("empty", b"From: a@example.org\r\n", b"", RECIPIENT, "valid"),
        ("unqualified", b"From: alice\r\nTo: bob\r\nCc: carol (C)\r\nReply-To: dave\r\n", b"x\r\n", RECIPIENT, "valid"),
        ("folded", b"To: " + MANY + b"\r\nSubject: a\r\n\tb\r\n  c\r\n", b"x\r\n", RECIPIENT, "valid"),
        (
            "rewritten",
            b"\r\n".join(REWRITTEN),
            b"From here\r\n.\r\n..\r\n \r\n\r\n\r\n",
            RECIPIENT,
            "valid",
        ),
        ("forged-mark", b"X-Virus-Status: Clean, really\r\nX-Miltscan-Receipt: v=1\r\n", b"x\r\n", RECIPIENT, "valid"),
        ("masked", b"From: alice@example.test\r\nTo: b@c.example\r\nSubject: x\r\n", b"x\r\n", REMOTE, "valid"),
        ("eight", MIME, UMLAUTS, RECIPIENT, "valid"),
        ("eight-no-mime", b"Subject: \xfc\r\n", UMLAUTS, RECIPIENT, "valid"),
        ("seven", MIME, UMLAUTS, REMOTE, "mismatch"),
        ("long-line", b"Subject: x\r\n", b"x" * 3000 + b"\r\n", RECIPIENT, "valid"),
        ("cut-line", b"Subject: x\r\n", b"x" * 3000 + b"\r\n", REMOTE, "mismatch"),
        ("large", b"Subject: x\r\n", b"0123456789\r\n" * 200_000, RECIPIENT, "valid"),
    ],
)
def test_what_sendmail_changes(  # noqa: PLR0913, PLR0917  a table
    signing: ScanningSandwich, name: str, head: bytes, body: bytes, recipient: str, receipt: str
) -> None:
    """A message passes if only sendmail changed it, or is scanned again if it was rewritten on the way."""
    delivered = through(signing, name, head, body, recipient)
    found = line(signing, name)
    assert (found["receipt"], bool(found["engines"])) == (receipt, receipt != "valid")
    assert delivered.message.get_all("X-Virus-Status") == ["Clean"]
    assert (delivered.raw.partition(b"\r\n\r\n")[2] == body) == (receipt == "valid")


def test_masquerading_took_place(signing: ScanningSandwich) -> None:
    """Masquerading took place; without it the table above would pass as well."""
    assert arrived(signing, "masked").message["From"] == "alice@masked.example"
    assert b"Content-Transfer-Encoding: 8bit" not in arrived(signing, "seven").raw


def receipt_of(key: Key, head: bytes, body: bytes, age: float = 0) -> bytes:
    """The header that the incoming side would make."""
    fields = tuple((name, value) for name, _, value in (part.partition(b":") for part in head.splitlines()))
    value = sign_receipt(key, Claim(int(time.time() - age), Outcome.CLEAN, 1), fields, hashlib.sha256(body).digest())
    return f"{RECEIPT_HEADER}: {value}\r\n".encode()


VIRUS = EICAR + b"\r\n"
FOREIGN = Key("foreign", b"f" * 32)


@pytest.mark.parametrize("name", ["none", "forged", "altered", "stale", "unknown-key", "replayed", "twice", "foreign"])
def test_nobody_gets_around_the_scanner(signing: ScanningSandwich, name: str) -> None:
    """A local user who connects to port 19000 receives 550, with any receipt."""
    (key,) = load_keys(f"{signing.folder}/keys")
    head = f"X-Name: user-{name}\r\nSubject: x\r\n".encode()
    good = receipt_of(key, head, VIRUS)
    brought, receipt = {
        "none": (b"", "none"),
        "forged": (b"X-Miltscan-Receipt: v=1; o=clean\r\n", "forged"),
        "altered": (good.replace(b"s=1;", b"s=2;"), "forged"),
        "stale": (receipt_of(key, head, VIRUS, age=2 * 3600), "stale"),
        "unknown-key": (receipt_of(FOREIGN, head, VIRUS), "unknown-key"),
        "replayed": (receipt_of(key, head, b"Hello\r\n"), "mismatch"),
        "twice": (good + good, "forged"),
        "foreign": (receipt_of(Key(key.id, FOREIGN.secret), head, VIRUS), "forged"),
    }[name]
    reply = client.send(signing.delivery.port, brought + head + b"\r\n" + VIRUS, sender=f"user-{name}@example.org")
    assert (reply.code, "Virus found" in reply.text) == (550, True)
    assert line(signing, f"user-{name}")["receipt"] == receipt


def test_a_good_receipt_is_what_makes_the_difference(signing: ScanningSandwich) -> None:
    """The same message passes with the right receipt, so the table above is refused for its receipts alone."""
    (key,) = load_keys(f"{signing.folder}/keys")
    head = b"X-Name: vouched\r\nSubject: x\r\n"
    whole = receipt_of(key, head, VIRUS) + head + b"\r\n" + VIRUS
    assert client.send(signing.delivery.port, whole, sender="vouched@example.org").code == 250
    arrived(signing, "vouched")


def test_clean_mail_without_a_receipt_is_delivered(signing: ScanningSandwich) -> None:
    """A bounce, for instance, is scanned and marked at the delivery side."""
    head = b"X-Name: unsigned\r\n" + receipt_of(FOREIGN, b"", b"")
    assert client.send(signing.delivery.port, head + b"\r\nx\r\n", sender="unsigned@example.org").code == 250
    assert arrived(signing, "unsigned").message["X-Virus-Status"] == "Clean"
    assert line(signing, "unsigned")["receipt"] == "unknown-key"


def test_keys_rotate_while_mail_waits(signing: ScanningSandwich) -> None:
    """Both sides accept what the old key has signed while it waited in mqueue; nothing is scanned again."""
    signing.delivery.stop()
    for name in ("before", "after"):
        head = f"X-Name: {name}\r\n\r\nx\r\n".encode()
        assert signing.send(head, sender=f"{name}@example.org").code == 250
        new_key(signing.folder, f"since-{name}")
        signing.miltscan.reload_and_wait()
    queued = "".join(path.read_text("latin-1") for path in signing.incoming.queue.glob("qf*"))
    assert {*re.findall(r"X-Miltscan-Receipt: v=2; k=([\w-]+); t=\d+; o=clean; by=scan; r=; s=\d+; ", queued)} == {
        "first",
        "since-before",
    }
    signing.delivery.start()
    signing.delivery.wait_ready()
    wait_until(lambda: handed_over(signing), PATIENCE, "an empty mqueue")
    for name in ("before", "after"):
        arrived(signing, name)
        assert line(signing, name)["receipt"] == "valid"
    assert [key.id for key in load_keys(f"{signing.folder}/keys")] == ["since-after", "since-before", "first"]


def handed_over(sandwich: ScanningSandwich) -> bool:
    """Whether mqueue is empty after another run; a run skips a message that is still locked."""
    sandwich.incoming.flush()
    return not sandwich.incoming.queued()


@pytest.fixture
def accepting(signing: ScanningSandwich) -> Iterator[ScanningSandwich]:
    """The sandwich with a policy that accepts mail while no engine is up; a test may stop its clamd."""
    policy = {"on_error": "accept", "on_unscanned": {"no_engine": "accept"}}
    signing.run_with({**both_sides(signing.folder), "policy": policy})
    yield signing
    signing.repair()


def test_what_no_engine_scanned_is_scanned_at_delivery(accepting: ScanningSandwich) -> None:
    """Mail that the policy accepted while clamd was down is scanned at delivery, and a virus is bounced."""
    accepting.clamd.stop()
    accepting.miltscan.wait_for_engines(0)
    head = b"X-Name: passes-unscanned\r\nSubject: x\r\n\r\n"
    assert accepting.send(head + b"x\r\n", sender="passes-unscanned@example.org").code == 250
    mark = arrived(accepting, "passes-unscanned").message["X-Virus-Status"]
    assert mark in {"Unscanned (no-engine)", "Unscanned (connect)"}  # only some workers may have tested it by then
    assert line(accepting, "passes-unscanned")["receipt"] == "rescanned"
    accepting.delivery.stop()
    for name, body in (("late-clean", b"x\r\n"), ("late-virus", VIRUS)):
        whole = f"X-Name: {name}\r\nSubject: x\r\n\r\n".encode() + body
        assert accepting.send(whole, sender=f"{name}@example.org").code == 250
    for part in (accepting.clamd, accepting.delivery):
        part.start()
        part.wait_ready()
    accepting.miltscan.wait_for_engines(1)
    wait_until(lambda: handed_over(accepting), PATIENCE, "an empty mqueue")
    assert arrived(accepting, "late-clean").message.get_all("X-Virus-Status") == ["Clean"]
    virus = line(accepting, "late-virus")
    assert (virus["receipt"], virus["outcome"], virus["action"]) == ("rescanned", "infected", "reject")
    assert not [one for one in accepting.mailbox.messages() if one.message["X-Name"] == "late-virus"]


def test_without_miltscan_delivery_takes_nothing(signing: ScanningSandwich) -> None:
    """With F=T the side that hands over keeps the message."""
    signing.miltscan.stop()
    try:
        reply = client.send(signing.delivery.port, b"X-Name: nobody\r\n\r\nx\r\n")
        assert reply.code == 451
    finally:
        signing.start_miltscan()
    assert not [one for one in signing.mailbox.messages() if one.message["X-Name"] == "nobody"]


def test_the_program_handoff(program: ScanningSandwich) -> None:
    """The sendmail that is started for each message asks as well; a local user who starts one receives 550."""
    through(program, "by-program", b"Subject: x\r\n", b"Hello\r\n")
    assert line(program, "by-program")["receipt"] == "valid"
    virus = messages.as_wire(messages.infected())
    talk = [b"MAIL FROM:<a@example.org>", b"RCPT TO:<recipient@example.test>", b"DATA", virus + b"\r\n.", b"QUIT"]
    replies = talked(program, [b"HELO x", *talk])
    assert [reply[:3] for reply in replies] == [b"220", b"250", b"250", b"250", b"354", b"550", b"221"]
    assert b"5.7.1 Virus found" in replies[5]
    assert not ports.is_open(program.delivery.port)


def talked(program: ScanningSandwich, commands: list[bytes]) -> list[bytes]:
    """The greeting of a delivery sendmail that is started with -bs, and its reply of one line to each command."""
    environment = {**os.environ, **preload.environment(program.folder)}
    starting = program.delivery.command("-bs")
    with subprocess.Popen(starting, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sendmail:
        assert sendmail.stdin
        assert sendmail.stdout
        replies = [sendmail.stdout.readline()]
        for command in commands:
            sendmail.stdin.write(command + b"\r\n")
            sendmail.stdin.flush()
            replies.append(sendmail.stdout.readline())
    return replies
