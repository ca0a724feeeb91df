"""clamd on a booted machine with too little room: no infected message is accepted, from the first second on.

miltscan runs in its unit, where every path looks read-only and /tmp is private.
"""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.fakes.eicar import EICAR
from tests.harness.client import Reply, new_message_id, text_message
from tests.harness.messages import as_wire, with_attachment, zipped
from tests.harness.processes import wait_until
from tests.systems.machine import PATIENCE, Machine

FOLDER = "/var/lib/clamav/tmp"  # TemporaryDirectory of deploy/clamav/clamd.conf
MOUNT = f"mount -t tmpfs -o uid=clamav,gid=clamav,mode=700,%s tmpfs {FOLDER}"
UNMOUNT = f"umount --lazy {FOLDER}"
FAULTS = {
    "small": (MOUNT % "size=256k", UNMOUNT),
    "full": (f"{MOUNT % 'size=64m'}; head -c 64M /dev/zero >{FOLDER}/filler || true", UNMOUNT),
    "without inodes": (MOUNT % "size=64m,nr_inodes=2", UNMOUNT),
    "read-only": (f"{MOUNT % 'size=64m'}; mount -o remount,ro {FOLDER}", UNMOUNT),
    # in one step: clamd makes files in it meanwhile
    "removed": (f"mv {FOLDER} {FOLDER}.gone", f"systemd-tmpfiles --create miltscan-clamav.conf; rm -r {FOLDER}.gone"),
}
SIZES = (400, 1000, 3000, 100, 1)  # KB of a zip
ROUNDS = 8  # some ten seconds of mail


def infected_zip(size: int, seed: int) -> bytes:
    """A message with a zip of some `size` KB that ends with the test signature; each `seed` gives another."""
    filler = random.Random(seed).randbytes(size * 900).hex().encode()  # noqa: S311  # half of it after compression
    return as_wire(with_attachment("Zip", zipped("file.txt", filler + EICAR), "file.zip"))


def clean(machine: Machine) -> Reply:
    """The reply to a clean message."""
    return machine.send(text_message(new_message_id()))


def wait_until_served(machine: Machine) -> None:
    """Returns when clean mail is accepted and infected mail refused."""
    wait_until(lambda: clean(machine).code == 250, PATIENCE, "clean mail that is accepted")
    assert machine.send(infected_zip(3000, 1)).code == 550


@contextmanager
def broken(machine: Machine, fault: str, repair: str) -> Iterator[None]:
    """The context in which a fault holds."""
    machine.run(fault)
    try:
        yield
    finally:
        machine.run(repair)


@pytest.mark.parametrize("fault", FAULTS)
def test_no_infected_message_is_accepted(machine: Machine, fault: str) -> None:
    """With a temporary folder that is too small, gone or not writable, infected zips are refused or tempfailed."""
    wait_until_served(machine)
    messages = [infected_zip(size, seed) for seed in range(ROUNDS) for size in SIZES]
    with ThreadPoolExecutor(4) as clients:
        replies = [clients.submit(machine.send, message) for message in messages]
        replies[len(SIZES)].result()  # mail flows while the fault comes
        with broken(machine, *FAULTS[fault]):
            codes = [reply.result().code for reply in replies]
    assert set(codes) <= {451, 550}, [SIZES[number % len(SIZES)] for number, code in enumerate(codes) if code == 250]
    wait_until_served(machine)


@pytest.mark.parametrize("spare", [-20, 0, 20, 40])
def test_clamd_short_of_memory(machine: Machine, spare: int) -> None:
    """A clamd whose address space is so many MB above what a small scan needs accepts no infected zip of any size."""
    drop_in = "/etc/systemd/system/clamav-daemon.service.d/memory.conf"
    restart = "systemctl daemon-reload; systemctl restart clamav-daemon"
    machine.run("systemctl restart clamav-daemon")
    wait_until(lambda: machine.succeeds("miltscan check"), PATIENCE, "a clamd that scans")
    used = int(machine.run("ps -o vsz= -C clamd"))
    limit = f"printf '[Service]\\nLimitAS={used + spare * 1024}K\\n' >{drop_in}; {restart}"
    with broken(machine, limit, f"rm {drop_in}; {restart}"):
        # one after the other: no self-test shows what many scans at once leave for each of them
        codes = [machine.send(infected_zip(size, seed)).code for seed in range(3) for size in SIZES]
    assert set(codes) <= {451, 550}, codes
    wait_until_served(machine)
