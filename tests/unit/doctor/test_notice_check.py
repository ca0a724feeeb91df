"""Findings about notices and summaries."""

from pathlib import Path
from typing import Any

from miltscan.config.settings import Settings
from miltscan.core.finding import Level
from miltscan.doctor.notice_check import notice_findings


def lines(**tables: Any) -> list[str]:  # noqa: ANN401 - tables of a configuration
    """The findings about these settings."""
    return [str(finding) for finding in notice_findings(Settings.model_validate(tables))]


def area(**keys: str) -> dict[str, Any]:
    """Settings with one area."""
    return {"area": {"macros": keys}}


def test_nothing_to_find() -> None:
    """Without mails, or with all that they need, there is no finding."""
    assert lines() == []
    assert lines(quarantine=area(notice="recipients")) == []
    assert lines(quarantine=area(notice="both"), notice={"administrators": ["root@example.org"]}) == []


def test_no_administrator() -> None:
    """Mails for administrators that do not exist are found."""
    for keys in ({"notice": "administrators"}, {"summary": "both"}):
        assert lines(quarantine=area(**keys)) == [
            (
                "warning  notice.administrators: the area macros has mails for administrators, but the list is empty; "
                "add an address"
            )
        ]


def test_templates(tmp_path: Path) -> None:
    """Each template that cannot be used is named, with the line in it."""
    notice = {"templates": str(tmp_path)}
    assert lines(notice={"templates": str(tmp_path / "none")}) == [
        (
            f"warning  notice.templates: {tmp_path}/none is not a folder; "
            "create it, or set notice.templates to an empty string"
        )
    ]
    assert lines(notice=notice) == [
        (
            f"warning  notice.templates: {tmp_path} has none of notice.txt, notice.html, summary.txt, summary.html, "
            "late.txt, late.html, frame.html; add one of these files"
        )
    ]
    (tmp_path / "notice.txt").write_text("Subject: x\n\nx\n")
    assert lines(notice=notice) == [f"ok       notice.templates: notice.txt in {tmp_path} can be used"]
    (tmp_path / "summary.html").write_text("\n{{ mail.nothing }}")
    found = [*notice_findings(Settings.model_validate({"notice": notice}))]
    assert [finding.level for finding in found] == [Level.WARNING]
    assert found[0].text.startswith(f"{tmp_path}/summary.html")
    assert "has no attribute 'nothing'" in found[0].text
    assert found[0].remedy == "correct it; until then the template of miltscan is used"
