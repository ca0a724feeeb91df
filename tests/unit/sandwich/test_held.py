"""Held messages in every layout of a queue; what a queue run did with one; the order in which files are deleted."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.errors import QueueError
from miltscan.sandwich import held
from miltscan.sandwich.cf import parse_cf
from miltscan.sandwich.held import HandedOver, Held, delete_held, hand_over, read_cf, read_held, result_of

CONTROL = b"""V8
T1795913747
K1795913800
N2
P30132
I254/0/16490534
MDeferred: Connection refused by [127.0.0.1]
qmiltscan: Infected (Eicar)
Fs
$_localhost [127.0.0.1]
${daemon_flags}AA
S<sender@example.org>
rRFC822; b@example.test
RPFD:<b@example.test>
Croot:list
RFD:"|/bin/x S<a>"
H?P?Return-Path: <\x81g>
H??Received: from client.example.org (localhost [127.0.0.1])
\tby mx (8.17.1) with ESMTP id 6AT0tl1r006553;
\tSun, 29 Nov 2026 00:55:47 GMT
H??SUBJECT: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
\tagain
H?M?Message-Id: <1@example.org>
H??X-Bad
.
H??Subject: not read
"""
QUEUE_ID = "6AT0tl1r006553"
SENT = """
Running /var/spool/mqueue/6AT0tl1r006553 (sequence 1 of 1)
<b@example.test>... Connecting to [127.0.0.1] port 19000 via local...
>>> .
250 2.0.0 6AT12cpW005712 Message accepted for delivery
<b@example.test>... Sent (6AT12cpW005712 Message accepted for delivery)
Closing connection to [127.0.0.1]
"""
BOUNCE = """
550 5.7.1 Virus found: Eicar (6AT12eRf006177)
Service unavailable
<sender@example.org>... Using cached ESMTP connection to [127.0.0.1] via local...
<sender@example.org>... Sent (6AT12eRh006177 Message accepted for delivery)
"""


def put(folder: Path, queue_id: str = QUEUE_ID, control: bytes = CONTROL, *, split: bool = False) -> Held:
    """A held message in a folder; `split`: with folders for qf and df. Returns it as it is read."""
    for kind, name, content in (("qf", "hf", control), ("df", "df", b"body\n")):
        place = folder / kind if split else folder
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{name}{queue_id}").write_bytes(content)
    return next(one for one in read(folder) if one.queue_id == queue_id)


def read(*queues: Path | str) -> list[Held]:
    """What is held in a queue, and in those of its groups."""
    groups = "".join(f"Qgroup{number}, P={path}, r=1\n" for number, path in enumerate(queues[1:]))
    return read_held(parse_cf(f"O QueueDirectory={queues[0]}\n{groups}"))


def test_a_control_file(tmp_path: Path) -> None:
    """Each part of it: folded headers, several kinds of recipients, a subject in encoded words."""
    assert put(tmp_path) == Held(
        QUEUE_ID,
        tmp_path / f"hf{QUEUE_ID}",
        tmp_path / f"df{QUEUE_ID}",
        1795913747.0,
        5,
        b"miltscan: Infected (Eicar)",
        b"Deferred: Connection refused by [127.0.0.1]",
        b"<sender@example.org>",
        (b"<b@example.test>", b'"|/bin/x S<a>"'),
        b"<1@example.org>",
        "Grüße again",
    )


def test_only_held_messages_are_read(tmp_path: Path) -> None:
    """A waiting message, a lost one, and files of other names are left out; the newest is the first."""
    put(tmp_path, "6AT0tl1r006554", CONTROL.replace(b"T1795913747", b"T1795913748"))
    put(tmp_path)
    for name in ("qf6AT0tl1r006555", "Qf6AT0tl1r006556", "hf", "hf-x", "hf../../etc/x"[:4], "hf6AT0tl1r006557 ", "tfX"):
        (tmp_path / name).write_bytes(CONTROL)
    assert [one.queue_id for one in read(tmp_path)] == ["6AT0tl1r006554", QUEUE_ID]


def test_queue_groups(tmp_path: Path) -> None:
    """QueueDirectory may be a pattern; groups have paths of their own; a data file may be in another group's folder."""
    mqueue = tmp_path / "mqueue"
    put(mqueue / "q1", split=True)
    put(mqueue / "q2", "6AT0tl1r006554")
    put(mqueue / "slow", "6AT0tl1r006555", b"dq1\n" + CONTROL)
    put(mqueue / "other", "6AT0tl1r006556")
    (mqueue / "slow" / "df6AT0tl1r006555").rename(mqueue / "q1" / "df" / "df6AT0tl1r006555")
    found = {one.queue_id[-1]: one for one in read(f"{mqueue}/q*", f"{mqueue}/slow", f"{mqueue}/q*")}
    assert found.keys() == {"3", "4", "5"}
    assert [str(one.data.relative_to(mqueue)) for _, one in sorted(found.items())] == [
        "q1/df/df6AT0tl1r006553",
        "q2/df6AT0tl1r006554",
        "q1/df/df6AT0tl1r006555",
    ]
    assert {one.size for one in found.values()} == {5}


@given(st.binary(max_size=300))
def test_any_control_file_is_read(tmp_path_factory: pytest.TempPathFactory, control: bytes) -> None:
    """A damaged file is a held message, too: an administrator must see it."""
    folder = tmp_path_factory.mktemp("queue")
    assert put(folder, control=control).queue_id == QUEUE_ID


