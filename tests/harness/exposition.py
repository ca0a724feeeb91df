"""The samples on a /metrics page that a test asks for: to parse a whole page costs more than to make it."""

from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

OURS = "miltscan_"


def samples(page: str, *names: str) -> Iterator[Sample]:
    """The samples of miltscan whose name begins with one of these, without `miltscan_`; of all without names."""
    begins = tuple(OURS + name for name in names) or OURS
    chosen = "".join(f"{line}\n" for line in page.splitlines() if line.startswith(begins))
    for family in text_string_to_metric_families(chosen):
        yield from (sample._replace(name=sample.name.removeprefix(OURS)) for sample in family.samples)
