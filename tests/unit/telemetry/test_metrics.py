"""Metrics: defined once, added up over processes, and never falling when a worker is replaced."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from prometheus_client import Metric, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from docs.generator import metric_catalogue
from docs.generator.metric_questions import QUESTIONS
from miltscan.core.action import Decision, Reject, Reply, TempFail
from miltscan.core.receipt import ReceiptResult
from miltscan.core.report import Report
from miltscan.core.verdict import Limit, Verdict
from miltscan.errors import StartError
from miltscan.telemetry import engine_metrics, family, mail_metrics, metrics, recording, service_metrics
from miltscan.telemetry.folder import claim_folder
from miltscan.telemetry.merge import collected

MakeReport = Callable[..., Report]

SCAN = {"engine": "clamd", "server": "unix:/run/clamd.ctl", "size": "small"}
DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"


def _in_child(work: Callable[[], object]) -> None:
    """Run `work` in a separate process, as a worker does."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def _count(directory: Path, slot: str, work: Callable[[], object]) -> None:
    def attached() -> None:
        family.attach(directory, slot)
        work()

    _in_child(attached)


def _value(directory: Path, name: str, **labels: str) -> float | None:
    return collected(directory).get_sample_value(f"miltscan_{name}", labels)


def _parsed(parse: Callable[[str], Iterable[Metric]], scrape: bytes) -> set[str]:
    return {family.name for family in parse(scrape.decode())}


def test_a_clean_message_is_counted(tmp_path: Path, make_report: MakeReport) -> None:
    """One message increases each of its counters by one, and every histogram."""
    _count(tmp_path, "0", lambda: recording.record_reports([make_report()]))
    labels = {"direction": "outbound", "outcome": "clean", "action": "accept"}
    assert _value(tmp_path, "messages_total", **labels) == 1
    assert _value(tmp_path, "smtp_replies_total", code="250") == 1
    assert _value(tmp_path, "scan_duration_seconds_count", **SCAN) == 1
    assert _value(tmp_path, "scan_duration_seconds_bucket", **SCAN, le="0.01") == 0
    assert _value(tmp_path, "scan_duration_seconds_bucket", **SCAN, le="0.02") == 1
    assert _value(tmp_path, "message_size_bytes_sum") == 3000
    assert _value(tmp_path, "message_duration_seconds_count") == 1
    assert _value(tmp_path, "slot_wait_seconds_count") == 1
    assert _value(tmp_path, "shed_total") == 0
    assert _value(tmp_path, "unscanned_total", reason="timeout") == 0


def test_a_shed_message_is_counted(tmp_path: Path, make_report: MakeReport) -> None:
    """A message without a scan slot is counted as shed, as unscanned by its reason, and by its reply code."""
    decision = Decision(TempFail(Reply(451, "4.7.1", "Busy")), "policy.on_unscanned.busy")
    report = make_report(Verdict.unscanned("limits", Limit.BUSY), decision)
    _count(tmp_path, "0", lambda: recording.record_reports([report]))
    assert _value(tmp_path, "unscanned_total", reason="busy") == 1
    assert _value(tmp_path, "shed_total") == 1
    assert _value(tmp_path, "smtp_replies_total", code="451") == 1
    assert _value(tmp_path, "smtp_replies_total", code="250") == 0


def test_a_message_with_a_valid_receipt_is_counted_once(tmp_path: Path, make_report: MakeReport) -> None:
    """A message with a valid receipt was counted on its way in; any other one counts like new mail."""

    def work() -> None:
        receipts = (ReceiptResult.VALID, ReceiptResult.VALID, ReceiptResult.STALE)
        recording.record_reports([make_report()._replace(receipt=receipt) for receipt in receipts])

    _count(tmp_path, "0", work)
    assert _value(tmp_path, "receipts_total", result="valid") == 2
    assert _value(tmp_path, "receipts_total", result="stale") == 1
    assert _value(tmp_path, "receipts_total", result="forged") == 0
    assert _value(tmp_path, "smtp_replies_total", code="250") == 1


