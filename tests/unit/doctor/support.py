"""Small .cf files for the rules, a probe under which every server works, and how findings are compared."""

from collections.abc import Iterable

from miltscan.config.settings import Settings
from miltscan.core.finding import Finding, Level
from miltscan.engines.base import Observer
from miltscan.sandwich.cf import CfFile, parse_cf

DAY = 86400.0
NOW = 1_000_000_000.0
INCOMING = """\
# comment
O DaemonPortOptions=Family=inet, Name=incoming, Addr=0.0.0.0, Port=smtp, Listen=511
O QueueDirectory=/var/spool/mqueue
O SuperSafe=PostMilter
O PidFile=/run/incoming.pid
O InputMailFilters=miltscan
O Milter.macros.connect=j, _, {client_addr}
O Milter.macros.envfrom=i, {auth_type}
O Milter.macros.envrcpt={rcpt_mailer}
O Milter.macros.eom={msg_id}
Xmiltscan, S=unix:/run/miltscan/miltscan.sock, F=T, T=C:10s;S:30s;R:30s;E:5m
Mlocal,\t\tP=[IPC], F=klsDFMAw5:/|@qmnX, S=EnvFromL/HdrFromL, E=\\r\\n,
\t\tT=DNS/RFC822/SMTP,
\t\tA=TCP [127.0.0.1] 19000
Msmtp,\t\tP=[IPC], F=mDFMuXk, A=TCP [127.0.0.1] 19000
Mesmtp,\t\tP=[IPC], F=mDFMuXak, A=TCP [127.0.0.1] 19000
Msmtp8,\t\tP=[IPC], F=mDFMuX8k, A=TCP [127.0.0.1] 19000
Mdsmtp,\t\tP=[IPC], F=mDFMuXa%k, A=TCP [127.0.0.1] 19000
Mrelay,\t\tP=[IPC], F=mDFMuXa8k, A=TCP [127.0.0.1] 19000
"""
DELIVERY = """\
O DaemonPortOptions=Name=delivery, Addr=127.0.0.1, Port=19000, Listen=511
O QueueDirectory=/var/spool/mqueuedelivery
O PidFile=/run/delivery.pid
Mlocal, P=/usr/sbin/sensible-mda, F=lsDFMAw5:/|@qPn9S, A=sensible-mda $g $u $h
Mesmtp, P=[IPC], F=mDFMuXak, A=TCP $h
Mrelay, P=[IPC], F=mDFMuXa8k, A=TCP smart.example.org
"""


def works(settings: Settings, observer: Observer) -> None:
    """A probe that every server of every engine passes."""
    for engine in settings.engines:
        for server in map(str, engine.servers):
            observer.signatures(engine.name, server, 27000, NOW)
            observer.canary_passed(engine.name, server)
            observer.server_state(engine.name, server, up=True, why="")


def cf(text: str, *changes: tuple[str, str]) -> CfFile:
    """The configuration after replacements, each of which must find its text."""
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_cf(text)


def faults(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that are not ok; each of them has a remedy."""
    found = [finding for finding in findings if finding.level is not Level.OK]
    assert all(finding.remedy for finding in found)
    return found


def bad(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """Level and text of the findings that are not ok."""
    return [(finding.level.value, f"{finding.subject}: {finding.text}") for finding in faults(findings)]


def bad_subjects(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """Level and subject of the findings that are not ok."""
    return [(finding.level.value, finding.subject) for finding in faults(findings)]


def only(findings: Iterable[Finding], level: str, words: str) -> bool:
    """Whether exactly one finding is not ok, with this level and these words; without words, whether none is."""
    found = bad(findings)
    return not found if not words else [(level, words in text) for level, text in found] == [(level, True)]
