"""Every query of the Grafana dashboards, asked of a real Prometheus that scrapes a real miltscan with real mail.

The load has all that a panel can show: clean, infected and unscanned mail, mail that was put off as both servers were
down, a reload, a worker that dies. One server is a fake: it knows how old its signatures are, which a clamd with a test
database does not.
"""

import math
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fakes.antispam import SPAMD_GTUBE, FakeAntispam, spamd_says
from tests.fakes.clamd import FakeClamd
from tests.fakes.clamd_lies import Scan, always_ok, honest
from tests.harness import dashboard, messages
from tests.harness.client import new_message_id, text_message
from tests.harness.miltscan import ScanningSandwich, Tables
from tests.harness.processes import ProgramError, wait_until
from tests.harness.prometheus import Prometheus
from tests.harness.sandwich import private_folder

COMMITTED = dashboard.read()
LIMIT = 60.0  # seconds for anything that is waited for, on however loaded a machine
CHOSEN = {
    "job": ".+",
    "instance": ".+",
    "direction": "internal|inbound",
    "engine": "clamd|spamd",
    "__rate_interval": "5m",
    "__range": "10m",
    "__from": "0",
}
MOVED = {
    f"panel {title} A" for title in ("State", "Messages", "Infected", "Passed unscanned", "Tempfailed", "Respawns")
}
MOVED |= {f"panel {title} A" for title in ("Errors by reason", "Detections by class", "Most frequent signatures")}
MOVED |= {
    f"panel {title} A"
    for title in ("Messages by outcome", "Scans by server", "Most frequent rules of anti-spam engines")
}
"""Queries that show what has happened, not 0."""
QUIET = {"annotation Firing alerts", *(f"panel Time to store a message {letter}" for letter in "ABC")}
QUIET |= {f"panel Time to hand copies over {letter}" for letter in "ABC"}
QUIET |= {f"panel {title} A" for title in ("Alerts", "Exceptions by place", "Requests refused by the exporter")}
QUIET |= {f"panel {title} A" for title in ("Oldest, incoming", "Oldest, delivery", "Receipts at the delivery side")}
QUIET |= {f"panel {title} A" for title in ("Most frequent rules", "Allowed and denied", "Most frequent anomalies")}
QUIET |= {
    f"panel {title} A"
    for title in ("Age of the oldest message, by area", "Work of the keeper", "Copies", "Traces", "Archived messages")
}
"""Queries of what does not happen in `live`."""
QUERIES = [query for board in COMMITTED for query in dashboard.queries(board)]
VARIABLES = {values.name: values for board in COMMITTED for values in dashboard.variables(board)}


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Prometheus]:
    """It has scraped all that happens in `live`."""
    with private_folder() as folder, ScanningSandwich(folder, watched(folder)) as sandwich:
        scraping = Prometheus.start(sandwich.programs, sandwich.miltscan.exporter_port)
        wait_until(lambda: scraping.query("miltscan_workers") == [2.0], LIMIT, "a first scrape")
        with (
            FakeClamd.unix(folder / "run" / "second.ctl", as_clamd) as fake,
            FakeAntispam(spamd_says(), SPAMD_GTUBE) as spamd,
        ):
            live(sandwich, fake, scraping)
            score(sandwich, spamd, scraping)
            yield scraping


def watched(folder: Path) -> Tables:
    """Two workers, and a probe that finds no server: to the dashboard it is one that failed."""
    (folder / "quarantine").mkdir(mode=0o700, exist_ok=True)  # so that there is a keeper
    keys = folder / "keys"
    keys.write_text(f"k {'5a' * 32}\n")
    keys.chmod(0o600)
    probe = {"interval": "1s", "server": "inet:1@127.0.0.1"}
    return {
        "clamd": {"canary_interval": "1s"},
        "milter": {"workers": 2},
        "keys": {"file": str(keys)},
        "probe": probe,
    }


def live(sandwich: ScanningSandwich, fake: FakeClamd, scraping: Prometheus) -> None:
    """A bad week; each kind of message before and after, since a series that is new shows no increase."""
    sandwich.miltscan.servers.append(fake.address)
    sandwich.miltscan.configure(watched(sandwich.folder))
    sandwich.miltscan.reload_and_wait()
    sandwich.miltscan.wait_for_engines(2)
    sent = send_each_kind(sandwich)
    scraped(scraping, sent)
    sandwich.miltscan.workers()[0].kill()
    sandwich.clamd.kill()
    fake.behaviour, server = always_ok, fake.address
    wait_until(lambda: sandwich.miltscan.metric("worker_respawns_total") == 1, LIMIT, "a worker's successor")
    wait_until(lambda: given_up(sandwich) >= {(server, 0), (server, 1)}, LIMIT, "two workers that trust no server")
    sandwich.miltscan.wait_for_engines(0)
    sent += send_each_kind(sandwich)
    fake.behaviour = as_clamd
    sandwich.clamd.start()
    sandwich.clamd.wait_ready()
    sandwich.miltscan.wait_for_engines(2)
    sent += send_each_kind(sandwich)
    scraped(scraping, sent)


