"""The scripted day of the pictures: a Prometheus can read it, and it has something for each panel."""

import re
from functools import cache

from deploy.grafana.generator import queries
from miltscan.telemetry import mail_metrics
from tests.harness import dashboard
from tests.panels import day
from tests.panels.samples import SCRAPES, Samples

TARGET = {"job": "miltscan", "instance": "mx:9464"}
MINUTES = 12 * 60
"""Of the day, after what goes wrong with clamd."""
LINE = re.compile(r'([\w:]+)\{(\w+="[^"]*"(?:,\w+="[^"]*")*)\} (\S+) (\d+)\n')


@cache
def samples() -> list[tuple[str, str, float, int]]:
    """Return name, labels, value and time of each sample until noon."""
    found = [LINE.fullmatch(line) for line in day.day(minutes=MINUTES)]
    assert found[-1] is None  # the end of the file
    matches = [match for match in found[:-1] if match]
    assert len(matches) == len(found) - 1
    return [(match[1], match[2], float(match[3]), int(match[4])) for match in matches]


def test_the_day_has_a_series_for_each_metric() -> None:
    """Each series that a panel shows is there, so that no picture is empty because the script forgot it."""
    names = {name for name, *_ in samples()}
    every = [query.promql for board in dashboard.read() for query in dashboard.queries(board)]
    assert {name for promql in every for name in queries.series(promql)} - names == set()


def test_counters_never_fall_and_times_rise() -> None:
    """Counters grow and samples of a series are in order, as a Prometheus expects."""
    last: dict[tuple[str, str], tuple[float, int]] = {}
    wrong = []
    for name, labels, value, time in samples():
        before, then = last.get((name, labels), (0.0, 0))
        if time <= then or (value < before and name.endswith(("_total", "_bucket", "_count"))):
            wrong.append((name, labels, time))
        last[name, labels] = value, time
    assert wrong == []
    assert max(time for _, time in last.values()) == day.BEGIN + MINUTES * day.MINUTE


def test_the_day_is_the_same_each_time() -> None:
    """Chance has a fixed beginning, so a picture changes only if a panel does."""
    assert [*day.day(minutes=60)] == [*day.day(minutes=60)]


def test_a_default_installation_has_less() -> None:
    """It has neither quarantine nor probe nor anti-spam engine, whose panels say so."""
    text = "".join(day.day(default=True, minutes=1))
    assert "miltscan_messages_total" in text
    assert [name for name in ("quarantine_entries", "probe_success", "rspamd", "key_info") if name in text] == []


def test_an_observation_is_in_each_bucket_above_it() -> None:
    """Buckets are cumulative, and the sum and the number grow."""
    one = Samples(TARGET)
    one.observe(mail_metrics.MESSAGE_SECONDS, 0.3)
    one.scrape(day.BEGIN)
    lines = [line for line in one.text() if line.startswith("miltscan_message_duration_seconds")]
    found = {match[1]: match[2] for line in lines if (match := re.search(r'(?:le="(\S+)"|_sum|_count)\S* (\S+)', line))}
    assert (found["0.2"], found["0.5"], found["+Inf"]) == ("0", "1", "1")


def test_a_gauge_ends_with_its_last_scrape() -> None:
    """A gauge that is not set has no sample, as a server that is gone has none."""
    one = Samples(TARGET)
    one.show(mail_metrics.SESSIONS, 3)
    one.scrape(day.BEGIN)
    one.scrape(day.BEGIN + SCRAPES)
    assert sum(line.startswith("miltscan_sessions{") for line in one.text()) == 1
