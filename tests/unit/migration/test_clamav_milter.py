"""clamav-milter.conf: every option is known, and each of its values has a conversion."""

import gzip
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.config.load import parse_settings
from miltscan.core.clamav_conf import read_options
from miltscan.migration import clamav_milter
from miltscan.migration.clamav_milter import DEFAULTS, OPTIONS, draft_clamav_milter
from miltscan.migration.draft import Conversion, Fate
from miltscan.migration.render import as_files
from tests.harness import programs

MANUAL = programs.data("/usr/share/man/man5/clamav-milter.conf.5.gz")
SAMPLE = programs.data("/usr/share/doc/clamav-milter/examples/clamav-milter.conf.sample")
OF_THE_MANUAL = """
    Example MilterSocket MilterSocketGroup MilterSocketMode FixStaleSocket User ReadTimeout Foreground Chroot PidFile
    TemporaryDirectory ClamdSocket LocalNet AllowList SkipAuthenticated MaxFileSize OnClean OnInfected OnFail RejectMsg
    AddHeader ReportHostname VirusAction LogFile LogFileUnlock LogFileMaxSize LogTime LogSyslog LogFacility LogVerbose
    LogInfected LogClean SupportMultipleRecipients
"""


def fate_of(option: str, text: str) -> Conversion:
    """The conversion of the option in a file."""
    (row,) = [row for row in draft_clamav_milter(text).rows if row.given.split()[0] == option]
    return row.conversion


def settings_of(line: str) -> dict[str, object]:
    """The keys that this line sets."""
    return dict(fate_of(line.split(maxsplit=1)[0], line).settings)


def test_every_option_of_the_manual_is_known() -> None:
    """The options are in the order of clamav-milter.conf(5) of ClamAV 1.4; only the program knows three more."""
    assert [name for name in OPTIONS if name not in {"Whitelist", "LogRotate", "MaxThreads"}] == OF_THE_MANUAL.split()


@pytest.mark.skipif(not MANUAL.exists(), reason="clamav-milter's manual page is not installed")
def test_every_option_of_the_installed_manual_is_known() -> None:
    """A newer ClamAV may have more options, which this test names."""
    manual = gzip.decompress(MANUAL.read_bytes()).decode()
    names = re.findall(r"^\.TP\n\\fB([A-Z]\w+)(?: (?:STRING|BOOL|NUMBER|SIZE))?\\f[rR]$", manual, re.MULTILINE)
    options = [name for name in names if name not in {"BOOL", "STRING", "SIZE", "NUMBER"}]
    assert len(options) > 30
    assert [name for name in options if name not in OPTIONS] == []


@pytest.mark.skipif(not SAMPLE.exists(), reason="clamav-milter's sample is not installed")
def test_every_option_of_the_installed_sample_is_known() -> None:
    """The sample also has options that the manual page lacks."""
    names = re.findall(r"^#?([A-Z][A-Za-z]+)(?: \S.*)?$", SAMPLE.read_text(), re.MULTILINE)
    options = {name for name in names if f"#{name} " in SAMPLE.read_text() or f"\n{name}" in SAMPLE.read_text()}
    prose = {"Default", "To", "If", "This", "Possible", "Define", "Note", "Optional"}
    assert {"LogRotate", "MilterSocket"} <= options
    assert options - prose - OPTIONS.keys() == set()


def clamconf(folder: Path, text: str) -> dict[str, str]:
    """What ClamAV itself reads from this file, by option, without options that are off."""
    (folder / "clamav-milter.conf").write_text(text)
    shown = subprocess.run(
        [programs.find("clamconf"), "-c", folder], capture_output=True, text=True, check=False
    ).stdout
    part = shown.partition("Config file: clamav-milter.conf")[2].partition("Software settings")[0]
    return dict(re.findall(r'^(\w+) = "(.*?)"', part, re.MULTILINE))


def has_clamconf() -> bool:
    """Whether ClamAV's own reader is installed."""
    try:
        return bool(programs.find("clamconf"))
    except programs.MissingProgramError:
        return False


@pytest.mark.skipif(not has_clamconf(), reason="clamconf is not installed")
def test_the_defaults_are_those_of_clamav(tmp_path: Path) -> None:
    """For a file with the mandatory options only, clamconf prints the same defaults."""
    theirs = clamconf(tmp_path, "MilterSocket /a\nClamdSocket unix:/b\n")
    ours = {"MaxFileSize": str(100 * 2**20), "LogFileMaxSize": str(2**20)}
    on = {name: ours.get(name, value) for name, (value,) in DEFAULTS.items() if value != "no"}
    unused = {"MilterSocket", "ClamdSocket", "MaxThreads", "LogFacility", "AddHeader"}
    assert on == {name: value for name, value in theirs.items() if name not in unused}


