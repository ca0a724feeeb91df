"""The quarantine when its process is killed at any system call, or the disk fails: strace and small file systems do it.

tests/e2e/test_quarantine.py does the same with a worker behind a real sendmail.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from miltscan.quarantine.entry import Event, State
from miltscan.quarantine.files import Files
from miltscan.quarantine.retention import Retention
from miltscan.quarantine.store import Store
from tests.fakes.entries import ANN, BOB, MESSAGE, NOW, put
from tests.harness import faults, programs
from tests.harness.faults import Call, Child

FILES = """
from pathlib import Path
from miltscan.errors import StoreError
from miltscan.quarantine.files import Files
from tests.fakes.entries import put
files = Files(Path({folder!r}))
files.prepare()
"""
PUT = "print(put(files).id)"
TRIED = """
try:
    print(put(files).id)
except StoreError as error:
    print(error)
"""
NO_UNNAMED_FILES = """
import errno, os
real = os.open
def without(path, flags, *rest, **more):
    if flags & os.O_TMPFILE == os.O_TMPFILE:
        raise OSError(errno.EOPNOTSUPP, "as on NFS")
    return real(path, flags, *rest, **more)
os.open = without
"""
STORE = """
from pathlib import Path
from miltscan.quarantine.entry import Event, State
from miltscan.quarantine.retention import Retention
from miltscan.quarantine.store import Store
from tests.fakes.entries import ANN, NOW
store = Store(Path({folder!r}), areas={{"default": Retention(max_age=1)}})
store.rows()
"""
"""The index is open."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the quarantine."""
    return tmp_path / "quarantine"


def run(folder: Path, before: str, code: str, *inject: str) -> Child:
    """Run code after other code, with these faults."""
    return faults.run(folder.parent, before.format(folder=str(folder)), code, inject)


def kill_at(call: Call) -> str:
    """The fault that kills the child when it enters a system call."""
    return f"{call.name}:signal=KILL:when={call.number}"


def whole(files: Files) -> list[str]:
    """The IDs of all entries; each can be read, and its message is whole."""
    found = [*files.waiting(), *(entry_id for day in files.days() for entry_id in files.ids(day))]
    for entry_id in found:
        with files.message(entry_id) as stream:
            assert stream.read() == MESSAGE
    return sorted(found)


def listed(folder: Path) -> list[str]:
    """The IDs that a list shows afterwards; index and files are sound."""
    store = Store(folder)
    store.refresh()
    report = store.check()
    assert (report.broken, report.foreign, report.added, report.removed) == ([], [], 0, 0)
    assert store.unindexed() == 0
    found = sorted(row.id for row in store.rows(limit=1000))
    store.close()
    return found


def named(calls: tuple[Call, ...]) -> int:
    """The place of the call that gives the entry its name."""
    (place,) = (place for place, call in enumerate(calls) if call.name in {"linkat", "renameat"})
    return place


both = pytest.mark.parametrize("before", [FILES, FILES + NO_UNNAMED_FILES], ids=["O_TMPFILE", "NAME.tmp"])


@both
def test_a_put_is_on_disk_before_it_returns(folder: Path, before: str) -> None:
    """The bytes are synced before the name exists, and the folder before the caller (and so the MTA) gets an answer."""
    child = run(folder, before, PUT)
    calls = child.calls
    name = named(calls)
    file, new = (place for place, call in enumerate(calls) if call.name == "fsync")
    written = [place for place, call in enumerate(calls) if call.name == "write" and "/new/" in call.rest]
    (answer,) = (place for place, call in enumerate(calls) if child.printed[:20] in call.rest and "pipe:" in call.rest)
    assert len(written) == 2
    assert max(written) < file < name < new < answer
    assert "/new/" in calls[file].rest
    assert re.match(rf"\d+<{re.escape(str(folder))}/new>", calls[new].rest)
    assert all(calls[place].rest.rstrip().endswith("= 0") for place in (file, name, new))


def test_the_kernel_has_no_unnamed_files(folder: Path) -> None:
    """The second open(2) fails as on NFS: the file has another name before, and the same one afterwards."""
    child = run(folder, FILES, PUT, "openat:error=EOPNOTSUPP:when=2")
    assert whole(Files(folder)) == child.printed.split()
    assert [path.name for path in (folder / "new").iterdir()] == [f"{child.printed.strip()}.entry"]