def test_an_infected_message_is_not_unscanned(tmp_path: Path, make_report: MakeReport) -> None:
    """`unscanned_total` counts only limits and faults."""
    decision = Decision(Reject(Reply(550, "5.7.1", "Virus")), "policy.on_infected")
    _count(tmp_path, "0", lambda: recording.record_reports([make_report(Verdict.infected("clamd", "Eicar"), decision)]))
    assert _value(tmp_path, "messages_total", direction="outbound", outcome="infected", action="reject") == 1
    assert all(_value(tmp_path, "unscanned_total", reason=reason) == 0 for reason in Limit)


@pytest.mark.parametrize("direction", ["outbound", "submission"])
def test_infected_mail_of_our_own_is_known_from_the_start(tmp_path: Path, direction: str) -> None:
    """A series that began with the first message would show no increase, and the alert would miss it."""
    _count(tmp_path, "0", lambda: None)
    for action in ("reject", "quarantine", "accept"):
        assert _value(tmp_path, "messages_total", direction=direction, outcome="infected", action=action) == 0
    assert _value(tmp_path, "messages_total", direction=direction, outcome="clean", action="accept") is None


def test_counters_go_on_when_a_worker_is_replaced(tmp_path: Path, make_report: MakeReport) -> None:
    """The next process with the same slot continues the same files."""
    _count(tmp_path, "0", lambda: recording.record_reports([make_report()]))
    files = sorted(file.name for file in tmp_path.iterdir())
    _count(tmp_path, "0", lambda: recording.record_reports([make_report()]))
    assert _value(tmp_path, "smtp_replies_total", code="250") == 2
    assert _value(tmp_path, "message_size_bytes_count") == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == files


def test_a_directory_that_was_removed_keeps_no_worker_from_its_mail(tmp_path: Path, make_report: MakeReport) -> None:
    """A worker makes a removed directory again and starts; the earlier counts are lost."""
    directory = tmp_path / "run" / "metrics"
    _count(directory, "0", lambda: recording.record_reports([make_report()]))
    assert _value(directory, "smtp_replies_total", code="250") == 1
    assert directory.stat().st_mode & 0o777 == 0o700


def test_slots_are_added_up(tmp_path: Path, make_report: MakeReport) -> None:
    """Counters and live sums of two workers are added up."""

    def work() -> None:
        recording.record_reports([make_report()])
        mail_metrics.SESSIONS.child().inc(3)

    _count(tmp_path, "0", work)
    _count(tmp_path, "1", work)
    assert _value(tmp_path, "smtp_replies_total", code="250") == 2
    assert _value(tmp_path, "sessions") == 6


def test_a_dead_worker_has_no_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The live gauges of a dead worker vanish, its counters stay."""

    def work() -> None:
        mail_metrics.SESSIONS.child().inc(3)
        engine_metrics.ENGINE_UP.child("clamd", "unix:/a").set(0)
        mail_metrics.SHED.child().inc()

    _count(tmp_path, "0", work)
    _count(tmp_path, "1", work)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    family.worker_gone("0")
    assert _value(tmp_path, "sessions") == 3
    family.worker_gone("1")
    assert _value(tmp_path, "sessions") is None
    assert _value(tmp_path, "engine_up", engine="clamd", server="unix:/a") is None
    assert _value(tmp_path, "shed_total") == 2


def test_a_new_worker_does_not_inherit_sessions(tmp_path: Path) -> None:
    """A new worker begins with no sessions even if its predecessor's death was not noticed."""
    _count(tmp_path, "0", lambda: mail_metrics.SESSIONS.child().inc(3))
    _count(tmp_path, "0", lambda: mail_metrics.SESSIONS.child().inc(1))
    assert _value(tmp_path, "sessions") == 1


def test_an_engine_is_up_only_if_every_worker_sees_it_up(tmp_path: Path) -> None:
    """The gauge is the minimum of all live workers."""
    _count(tmp_path, "0", lambda: engine_metrics.ENGINE_UP.child("clamd", "unix:/a").set(1))
    assert _value(tmp_path, "engine_up", engine="clamd", server="unix:/a") == 1
    _count(tmp_path, "1", lambda: engine_metrics.ENGINE_UP.child("clamd", "unix:/a").set(0))
    assert _value(tmp_path, "engine_up", engine="clamd", server="unix:/a") == 0