def test_a_queue_that_is_not_there(tmp_path: Path) -> None:
    """The error is one line that names the path; for a .cf file also the option."""
    with pytest.raises(QueueError, match=r"/absent: No such file or directory$"):
        read(tmp_path / "absent")
    with pytest.raises(QueueError, match=r"absent\.cf: No such file or directory\. Name the \.cf file .* with --cf$"):
        read_cf(tmp_path / "absent.cf")


@pytest.mark.parametrize(
    ("status", "output", "gone", "expected"),
    [
        (0, SENT, True, HandedOver(("6AT12cpW005712",))),
        (0, "<b>... Sent (2.0.0 Ok)\n", True, HandedOver(())),  # to a mailbox, without a queue ID of sendmail
        (0, SENT.replace("(6AT", "(2.0.0 6AT"), True, HandedOver(("6AT12cpW005712",))),
        (69, BOUNCE, True, HandedOver((), refused="550 5.7.1 Virus found: Eicar (6AT12eRf006177)")),
        (67, SENT + BOUNCE, True, HandedOver(("6AT12cpW005712",), "550 5.7.1 Virus found: Eicar (6AT12eRf006177)")),
        (71, "", True, HandedOver((), refused="sendmail ended with status 71")),
        (0, "", True, HandedOver((), refused="another process has taken it from the queue")),
        (0, f"{QUEUE_ID}: locked\n\n", False, HandedOver((), held="another process works on it")),
        (0, "x\n", False, HandedOver((), held="Deferred: Connection refused by [127.0.0.1]")),
        (0, SENT, False, HandedOver(("6AT12cpW005712",), held="Deferred: Connection refused by [127.0.0.1]")),
    ],
)
def test_the_result_of_a_release(tmp_path: Path, status: int, output: str, gone: bool, expected: HandedOver) -> None:  # noqa: FBT001 - a table
    """The queue shows whether the message is still held; a bounce is no delivery."""
    one = put(tmp_path)
    if gone:
        one.control.unlink()
    assert result_of(one, status, output) == expected


def test_a_release_that_sendmail_does_not_begin(tmp_path: Path) -> None:
    """Its last line is the reason, cleaned."""
    one = put(tmp_path, control=CONTROL.replace(b"MDeferred", b"N"))
    assert result_of(one, 78, "\nNo such \x1b[2Jfile\n\n").held == "No such \\x1b[2Jfile"
    assert result_of(one, 0, "\n").held == "sendmail did not find it in its queue"


@pytest.fixture
def sendmail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that makes the sendmail of the PATH a script."""
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")

    def script(text: str) -> None:
        (place / "sendmail").write_text(f"#!/bin/sh\n{text}\n")
        (place / "sendmail").chmod(0o755)

    return script


def test_a_release_never_expires(tmp_path: Path, sendmail: Callable[[str], None]) -> None:
    """The queue run is for one message, and does not bounce it, however old it is."""
    one = put(tmp_path / "mqueue")
    sendmail(f'echo "$*" >{tmp_path}/arguments; rm {one.control}; echo "<b>... Sent"')
    assert hand_over(one, Path("/etc/mail/incoming.cf")) == HandedOver(())
    assert (tmp_path / "arguments").read_text() == (
        "-C /etc/mail/incoming.cf -v -OTimeout.queuereturn=10000d -OTimeout.queuewarn=10000d -OQueueLA=1000000"
        f" -qQ -qI{QUEUE_ID}\n"
    )


def test_an_empty_message_is_not_delivered(tmp_path: Path, sendmail: Callable[[str], None]) -> None:
    """Without the data file sendmail would deliver the headers alone."""
    put(tmp_path)
    (tmp_path / f"df{QUEUE_ID}").unlink()
    (one,) = read(tmp_path)
    assert one.size is None
    sendmail(f"rm {one.control}")
    assert hand_over(one, Path("x.cf")).held.startswith(f"{one.data} is missing")
    assert one.control.exists()


def test_a_host_without_sendmail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names where it was searched."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(held, "_ELSEWHERE", ("/nor-here",))
    with pytest.raises(QueueError, match="sendmail: not found in /nowhere:/nor-here"):
        hand_over(put(tmp_path), Path("x.cf"))


def test_both_files_are_deleted(tmp_path: Path) -> None:
    """A second deletion says that there is nothing left."""
    one = put(tmp_path, split=True)
    delete_held(one)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    with pytest.raises(QueueError, match=f"^{QUEUE_ID}: no longer held$"):
        delete_held(one)


def test_the_control_file_is_deleted_first(tmp_path: Path) -> None:
    """After a crash between the two, nothing is left that sendmail could deliver."""
    one = put(tmp_path)
    one.data.unlink()
    one.data.mkdir()  # cannot be unlinked
    with pytest.raises(OSError, match=r"Is a directory|Operation not permitted"):
        delete_held(one)
    assert not one.control.exists()


def test_the_lock_of_sendmail_counts(tmp_path: Path) -> None:
    """A message that a queue run works on is not deleted."""
    one = put(tmp_path)
    with one.control.open("rb") as control:
        fcntl.flock(control, fcntl.LOCK_EX)
        with pytest.raises(QueueError, match=f"^{QUEUE_ID}: another process works on it; try again later$"):
            delete_held(one)
    assert one.control.exists()
    assert one.data.exists()


def test_a_file_that_is_replaced_before_the_lock_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sendmail writes a control file again as a new file: our lock is then on one that no longer has a name."""
    one = put(tmp_path)
    flock = fcntl.flock

    def replaced(file: int, operation: int) -> None:
        one.control.unlink()
        one.control.write_bytes(CONTROL)
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", replaced)
    with pytest.raises(QueueError, match=f"^{QUEUE_ID}: another process has just changed it; try again$"):
        delete_held(one)
    assert one.control.exists()
    assert one.data.exists()
