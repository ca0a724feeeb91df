"""Both profiles of sendmail/ on the real pair: mail that received 250 survives a kill -9 of everything."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil
import pytest

from miltscan.doctor.daemon_rules import daemon_findings
from miltscan.sandwich.cf import parse_cf
from tests.bench.burst import burst
from tests.bench.tuning import TunedSandwich, wait_for_all
from tests.bench.variants import VARIANTS
from tests.harness.ending import ended
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder

MESSAGES = 150


@pytest.fixture(scope="module", params=["default", "burst"])
def pair(request: pytest.FixtureRequest) -> Iterator[TunedSandwich]:
    """The pair of a profile with its queue runners, miltscan and clamd; the last test kills it, and starts it again."""
    with private_folder() as folder, TunedSandwich(folder, VARIANTS[request.param]) as sandwich:
        yield sandwich


def kill_sendmails(pair: TunedSandwich) -> None:
    """Kill -9 to both daemons, the runners, and each session and delivery, wherever it belongs."""
    for program in [program for program in pair.programs.running if program.pid in pair.sendmails()]:
        program.kill()
        pair.programs.running.remove(program)
    wait_until(
        lambda: not [process for process in psutil.process_iter() if killed(process, pair)], PATIENCE, "their end"
    )


def killed(process: psutil.Process, pair: TunedSandwich) -> bool:
    """Whether it is a living sendmail of this pair, which is then ended."""
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        if not ended(process) and process.exe() == str(pair.folder / "sendmail"):
            process.kill()
            return True
    return False


def start_sendmails(pair: TunedSandwich) -> None:
    """Both daemons and their runners, again; a message that waits is tried at once."""
    for sendmail, interval in (
        (pair.delivery, pair.variant.delivery_runs),
        (pair.incoming, pair.variant.incoming_runs),
    ):
        sendmail.start()
        sendmail.wait_ready()
        sendmail.start_runner_beside(interval)


def test_a_burst_is_delivered_by_the_runners(pair: TunedSandwich) -> None:
    """The runners deliver a burst without a queue run by hand; nothing stays, and nothing arrives twice."""
    before = pair.last.amount()
    sent = burst(pair.incoming.port, 60, 8)
    assert len(sent.accepted) == 60
    wait_for_all(pair.last, before + 60)
    pair.wait_until_empty()
    assert sorted(pair.last.numbers()[before:]) == sent.accepted


def test_doctor_finds_both_files_in_order(pair: TunedSandwich) -> None:
    """Neither profile is less safe than the doctor requires."""
    for sendmail in (pair.incoming, pair.delivery):
        found = [*daemon_findings(sendmail.name, parse_cf(sendmail.configuration.read_text()))]
        assert [finding for finding in found if finding.level.value != "ok"] == []


def test_a_kill_in_the_middle_of_a_burst_loses_nothing(pair: TunedSandwich) -> None:
    """Each message that received 250 arrives after a new start, at least once; no other client received 250.

    A message that was on disk before its client received 250 may wait in a queue for a later run.
    """
    before = pair.last.amount()
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(burst, pair.incoming.port, MESSAGES, 8)
        wait_until(
            lambda: pair.last.amount() - before + len(pair.incoming.queued()) > MESSAGES // 5,
            PATIENCE,
            "a running burst",
        )
        kill_sendmails(pair)
        accepted = {*sending.result().accepted}
    assert 0 < len(accepted) < MESSAGES
    start_sendmails(pair)
    wait_until(lambda: arrived(pair, accepted, before), PATIENCE, "every accepted message")


def arrived(pair: TunedSandwich, numbers: set[int], before: int) -> bool:
    """Whether all of them have, after those `before`; if not, run each queue again. Messages without a 250 may stay."""
    pair.incoming.flush()
    pair.delivery.flush()
    return numbers <= {*pair.last.numbers()[before:]}