@both
def test_kill_9_at_every_step_of_a_put(folder: Path, before: str) -> None:
    """No partial entry exists at any time; one with a name is found, and one whose put returned is never lost."""
    calls = run(folder, before, PUT).calls
    known = whole(Files(folder))
    assert len(known) == 1
    name = named(calls)
    for place, call in enumerate(calls):
        child = run(folder, before, PUT, kill_at(call))
        assert child.status == -9, call
        new = [one for one in whole(Files(folder)) if one not in known]
        assert len(new) == (1 if place > name else 0), call
        assert all(printed in new for printed in child.printed.split()), call
        known += new
    assert listed(folder) == sorted(known)
    for leftover in (folder / "new").glob("*.tmp"):
        os.utime(leftover, (NOW, NOW))
    assert listed(folder) == sorted(known)
    assert [*(folder / "new").iterdir()] == []


def test_a_client_that_sends_again(folder: Path) -> None:
    """Killed between the name and the answer, the client's second message is marked as a duplicate of the first."""
    run(folder, FILES, PUT, "fsync:signal=KILL:when=2")
    run(folder, FILES, PUT)
    store = Store(folder)
    store.refresh()
    second, first = store.rows()
    assert (first.duplicate_of, second.duplicate_of) == (None, first.id)
    store.close()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("openat:error=EROFS:when=2", "Read-only file system"),
        ("openat:error=EMFILE:when=1", "Too many open files"),
        ("write:error=ENOSPC:when=2", "No space left on device"),
        ("write:error=ENOSPC:when=3", "No space left on device"),
        ("write:error=EDQUOT:when=3", "Disk quota exceeded"),
        ("pread64:error=EIO:when=1", "Input/output error"),
        ("fsync:error=EIO:when=1", "Input/output error"),
        ("linkat:error=ENOSPC:when=1", "No space left on device"),
        ("fsync:error=ENOSPC:when=2", "No space left on device"),
    ],
)
def test_a_fault_at_a_step_of_a_put(folder: Path, fault: str, reason: str) -> None:
    """The caller learns the reason, in one line, and keeps the message; nothing of it is left."""
    child = run(folder, FILES, TRIED, fault)
    assert (child.status, child.printed) == (0, f"quarantine {folder}: {reason}\n")
    assert [*(folder / "new").iterdir()] == []
    assert run(folder, FILES, TRIED).printed.split() == whole(Files(folder))


SMALL = """
mount -t tmpfs -o size={size} tmpfs "$1" && exec "$2" -c "$3"
"""


