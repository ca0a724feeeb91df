"""The settings of relay scanners: the conversions of their values, and the values that are refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.config.load import parse_settings
from miltscan.migration import interscan, relay
from miltscan.migration.draft import Fate, Rule, convert
from miltscan.migration.ini import IniEntry, read_ini
from miltscan.migration.render import as_files


@pytest.mark.parametrize(
    ("value", "hosts"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("127.0.0.1;127.0.0.1, 192.0.2.9", "127.0.0.1 192.0.2.9"),
        ("192.0.2.0/24", "192.0.2"),
        ("192.0.2.77/24", "192.0.2"),
        ("10.0.0.0/8", "10"),
        ("10.1.*", "10.1"),
        ("10.*", "10"),
        ("192.168.2.0:255.255.255.0", "192.168.2"),
        ("192.0.2.8/30", "192.0.2.8 192.0.2.9 192.0.2.10 192.0.2.11"),
        ("172.16.0.0/15", "172.16 172.17"),
        ("2001:db8::25", "IPv6:2001:db8::25"),
    ],
)
def test_clients_are_named_as_sendmail_names_them(value: str, hosts: str) -> None:
    """A client is a complete address or the leading octets of a network."""
    assert convert(relay.clients, [value]).site == {"SITE_DELIVERY_FROM": hosts}


@pytest.mark.parametrize(
    ("value", "site"),
    [
        ("localhost 19000", {"SITE_DELIVERY_HOST": "[127.0.0.1]", "SITE_DELIVERY_PORT": "19000"}),
        ("127.0.0.1:19000", {"SITE_DELIVERY_HOST": "[127.0.0.1]", "SITE_DELIVERY_PORT": "19000"}),
        ("localhost.localdomain", {"SITE_DELIVERY_HOST": "[127.0.0.1]"}),
        ("[::1]", {"SITE_DELIVERY_HOST": "[127.0.0.1]"}),
        ("localhost-2.example.test", {"SITE_DELIVERY_HOST": "[localhost-2.example.test]"}),
        ("127.example.test", {"SITE_DELIVERY_HOST": "[127.example.test]"}),
        ("mail.example.test", {"SITE_DELIVERY_HOST": "[mail.example.test]"}),
        ("192.0.2.1", {"SITE_DELIVERY_HOST": "[192.0.2.1]", "SITE_DELIVERY_LISTEN": "192.0.2.1"}),
        ("[2001:db8::1]:19000", {"SITE_DELIVERY_HOST": "[IPv6:2001:db8::1]", "SITE_DELIVERY_PORT": "19000"}),
        (
            "/usr/sbin/sendmail -C /etc/mail/d.cf -bs",
            {
                "SITE_HANDOFF": "program",
                "SITE_DELIVERY_PROGRAM": "/usr/sbin/sendmail",
                "SITE_DELIVERY_CF": "/etc/mail/d.cf",
            },
        ),
        ("/usr/lib/sendmail -bs", {"SITE_HANDOFF": "program", "SITE_DELIVERY_PROGRAM": "/usr/lib/sendmail"}),
    ],
)
def test_the_next_server_is_delivery(value: str, site: dict[str, str]) -> None:
    """The next server may be a TCP address or a program."""
    assert convert(relay.downstream, [value]).site == site


NOT_UNDERSTOOD: list[tuple[Rule, str]] = [
    (relay.clients, ""),
    (relay.clients, "all"),
    (relay.clients, "*"),
    (relay.clients, "0.0.0.0/0"),
    (relay.clients, "192.0.2.0/25"),
    (relay.clients, "1.2.3.4.5.*"),
    (relay.clients, "2001:db8::/32"),
    (relay.clients, "2001::db8::1"),
    (relay.downstream, "mail.example.test 25"),
    (relay.downstream, "mail.example.test 99999"),
    (relay.downstream, "a'b 19000"),
    (relay.downstream, "/usr/lib/sendmail -t"),
    (relay.downstream, "/usr/lib/send'mail' -bs -C`x'"),
    (relay.downstream, "/bin/a'b -bs"),
    (relay.downstream, "/bin/a(b) -bs"),
    (relay.downstream, ""),
    (relay.downstream_port, "smtp"),
    (relay.port, "0"),
    (relay.message_size, "30"),
    (relay.message_size, "0"),
    (relay.message_size, "1T"),
    (relay.message_size, "900G"),
]


def test_what_is_not_understood_sets_nothing() -> None:
    """Such a value has one reason and no setting; no value contains m4's special characters."""
    conversions = [(value, convert(rule, [value])) for rule, value in NOT_UNDERSTOOD]
    wrong = [
        (value, made)
        for value, made in conversions
        if made.fate is not Fate.UNKNOWN or made.site or made.settings or not made.why
    ]
    assert wrong == []


def test_entries_know_their_section() -> None:
    """Comments and lines without an entry are left out."""
    text = '; a=1\nPort = "1"\n# b=2\n[ SMTP ]\nport=2\njunk\nx=a=b\n'
    assert [*read_ini(text)] == [IniEntry("", "port", "1"), IniEntry("smtp", "port", "2"), IniEntry("smtp", "x", "a=b")]


def test_the_keys_of_another_service_are_not_read() -> None:
    """HTTP has keys with the same names, whose values are not in the report."""
    made = interscan.draft_intscan(
        "[http]\noriginal=proxy.example.test 19001\n[smtp]\noriginal=localhost 19000\nsecret=x1y\n"
    )
    assert made.site["SITE_DELIVERY_PORT"] == "19000"
    unread = [(row.given, row.conversion.why) for row in made.rows if row.conversion.fate is Fate.UNREAD]
    assert unread == [("[http]", "original"), ("[smtp]", "secret")]


def test_the_first_of_two_equal_keys_counts() -> None:
    """The second one is listed as not read."""
    made = interscan.draft_imss("[smtp]\nsmtp_port=1\nsmtp_port=2\n")
    assert [row.given for row in made.rows] == ["smtp_port = 1", "[smtp]"]


NAMES = [*interscan.IMSS_KEYS, *interscan.INTSCAN_KEYS]


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.text(max_size=30)), max_size=8))
def test_any_value_leads_to_files_that_load(entries: list[tuple[str, str]]) -> None:
    """No value leaves the quotes of m4, or breaks the TOML or a terminal."""
    text = "[smtp]\n" + "\n".join(f"{key}={value}" for key, value in entries)
    for draft in (interscan.draft_imss, interscan.draft_intscan):
        files = as_files(draft(text), "f")
        parse_settings(files["miltscan.toml"].encode(), "f")
        defines = files["site.m4"].splitlines()[2:]
        assert all(re.fullmatch(r"define\(`SITE_[A-Z]+(_[A-Z]+)*', `[\w./:@\[\] -]+'\)dnl", line) for line in defines)
        assert all(character.isprintable() or character == "\n" for character in files["differences.txt"])
