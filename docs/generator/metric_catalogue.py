"""docs/metrics.md, made from the definitions; `python -m docs.generator.metric_catalogue` prints it."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from docs.generator.metric_questions import QUESTIONS
from miltscan.telemetry.metrics import FAMILIES

if TYPE_CHECKING:
    from miltscan.telemetry.family import Label

_HEAD = """\
# Metrics

Served by the exporter at `/metrics`, as text or OpenMetrics. Each metric is defined once, in
`miltscan/telemetry/metrics.py`; a test compares this page with it, and this makes the page anew:

    python -m docs.generator.metric_catalogue >docs/metrics.md

| name | type | unit | labels | the question it answers | what it counts or measures |
| --- | --- | --- | --- | --- | --- |"""

_LABELS = """
## Labels

Each label is bounded, so that nothing that mail brings along can make series without end.

| label | of | bound |
| --- | --- | --- |"""


_NOTES = """
## Notes

- All processes count for themselves, in files of `exporter.directory`, and the exporter adds them up. A worker that is
  replaced goes on with its predecessor's counters; a reload moves none of them; a restart of the service begins at 0. A
  worker that is killed takes up to a quarter of a second of counts with it: its messages have their log lines.
- Gauges of clamd are those of the last canary, every `clamd.canary_interval`. A server that a reload removes has no
  series any more; one that does not answer STATS has none in `miltscan_clamd_*`.
- `miltscan_signature_detections_total` names what comes first: once a worker has its names, whatever else it finds
  counts as `other`, so a name's share may be split. `miltscan_detections_total` and the log miss none.
- The queues are looked at every `queues.interval`, names, sizes and times of at most 200,000 files; messages that are
  held (`hf`) do not wait and are not counted. Reading takes the right to list the folders. Where they belong to group
  `smmsp` with mode 2750, as on Debian, the unit's `Group=smmsp` is enough; elsewhere, or to give no more than that:

      setfacl -R -m u:miltscan:rX,d:u:miltscan:rX /var/spool/mqueue

  Until then `miltscan_queue_readable` is 0, the log has one line `queue_unreadable`, and `miltscan check` says so.
- Exemplars: in OpenMetrics (Prometheus with `--enable-feature=exemplar-storage`) each bucket of the histograms, and the
  counters by reason and by class, carry the queue ID of their last message: from a slow bucket to the log line, and to
  `miltscan trace`. prometheus_client drops exemplars where several processes count, so each worker keeps its own and
  writes them to a file once a second.
- A scrape costs 11 ms of CPU as text and 15 ms as OpenMetrics with exemplars, gzipped or not, with four workers, two
  servers of clamd and every series in use (`python -m tests.bench.scrape` measures it). Counting costs 2 us of CPU per
  message on a busy worker, which counts four times a second what has ended since.
"""


def documentation() -> str:
    """docs/metrics.md."""
    return "\n".join([_HEAD, *_families(), _LABELS, *_labels(), _NOTES])


def _families() -> Iterator[str]:
    for family in FAMILIES:
        kind, labels = family.kind.__name__.lower(), ", ".join(family.labels)
        question = QUESTIONS[family.name.removeprefix("miltscan_")]
        yield f"| `{family.name}` | {kind} | {family.unit} | {labels} | {question} | {family.help_text} |"


def _labels() -> Iterator[str]:
    """A row for each label, with the metrics that have it; the same name with another bound is another label."""
    users: dict[Label, list[str]] = {}
    for family in FAMILIES:
        for label in family.bounds:
            users.setdefault(label, []).append(f"`{family.name}`")
    for label, names in users.items():
        yield f"| {label.name} | {', '.join(names)} | {label.bound} |"


if __name__ == "__main__":
    sys.stdout.write(documentation())