@pytest.mark.skipif(not has_clamconf(), reason="clamconf is not installed")
def test_lines_are_read_as_clamav_reads_them(tmp_path: Path) -> None:
    """Blanks, tabs, quotes and repeated options are read as clamconf reads them."""
    text = '  PidFile\t"/a b"  \n# User x\nOnInfected Reject\nOnInfected Accept\nClamdSocket unix:/b\nMilterSocket /c\n'
    theirs = clamconf(tmp_path, text)
    ours = {name: values[0] for name, values in read_options(text).items()}
    assert {name: theirs[name] for name in ours} == ours


VALUES: list[tuple[str, dict[str, object]]] = [
    ("MilterSocket inet:7357@127.0.0.1", {"milter.socket": "inet:7357@127.0.0.1"}),
    ("MilterSocket inet6:7357@[::1]", {"milter.socket": "inet:7357@::1"}),
    ("MilterSocket inet6:7357@localhost", {"milter.socket": "inet:7357@::1"}),
    ("MilterSocket inet6:7357", {"milter.socket": "inet:7357@::"}),
    ("MilterSocket /run/a", {}),
    ("MilterSocket local:/run/a", {}),
    ("MilterSocketMode 0660", {"milter.socket_mode": "0660"}),
    ("ReadTimeout 300", {"limits.scan_timeout": "240s"}),
    ("ReadTimeout 30", {"limits.scan_timeout": "30s"}),
    ("ClamdSocket tcp:h", {"clamd.servers": ["inet:3310@h"]}),
    ("MaxFileSize 512K", {"limits.message_size": 2**19, "policy.on_unscanned.too_large": "accept"}),
    ("MaxFileSize 4G", {"limits.message_size": 2 * 10**9, "policy.on_unscanned.too_large": "accept"}),
    ("OnInfected Accept", {"policy.on_infected": "accept"}),
    ("OnInfected reject", {"policy.on_infected": "reject"}),
    ("OnInfected Defer", {"policy.on_infected": "tempfail"}),
    ("OnInfected Blackhole", {"policy.on_infected": "discard"}),
    ("OnInfected Quarantine", {"policy.on_infected": "quarantine"}),
    ("AddHeader Yes", {"headers.mode": "replace"}),
    ("AddHeader No", {"headers.mode": "none"}),
    ("LogVerbose 1", {"log.level": "debug"}),
]


def test_values() -> None:
    """Each line sets these keys."""
    assert [(line, found) for line, expected in VALUES if (found := settings_of(line)) != expected] == []


@pytest.mark.parametrize(
    "line",
    [
        "MilterSocket inet:0@a",
        "MilterSocket inet:7357@::1",
        "MilterSocket inet6:7357@127.0.0.1",
        "MilterSocket inet6:7357@scanner.example.test",
        "MilterSocket fd:3",
        "MilterSocketMode 9999",
        "ReadTimeout -1",
        "ClamdSocket tcp:a:b",
        "ClamdSocket /b",
        "MaxFileSize 0",
        "OnFail Maybe",
        "NoOption 1",
    ],
)
def test_what_is_not_understood_sets_nothing(line: str) -> None:
    """The report has the reason, and miltscan's default stays."""
    conversion = fate_of(line.split(maxsplit=1)[0], line)
    assert (conversion.fate, dict(conversion.settings), bool(conversion.why)) == (Fate.UNKNOWN, {}, True)


def test_defaults_that_differ_are_taken_over() -> None:
    """An empty file means clamav-milter's defaults, not miltscan's."""
    settings = draft_clamav_milter("").settings
    assert (settings["policy.on_infected"], settings["headers.mode"]) == ("quarantine", "none")


WORDS = st.sampled_from(
    [*OPTIONS, "unix:/a", "tcp:h:1", "inet:1@h", "Reject", "5M", "yes", '"', "\x1b[2J", "\n", "\t", "#", "'"]
)


@given(st.lists(WORDS | st.text(max_size=8), max_size=20))
def test_any_text_leads_to_a_configuration_that_loads(words: list[str]) -> None:
    """No text breaks the reader, the TOML or a terminal, and each option has a row."""
    made = draft_clamav_milter(" ".join(words))
    files = as_files(made, "f")
    parse_settings(files["miltscan.toml"].encode(), "f")
    assert all(character.isprintable() or character == "\n" for character in files["differences.txt"])
    assert {row.given.split()[0] for row in made.rows if row.given} >= clamav_milter.OPTIONS.keys()