def test_the_signature_version_is_the_latest_seen(tmp_path: Path) -> None:
    """A database that went back to an older version is shown as it is now."""
    _count(tmp_path, "0", lambda: engine_metrics.SIGNATURES.child("clamd", "unix:/a").set(200))
    _count(tmp_path, "1", lambda: engine_metrics.SIGNATURES.child("clamd", "unix:/a").set(100))
    assert _value(tmp_path, "signature_database_version", engine="clamd", server="unix:/a") == 100


def test_a_supervisor_that_counts_forks_workers_that_count(tmp_path: Path, make_report: MakeReport) -> None:
    """Each process writes to its own slot, regardless of its parent's open files."""

    def supervisor() -> None:
        recording.started("abc", 2, ["new", "old"])
        service_metrics.WORKERS.child().set(1)
        service_metrics.RESPAWNS.child().inc()
        _count(tmp_path, "0", lambda: recording.record_reports([make_report()]))
        service_metrics.RESPAWNS.child().inc()
        recording.reload_failed()

    _count(tmp_path, "supervisor", supervisor)
    assert _value(tmp_path, "worker_respawns_total") == 2
    assert _value(tmp_path, "workers") == 1
    assert _value(tmp_path, "smtp_replies_total", code="250") == 1
    assert _value(tmp_path, "reloads_total", result="failed") == 1
    assert _value(tmp_path, "reloads_total", result="ok") == 0
    assert (_value(tmp_path, "config_last_reload_success_timestamp_seconds") or 0) > 0
    (tmp_path / "counter_supervisor.db").unlink()
    assert _value(tmp_path, "smtp_replies_total", code="250") == 1
    assert _value(tmp_path, "worker_respawns_total") == 0


def test_without_a_directory_it_counts_in_memory(make_report: MakeReport) -> None:
    """A command that scans files, and a unit test, need no directory."""
    recording.record_reports([make_report()])
    (family,) = mail_metrics.REPLIES.child("250").collect()
    assert family.samples[0].value == 1


def test_prepare_empties_the_directory(tmp_path: Path) -> None:
    """A new service starts with its own counters, in a directory that no other user can read."""
    directory = tmp_path / "run" / "metrics"
    claim_folder(directory, ["0"]).release()
    (directory / "counter_1.db").touch()
    (directory / "other").touch()
    directory.chmod(0o755)
    claim_folder(directory, ["0"]).release()
    assert {file.name for file in directory.iterdir() if not file.name.endswith("_0.db")} == {"other", "lock"}
    assert collected(directory).get_sample_value("miltscan_shed_total") is None
    assert directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["access.db", "counter.db", "mqueue/"])
def test_prepare_leaves_a_directory_of_others_alone(tmp_path: Path, name: str) -> None:
    """A mistyped path removes neither sendmail's maps nor the content of /run."""
    (tmp_path / "counter_0.db").touch()
    (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).touch()
    tmp_path.chmod(0o755)
    with pytest.raises(
        StartError, match=re.escape(f"{tmp_path}: contains {name.strip('/')!r}, which is not a file of")
    ):
        claim_folder(tmp_path, ["0"]).release()
    assert len([*tmp_path.iterdir()]) == 2
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_prepare_takes_what_a_service_has_left(tmp_path: Path, make_report: MakeReport) -> None:
    """Every file name of prometheus_client is known and removed."""
    claim_folder(tmp_path, ["0"]).release()

    def work() -> None:
        recording.record_reports([make_report()])
        for one in metrics.FAMILIES:
            one.child(*one.labels)

    _count(tmp_path, "supervisor", work)
    names = {path.name.partition("_")[0] for path in tmp_path.iterdir()}
    assert names >= {"counter", "gauge", "histogram"}
    claim_folder(tmp_path, ["0"]).release()
    assert collected(tmp_path).get_sample_value("miltscan_shed_total") is None
    assert [path for path in tmp_path.iterdir() if path.name != "lock" and not path.stem.endswith("_0")] == []


