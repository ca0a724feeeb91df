"""What `check` finds about the files and maps that rules name."""

from pathlib import Path

from miltscan.config.load import parse_settings
from miltscan.core.finding import Level
from miltscan.doctor.source_check import source_findings


def test_sources(tmp_path: Path) -> None:
    """Each one that cannot be read is an error with a remedy; without any there is nothing to say."""
    assert list(source_findings(parse_settings(b"", "f"))) == []
    rule = (
        f'[policy]\naccess_map = "text:{tmp_path}/access"\n[[rule]]\nname = "r"\naction = "accept"\n'
        f'when = {{ sender = ["file:{tmp_path}/senders", "access:Scan"] }}\n'
    )
    settings = parse_settings(rule.encode(), "f")
    found = list(source_findings(settings))
    assert [one.level for one in found] == [Level.ERROR, Level.ERROR]
    assert [one.remedy for one in found] == ["create it, or change the rule"] * 2
    (tmp_path / "senders").write_text("@a.example\n")
    (tmp_path / "access").write_text("Scan:b.example\tOK\n")
    (ok,) = source_findings(settings)
    assert (ok.level, "access:Scan, file:" in ok.text) == (Level.OK, True)
