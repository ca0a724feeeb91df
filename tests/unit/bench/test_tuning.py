"""The benchmark of the burst: its messages, its table and its arguments; nothing is measured here."""

import pytest

from tests.bench import tuning
from tests.bench.burst import message
from tests.bench.tuning import Sample
from tests.bench.variants import VARIANTS


def test_messages_differ_and_have_their_size() -> None:
    """Messages differ, because clamd would answer repeated ones from its cache."""
    first, second = message(1), message(2)
    assert first != second
    assert 2_900 < len(first) < 3_300
    assert all(not line.startswith(b".") for line in first.split(b"\r\n"))


def test_the_table_compares_with_the_first_pair() -> None:
    """The table has medians and their ratio to the first pair; failures are added up."""
    slow, fast = Sample(50, 40, 20, 0, 0, 0), Sample(150, 60, 10, 1, 2, 3)
    *_, first, second = tuning.markdown({"a": [slow, slow], "b": [fast, fast]})
    assert first == "| a | 50 | 1.00 | 40 | 1.00 | 20.0 | 0 | 0 | 0 |"
    assert second == "| b | 150 | 3.00 | 60 | 1.50 | 10.0 | 2 | 4 | 6 |"


def test_an_unknown_variant_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown variant gives one line and the exit status 2."""
    with pytest.raises(SystemExit, match="2"):
        tuning.main(["bust"])
    assert "no such variant: bust" in capsys.readouterr().err


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """The help of the command has an example."""
    with pytest.raises(SystemExit, match="0"):
        tuning.main(["--help"])
    assert "Example: python -m tests.bench.tuning" in capsys.readouterr().out


def test_a_runner_that_stays_only_where_nothing_else_hands_over() -> None:
    """A pair with queue-only has a persistent queue runner; otherwise mail would wait five minutes."""
    runners = {name for name, variant in VARIANTS.items() if variant.incoming_runs == "p1s"}
    queue_only = {
        name for name, variant in VARIANTS.items() if variant.profile == "burst" or "queueonly" in variant.incoming
    }
    assert runners == queue_only