def on_small_disk(place: Path, size: str, code: str) -> list[str]:
    """The lines that code prints, which runs with a file system of this size at `place`."""
    place.mkdir()
    namespace = ["unshare", "--mount", "--propagation", "private", *(["--map-root-user"] if os.geteuid() else [])]
    command: list[str | Path] = [*namespace, "sh", "-c", SMALL.format(size=size), "sh", place, sys.executable, code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=programs.CHECKOUT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


FULL = """
stored = []
try:
    while True:
        stored.append(put(files, b"x" * 10_000).id)
except StoreError as error:
    print(error)
for one in stored:
    with files.message(one) as stream:
        assert stream.read() == b"x" * 10_000
print(len(stored) > 5, sorted(stored) == files.waiting(), len([*files.new.iterdir()]) == len(stored))
for one in stored[:2]:
    files.delete(one)
print(files.find(put(files, b"x" * 10_000).id).exists())
"""


@both
def test_a_full_disk(tmp_path: Path, before: str) -> None:
    """What was stored is whole, the next message stays with its client, and with room again all goes on."""
    place = tmp_path / "disk"
    lines = on_small_disk(place, "200k", before.format(folder=str(place)) + FULL)
    assert lines == [f"quarantine {place}: No space left on device", "True True True", "True"]


READ_ONLY = """
import subprocess
from miltscan.quarantine.store import Store
one, other = put(files), put(files)
store = Store(files.directory)
store.refresh()
store.close()
subprocess.run(["mount", "-o", "remount,ro", str(files.directory)], check=True)
store = Store(files.directory)
for call in (
    lambda: put(files), lambda: store.delete(one.id), lambda: store.record(one.id, Event(NOW, "ann")), store.check
):
    try:
        print(call())
    except StoreError as error:
        print(error)
print(sorted(row.id for row in store.rows()) == sorted([one.id, other.id]), store.find(one.id) == one.id)
with files.message(one.id) as stream:
    print(len(stream.read()))
"""


def test_a_read_only_disk(tmp_path: Path) -> None:
    """Nothing can be stored or changed, and the reason is one line; what is there can be listed and read."""
    place = tmp_path / "disk"
    code = (
        FILES.format(folder=str(place))
        + "from tests.fakes.entries import NOW\nfrom miltscan.quarantine.entry import Event\n"
    )
    lines = on_small_disk(place, "2m", code + READ_ONLY)
    assert lines == [*[f"quarantine {place}: Read-only file system"] * 4, "True True", str(len(MESSAGE))]


def changes(call: Call) -> bool:
    """Whether the call is a step of ours that changes something, or one of every eighth of SQLite's many."""
    if call.name in {"pread64", "lseek", "close"} or "O_RDONLY" in call.rest:
        return False
    return "/index.sqlite" not in call.rest or call.number % 8 == 1


def test_kill_9_at_every_step_of_an_index_row(folder: Path) -> None:
    """Row and file agree after the next refresh, wherever the first was killed."""
    listed(folder)
    known = [put(Files(folder)).id]
    calls = run(folder, STORE, "store.refresh()").calls
    assert {"pwrite64", "rename"} <= {call.name for call in calls}
    for call in calls:
        if changes(call):
            known.append(put(Files(folder), time=NOW + len(known)).id)
            assert run(folder, STORE, "store.refresh()", kill_at(call)).status == -9, call
            assert whole(Files(folder)) == sorted(known)
    assert listed(folder) == sorted(known)


def test_kill_9_at_every_step_of_a_state_change(folder: Path) -> None:
    """The event is there or not, and the index agrees after a refresh."""
    store = Store(folder)
    entry_id = put(store.files).id
    store.refresh()
    code = f"store.record({entry_id!r}, Event(NOW, 'ann', State.CLEARED))"
    calls = run(folder, STORE, code).calls
    for call in calls:
        if changes(call):
            entry_id = put(store.files, content=MESSAGE).id
            store.refresh()
            code = f"store.record({entry_id!r}, Event(NOW, 'ann', State.CLEARED))"
            child = run(folder, STORE, code, kill_at(call))
            state = store.files.read(entry_id).state
            store.refresh()
            assert {row.id: row.state for row in store.rows(limit=1000)}[entry_id] is state, call
            assert store.unindexed() == 0
            if child.status == 0:  # the number of calls at SQLite's files varies
                assert state is State.CLEARED
    store.close()
    listed(folder)


def test_kill_9_at_every_step_of_an_expiry(folder: Path) -> None:
    """What is half deleted is gone after the next expiry; nothing else is."""
    store = Store(folder)
    entry_id = put(store.files).id
    store.record(entry_id, event_of_ann())
    code = "store.expire(NOW + 100)"
    calls = run(folder, STORE, code).calls
    assert store.rows() == []
    kept = put(store.files, time=NOW + 1000).id
    for call in calls:
        if changes(call):
            entry_id = put(store.files).id
            store.refresh()
            store.record(entry_id, event_of_ann())
            run(folder, STORE, code, kill_at(call))
            assert run(folder, STORE, code).status == 0
            assert [row.id for row in store.rows()] == [kept], call
            assert whole(store.files) == [kept]
    store.close()
    assert listed(folder) == [kept]


def test_a_release_that_is_killed(folder: Path) -> None:
    """Expiry leaves it alone while it runs; after kill -9 its claim is free, and the keeper takes it."""
    store = Store(folder, areas={"default": Retention(max_age=1)})
    entry_id = put(store.files).id
    store.refresh()
    code = f"""
with store.files.claim({entry_id!r}) as claimed:
    assert claimed
    store.record({entry_id!r}, Event(NOW, "ann", State.RELEASING, (ANN,)))
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert run(folder, STORE, code).status == -9
    assert store.files.read(entry_id).states == {ANN: State.RELEASING, BOB: State.STORED}
    assert store.expire(NOW + 100) == []
    with store.files.claim(entry_id) as claimed:
        assert claimed
    store.record(entry_id, Event(NOW, "keeper", State.STORED, (ANN,)))
    assert [one.id for one in store.expire(NOW + 100)] == [entry_id]
    store.close()


def event_of_ann() -> Event:
    """An event that changes no state."""
    return Event(NOW, "ann")
