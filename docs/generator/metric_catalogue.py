"""Makes docs/metrics.md from the definitions; `python -m docs.generator.metric_catalogue` prints it."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from docs.generator.metric_questions import QUESTIONS
from miltscan.telemetry.metrics import FAMILIES

if TYPE_CHECKING:
    from miltscan.telemetry.family import Label

_HEAD = """\
# Metrics

Each metric of the exporter, which serves them at `/metrics` as text or OpenMetrics.

    curl -s http://127.0.0.1:9464/metrics | grep '^miltscan_messages_total'

A metric is defined once, in `miltscan/telemetry/*_metrics.py`. A test compares this page with the definitions, and this
command generates it again:

    python -m docs.generator.metric_catalogue >docs/metrics.md

| name | type | unit | labels | what it counts or measures | the question it answers |
| --- | --- | --- | --- | --- | --- |"""

_LABELS = """
## Labels

Each label is bounded, so that no mail can create an unlimited number of series.

| label | of | bound |
| --- | --- | --- |"""


_NOTES = """
## Notes

- Each process counts in its own files in `exporter.directory`, and the exporter adds them up. A new worker continues
  its predecessor's counters, a reload changes none, and a restart of the service begins at 0. A worker that is killed
  loses up to a quarter of a second of counts. The log has all its messages.
- miltscan reserves the space of these files at its start: about 140 KiB for each of its processes.
  Counts without space stay in memory until there is some (`miltscan_metrics_in_memory`).
- Gauges of clamd date from the last self-test, one every `canary_interval` of the engine. A server that a reload
  removes no longer has a series. A server that does not answer STATS has none in `miltscan_clamd_*`.
- `miltscan_signature_detections_total` names the first signatures that each worker finds and counts all others as
  `other`, so the count of a name may be split. `miltscan_detections_total` and the log are complete.
- Queues are measured every `queues.interval`: names, sizes and times of at most 200,000 files. Messages that are held
  (`hf`) are not counted. miltscan's user must be able to list the folders. Where they belong to group `smmsp` with mode
  2750, as on Debian, the unit's `Group=smmsp` is enough. Elsewhere, or to grant only this right, run:

      setfacl -R -m u:miltscan:rX,d:u:miltscan:rX /var/spool/mqueue

  Until then `miltscan_queue_readable` is 0, the log has one line `queue_unreadable`, and `miltscan check` reports it.
- In OpenMetrics (Prometheus with `--enable-feature=exemplar-storage`) each bucket of the histograms, and the counters
  by reason and by class, have the queue ID of their last message as exemplar. It leads from a slow bucket to the log
  line and to `miltscan trace`. prometheus_client drops exemplars where several processes count, so each worker keeps
  its own and writes them to a file once a second.
- `process_*` and `python_*` without the prefix `miltscan_` are the standard metrics of prometheus_client, about the
  exporter only. `miltscan_process_*` has every process of the service.
- A scrape costs 11 ms of CPU time as text and 15 ms as OpenMetrics with exemplars, compressed or not, with four
  workers, two servers of clamd and every series in use (`python -m tests.bench.scrape` measures it). Counting costs 2
  us of CPU time for each message on a busy worker, which counts four times a second.
"""


def documentation() -> str:
    """Return the content of docs/metrics.md."""
    rows: list[str] = []
    for family in FAMILIES:
        kind, labels = family.kind.__name__.lower(), ", ".join(family.labels)
        question = QUESTIONS[family.name.removeprefix("miltscan_")]
        rows.append(f"| `{family.name}` | {kind} | {family.unit} | {labels} | {family.help_text} | {question} |")
    return "\n".join([_HEAD, *rows, _LABELS, *_labels(), _NOTES])


def _labels() -> Iterator[str]:
    """Yield a row for each label with its metrics; the same name with another bound is another label."""
    users: dict[Label, list[str]] = {}
    for family in FAMILIES:
        for label in family.bounds:
            users.setdefault(label, []).append(f"`{family.name}`")
    for label, names in users.items():
        yield f"| {label.name} | {', '.join(names)} | {label.bound} |"


if __name__ == "__main__":
    sys.stdout.write(documentation())
