"""What engines report about their servers, for the commands that run once."""

from miltscan.scanning.servers import ServerRecords


def test_a_server_without_a_report_has_an_empty_record() -> None:
    """No self-test and no signature database is known of it."""
    record = ServerRecords().of("clamd", "unix:/none")
    assert (record.good, record.why, record.version, record.published) == (False, "", 0, 0.0)


def test_a_record_is_that_of_one_server_of_one_engine() -> None:
    """Reports about one server do not change the record of another."""
    records = ServerRecords()
    records.server_state("clamd", "a", up=True, why="")
    records.canary_passed("clamd", "a")
    records.signatures("clamd", "a", 27700, 5.0)
    first = records.of("clamd", "a")
    assert (first.good, first.version, first.published) == (True, 27700, 5.0)
    assert not records.of("clamd", "b").good
    assert not records.of("other", "a").good
