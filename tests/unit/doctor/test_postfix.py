"""`check` and `doctor` on a host with Postfix."""

from pathlib import Path

import pytest

from miltscan.config.settings import Settings
from miltscan.core.finding import Level
from miltscan.doctor import steps
from miltscan.doctor.postfix import postfix_finding
from miltscan.doctor.steps import DoctorOptions, examine


@pytest.mark.parametrize(
    ("files", "found"),
    [((), False), (("main.cf",), True), (("incoming.cf",), False), (("main.cf", "incoming.cf"), False)],
)
def test_postfix_is_recognized(tmp_path: Path, files: tuple[str, ...], *, found: bool) -> None:
    """The configuration of Postfix counts unless there is one of sendmail."""
    for name in files:
        (tmp_path / name).touch()
    finding = postfix_finding(tmp_path / "incoming.cf", tmp_path / "main.cf")
    assert (finding is not None) == found
    if finding:
        assert finding.level is Level.OK
        assert "this host runs Postfix: only the milter side is checked" in finding.text


@pytest.mark.parametrize(("recipient", "last"), [(None, "engines and folders"), ("postmaster", "two messages")])
def test_doctor_checks_only_the_milter_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipient: str | None, last: str
) -> None:
    """No step is about a sendmail, one finding has the reason, and --send reports that it sends nothing."""
    (tmp_path / "main.cf").touch()
    monkeypatch.setattr(steps, "postfix_finding", lambda incoming: postfix_finding(incoming, tmp_path / "main.cf"))
    monkeypatch.setattr("miltscan.doctor.check.check_findings", lambda _, **__: iter(()))
    monkeypatch.setattr(steps, "access_findings", lambda _: iter(()))
    done = [*examine(Settings(), DoctorOptions(tmp_path / "no.cf", tmp_path / "none.cf", recipient))]
    titles = [step.title for step in done]
    assert titles[:3] == ["host", "miltscan", "engines and folders"]
    assert titles[-1] == last
    assert sum("Postfix" in finding.text for step in done for finding in step.findings) == 1
