"""The benchmark of the quarantine with few entries: every part runs, and a missed target changes the exit status."""

from pathlib import Path

import pytest

from tests.bench import entries, puts, quarantine
from tests.bench.puts import Puts
from tests.bench.quarantine import Amounts, Finding


def test_puts_are_compared_with_the_bare_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both rates and their ratio are reported; the ratio has the target."""
    monkeypatch.setattr(quarantine, "Puts", lambda: Puts(messages=8, threads=2))
    found = [*quarantine.stored(tmp_path, Amounts(entries=0, rounds=2))]
    assert [one.aim for one in found] == ["", "", ">= 0.5"]
    assert len([*(tmp_path / "puts 1" / "new").iterdir()]) == len([*(tmp_path / "bare 1").iterdir()]) == 8


@pytest.mark.parametrize(("ours", "missed"), [(49.0, True), (50.0, False)])
def test_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: float, missed: bool) -> None:  # noqa: FBT001 - the expected result
    """Half the bare rate is enough."""
    monkeypatch.setattr(puts, "bare", lambda *_: 100.0)
    monkeypatch.setattr(puts, "quarantined", lambda *_: ours)
    assert [*quarantine.stored(tmp_path, Amounts(0, 1))][-1].missed is missed


def test_many_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each query has a row, and expiry its own."""
    monkeypatch.setattr(entries, "_PUTS", 2)
    found = [*quarantine.held(tmp_path, Amounts(entries=40, rounds=1))]
    assert len(found) == len(entries.QUERIES) + 6
    assert len({one.what for one in found}) == len(found)
    assert not any(one.missed for one in found)


@pytest.mark.parametrize(("missed", "status"), [(True, 1), (False, 0)])
def test_the_exit_status(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    missed: bool,  # noqa: FBT001 - a case
    status: int,
) -> None:
    """It is 1 if a target is missed; the table goes to the page that is named."""
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- result -->\n<!-- end of result -->\nb\n")
    monkeypatch.setattr(quarantine, "PARTS", {"one": lambda *_: iter([Finding("what", "1", "> 2", missed)])})
    assert quarantine.main(["--document", str(page)]) == status
    assert ("| what | 1 | > 2 **MISSED** |" in capsys.readouterr().out) is missed
    assert "| what | 1 | > 2" in page.read_text()