def score(sandwich: ScanningSandwich, spamd: FakeAntispam, scraping: Prometheus) -> None:
    """More messages, with an engine against spam."""
    clamd = {"type": "clamd", "servers": sandwich.miltscan.servers, "canary_interval": "1s"}
    engines = [clamd, {"type": "spamd", "servers": [str(spamd.address)]}]
    tables = {name: table for name, table in watched(sandwich.folder).items() if name != "clamd"}
    sandwich.miltscan.configure({**tables, "": {"engine": engines}})
    sandwich.miltscan.reload_and_wait()
    sandwich.miltscan.wait_for_engines(3)
    for _ in range(2):  # a histogram that is new shows no increase
        send_each_kind(sandwich)
        wait_until(lambda: scraping.query("sum(miltscan_spam_score_count)") >= [scored(sandwich)], LIMIT, "scores")


def scored(sandwich: ScanningSandwich) -> float:
    """The messages that were scored; infinite before the first one."""
    return sandwich.miltscan.metric("spam_score_count") or math.inf


def given_up(sandwich: ScanningSandwich) -> set[tuple[str, int]]:
    """Which worker has found which server down; the metric is 0 as soon as one of the workers has."""
    return {(line["server"], line["worker"]) for line in sandwich.miltscan.events("engine_down")}


def as_clamd(scan: Scan) -> None:
    """Honest, and finds encryption where the subject owns up to it."""
    if b"Subject: Encrypted" in scan.content():
        scan.answer(b"Heuristics.Encrypted.Zip FOUND")
    else:
        honest(scan)


def send_each_kind(sandwich: ScanningSandwich) -> int:
    """Send small and large clean mail, infected mail and mail not scanned completely; returns their number."""
    mails = (
        text_message(new_message_id()),
        messages.as_wire(messages.clean_attachment(2**21, seed=time.monotonic_ns())),
        messages.as_wire(messages.infected()),
        messages.as_wire(messages.with_attachment("Encrypted", messages.encrypted_zip())),
    )
    for mail in mails:
        sandwich.send(mail)
    return len(mails)


def scraped(scraping: Prometheus, sent: int) -> None:
    """Returns when Prometheus knows of so many messages."""
    wait_until(lambda: scraping.query("sum(miltscan_messages_total)") == [sent], LIMIT, f"{sent} messages")


def test_every_query_returns_data(prometheus: Prometheus) -> None:
    """Each query has a number as its result, and not 0 where something has happened."""
    unanswered = {query.where: dashboard.filled(query.promql, CHOSEN) for query in QUERIES if query.where not in QUIET}

    def answered(where: str, promql: str) -> bool:
        numbers = [number for number in prometheus.query(promql) if not math.isnan(number)]
        return any(numbers) if where in MOVED else bool(numbers)

    def all_answered() -> bool:
        for where, promql in [*unanswered.items()]:
            if answered(where, promql):
                del unanswered[where]
        return not unanswered

    with suppress(ProgramError):  # the assertion names the queries
        wait_until(all_answered, LIMIT, "an answer to every query")
    assert [*unanswered] == []


def test_what_moved_is_on_the_dashboard() -> None:
    """Each name of a panel in MOVED and QUIET exists, as a wrong one would test nothing."""
    assert {query.where for query in QUERIES} >= MOVED | QUIET


def test_a_panel_without_data_says_why() -> None:
    """A panel with a query that has no result has a text for that."""
    assert {query.where for query in QUERIES if query.where in QUIET and not query.may_be_empty} == set()


@pytest.mark.parametrize("variable", VARIABLES.values(), ids=lambda variable: variable.name)
def test_a_variable_has_values(prometheus: Prometheus, variable: dashboard.Values) -> None:
    """Grafana asks for the values of a label."""
    found = wait_until(
        lambda: prometheus.label_values(variable.label, variable.series), LIMIT, f"values for {variable}"
    )
    assert all(found)