def test_prepare_names_the_directory_that_cannot_be_used(tmp_path: Path) -> None:
    """A file in place of the directory ends the start with one clear line."""
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=re.escape(f"exporter.directory {tmp_path / 'file'}")):
        claim_folder(tmp_path / "file", ["0"])


def test_a_scrape_can_be_read_by_both_parsers(tmp_path: Path, make_report: MakeReport) -> None:
    """Text and OpenMetrics hold every metric that is known from the start."""

    def work() -> None:
        recording.started("abc", 2, ["new", "old"])
        recording.record_reports([make_report()])
        engine_metrics.CANARY_PASSED.child("clamd", 'inet:3310@"x"').set_to_current_time()

    _count(tmp_path, "0", work)
    registry = collected(tmp_path)
    text = _parsed(parse_text, generate_latest(registry))
    openmetrics = _parsed(parse_openmetrics, generate_openmetrics(registry))  # type: ignore[no-untyped-call]
    assert {"miltscan_messages", "miltscan_build_info", "miltscan_exceptions", "miltscan_scan_duration_seconds"} <= text
    assert openmetrics == text


def test_the_documentation_lists_every_metric() -> None:
    """docs/metrics.md is what the generator writes."""
    assert DOCS.read_text() == metric_catalogue.documentation()


def test_metric_names_follow_the_rules() -> None:
    """Names have one prefix and are unique, counters alone end in _total, and the help is a phrase, not a question."""
    names = [one.name for one in metrics.FAMILIES]
    assert len(names) == len(set(names))
    for one in metrics.FAMILIES:
        assert one.name.startswith("miltscan_")
        assert one.name.endswith("_total") is (one.kind.__name__ == "Counter")
        assert re.fullmatch(r"(?!Whether|How|If)[A-Z][^?]+\.", one.help_text), one.name
        assert one.unit
        assert all(label.bound for label in one.bounds)


def test_each_metric_has_its_question() -> None:
    """The documentation asks one question for each metric, and none for a metric that does not exist."""
    assert {f"miltscan_{name}" for name in QUESTIONS} == {one.name for one in metrics.FAMILIES}
    assert [name for name, question in QUESTIONS.items() if "?" not in question] == []


def test_an_ended_gauge_is_not_shown(tmp_path: Path) -> None:
    """A gauge that ended is not shown until it is set again, and one that was never set does not exist."""

    def work() -> None:
        for server in ("unix:/a", "unix:/b"):
            engine_metrics.SIGNATURES.child("clamd", server).set(1)
            engine_metrics.ENGINE_UP.child("clamd", server).set(1)
            engine_metrics.ENGINE_UP.child("other", server).set(1)
        engine_metrics.SIGNATURES.forget_all("clamd", "unix:/a")
        engine_metrics.ENGINE_UP.forget_all("clamd", "unix:/a")
        engine_metrics.CLAMD_QUEUE.child("clamd", "unix:/a").set(1)
        engine_metrics.CLAMD_QUEUE.forget("clamd", "unix:/a")
        engine_metrics.CLAMD_QUEUE.child("clamd", "unix:/a").set(2)

    _count(tmp_path, "0", work)
    assert _value(tmp_path, "signature_database_version", engine="clamd", server="unix:/a") is None
    assert _value(tmp_path, "engine_up", engine="clamd", server="unix:/a") is None
    assert _value(tmp_path, "engine_up", engine="clamd", server="unix:/b") == 1
    assert _value(tmp_path, "engine_up", engine="other", server="unix:/a") == 1
    assert _value(tmp_path, "clamd_queue_length", engine="clamd", server="unix:/a") == 2
    assert _value(tmp_path, "spool_free_bytes") is None


def test_a_file_that_is_just_being_made_fails_no_scrape(tmp_path: Path, make_report: MakeReport) -> None:
    """An empty file of a worker that starts does not hide the counts of the others."""
    _count(tmp_path, "0", lambda: recording.record_reports([make_report()]))
    for name in ("counter_1.db", "gauge_livesum_1.db", "histogram_1.db"):
        (tmp_path / name).touch()
    assert _value(tmp_path, "smtp_replies_total", code="250") == 1
