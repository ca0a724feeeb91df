"""The rules for where incoming listens: lost listeners, families of addresses, and SIZE."""

import pytest

from miltscan.config.load import parse_settings as settings
from miltscan.doctor.listener_rules import family_findings, lost_listener_findings, size_finding
from tests.unit.doctor.support import INCOMING, cf, only

DEBIAN = """\
O DaemonPortOptions=Family=inet,  Name=MTA-v4, Port=smtp, Addr=127.0.0.1
O DaemonPortOptions=Family=inet,  Name=MSP-v4, Port=submission, M=Ea, Addr=127.0.0.1
"""
IPV4 = "Family=inet, Name=incoming, Addr=0.0.0.0"
IPV6 = "Family=inet6, Name=incoming, Addr=::"
SECOND = "O DaemonPortOptions=Family=inet6, Name=second, Addr=::, Port=25, Listen=511\n"


@pytest.mark.parametrize(
    ("ours", "former", "words"),
    [
        ("", DEBIAN, "does not listen on IPv4 port 587, as /etc/mail/sendmail.cf does (daemon MSP-v4)"),
        ("O DaemonPortOptions=Name=submission, Port=587\n", DEBIAN, ""),
        ("", "O DaemonPortOptions=Family=inet6, Name=six, Addr=::, Port=25\n", "does not listen on IPv6 port 25"),
        (SECOND, "O DaemonPortOptions=Family=inet6, Name=six, Port=25\n", ""),
        ("", "O DaemonPortOptions=Name=old, Port=2525\n", "IPv4 port 2525"),
        ("O DaemonPortOptions=Family=inet6, Name=six, Addr=::, Port=2525\n", "O DaemonPortOptions=Port=2525\n", ""),
        (
            "O DaemonPortOptions=Family=inet6, Name=six, Addr=::1, Port=2525\n",
            "O DaemonPortOptions=Port=2525\n",
            "2525",
        ),
        ("", "", ""),
    ],
)
def test_lost_listeners(ours: str, former: str, words: str) -> None:
    """Where sendmail.cf listened and incoming.cf does not, clients are refused; :: includes IPv4."""
    found = lost_listener_findings("incoming.cf", cf(INCOMING + ours), cf(former), "/etc/mail/sendmail.cf")
    assert only(found, "warning" if words else "", words)


@pytest.mark.parametrize(
    ("first", "more", "has_ipv6", "ipv6_only", "words"),
    [
        (IPV4, "", True, False, ""),
        (IPV4, "", False, False, ""),
        (IPV6, "", True, False, ""),
        (IPV6, "", False, False, "this host's kernel has no IPv6: sendmail does not start"),
        (f"{IPV6}, M=O", "", False, False, ""),
        (IPV6, "", True, True, "refuses IPv4 clients"),
        (IPV4, SECOND, True, True, ""),
        (IPV4, SECOND, True, False, "daemon incoming finds port 25 in use, and sendmail waits 50 seconds"),
        ("Family=inet, Name=incoming, Addr=192.0.2.1", SECOND.replace("::", "2001:db8::1"), True, False, ""),
    ],
)
def test_families(first: str, more: str, *, has_ipv6: bool, ipv6_only: bool, words: str) -> None:
    """A daemon on :: requires IPv6, and is enough for both families unless the host separates them."""
    conf = cf(INCOMING + more, (IPV4, first))
    found = family_findings("incoming.cf", conf, has_ipv6=has_ipv6, ipv6_only=ipv6_only)
    assert only(found, "error" if words else "", words)


@pytest.mark.parametrize(
    ("option", "too_large", "words"),
    [
        ("O MaxMessageSize=1000000\n", "reject", ""),
        ("O MaxMessageSize=1000000\n", "tempfail", ""),
        ("", "reject", "none, but limits.message_size ="),
        ("O MaxMessageSize=0\n", "reject", "none, but"),
        ("O MaxMessageSize=999999\n", "reject", "999999, but limits.message_size ="),
        ("O MaxMessageSize=0\n", "accept", ""),
        ("O MaxMessageSize=1000001\n", "accept", ""),
        ("O MaxMessageSize=1000000\n", "accept", "1000000: sendmail rejects larger messages, although limits."),
    ],
)
def test_size(option: str, too_large: str, words: str) -> None:
    """Incoming announces as SIZE what miltscan accepts, and rejects nothing that miltscan lets pass."""
    text = f"[limits]\nmessage_size = 1000000\n[policy.on_unscanned]\ntoo_large = '{too_large}'"
    found = size_finding("incoming.cf", cf(INCOMING + option), settings(text.encode(), "f"))
    assert only([found], "warning" if words else "", words)
