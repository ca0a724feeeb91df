"""The rules: from the facts of both .cf files to findings."""

import pytest

from miltscan.config.load import parse_settings as settings
from miltscan.config.settings import Settings
from miltscan.core.address import parse_address
from miltscan.core.finding import Finding, Level
from miltscan.doctor import daemon_rules, filter_rules, mailer_rules
from miltscan.doctor.mailer_rules import Program, Tcp
from miltscan.sandwich.cf import CfFile, Filter
from tests.unit.doctor.support import DELIVERY, INCOMING, bad, cf, only

SIGNED = settings(
    b"[milter]\nsocket = 'unix:/run/miltscan/other.sock'\n[verify]\nsocket = 'unix:/run/miltscan/miltscan.sock'", "f"
)
BS = "P=/usr/sbin/sendmail, F=mDFMuXk, A=sendmail -bs -C/etc/mail/delivery.cf"


def of_filter(incoming: CfFile, ours: Settings | None = None) -> list[Finding]:
    """The findings about the filter of an incoming sendmail."""
    settings_used = ours or Settings()
    return [*filter_rules.filter_findings("incoming.cf", incoming, settings_used.milter.socket, settings_used.limits)]


def test_our_own_files_have_no_fault() -> None:
    """A correct sandwich has no fault, and each rule reports what it found."""
    incoming, delivery = cf(INCOMING), cf(DELIVERY)
    found = [
        *of_filter(incoming),
        *filter_rules.delivery_filter_findings("delivery.cf", delivery, Settings()),
        *mailer_rules.incoming_findings("incoming.cf", incoming, {19000}, "/etc/mail/delivery.cf"),
        *mailer_rules.delivery_mailer_findings("delivery.cf", delivery, {25}),
        *daemon_rules.daemon_findings("incoming.cf", incoming),
        *daemon_rules.daemon_findings("delivery.cf", delivery),
        *daemon_rules.delivery_daemon_findings("delivery.cf", delivery),
        *daemon_rules.shared_findings(incoming, delivery),
    ]
    assert bad(found) == []
    assert len(found) > 15


@pytest.mark.parametrize(
    ("old", "new", "level", "words"),
    [
        ("F=T, ", "", "error", "fail-open"),
        ("F=T", "F=R", "error", "sendmail rejects all mail"),
        ("F=T", "F=4", "", ""),
        ("F=T", "F=X", "error", "sendmail supports T, R and 4"),
        ("E:5m", "E:70s", "error", "E:70s is not above limits.queue_wait + limits.scan_timeout = 70s"),
        ("E:5m", "E:71s", "", ""),
        ("E:5m", "E:10m", "warning", "the client gives up after ten minutes"),
        ("R:30s", "R:4s", "error", "R:4s is too short"),
        ("R:30s", "R:5s", "", ""),
        ("C:10s", "C:61s", "warning", "each client waits this long"),
        ("C:10s;", "", "warning", "C:300s"),
        (", T=C:10s;S:30s;R:30s;E:5m", ", T=C:1m", "", ""),
        ("{client_addr}", "{client_ptr}", "error", "{client_addr} is not sent by connect"),
        ("{auth_type}", "{auth_ssf}", "error", "{auth_type} is not sent by envfrom"),
        ("{rcpt_mailer}", "{rcpt_host}", "error", "{rcpt_mailer} is not sent by envrcpt"),
        ("eom={msg_id}", "eom=i", "error", "{msg_id} is not sent by eom"),
        ("envfrom=i, ", "envfrom=", "error", "i is not sent by eom"),
        ("O Milter.macros.eom={msg_id}", "O Milter.macros.eom=\nO Milter.macros.eoh={msg_id}", "", ""),
    ],
)
def test_the_filter(old: str, new: str, level: str, words: str) -> None:
    """F=, T= and macros each have a rule; a macro may be sent earlier than needed."""
    assert only(of_filter(cf(INCOMING, (old, new))), level, words)
    assert only(filter_rules.delivery_filter_findings("delivery.cf", cf(INCOMING, (old, new)), SIGNED), level, words)


def test_each_filter_line_of_miltscan_counts() -> None:
    """A second daemon may use another X line, here one without F=."""
    second = "O DaemonPortOptions=Name=submission, Port=587, Listen=511, I=again\n"
    again = "Xagain, S=unix:/run/miltscan/miltscan.sock, T=C:10s;S:30s;R:30s;E:5m\n"
    conf = cf(f"{INCOMING}{second}{again}")
    assert only(of_filter(conf), "error", "filter again F=: none: while the filter is down all mail passes unscanned")


def test_longer_limits_need_a_longer_timeout() -> None:
    """E: of T= is compared with the sum of miltscan's own limits."""
    ours = settings(b"[limits]\nscan_timeout = '4m'\nqueue_wait = '50s'", "f")
    changed = cf(INCOMING, ("E:5m", "E:4m"))
    assert only(of_filter(changed, ours), "error", "limits.scan_timeout = 290s")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("S=unix:/run/miltscan/miltscan.sock", "S=unix:/run/other.sock"),
        ("S=unix:/run/miltscan/miltscan.sock", "S=inet:7357@127.0.0.1"),
        ("O InputMailFilters=miltscan\n", ""),
        ("Listen=511", "Listen=511, I=other"),
    ],
)
def test_a_daemon_that_does_not_ask(old: str, new: str) -> None:
    """Its mail passes unscanned, even if the filter has a correct X line."""
    found = bad(of_filter(cf(INCOMING, (old, new))))
    assert [(level, "mail passes unscanned" in text) for level, text in found] == [("error", True)]


def test_an_unusable_socket_of_any_filter() -> None:
    """One cause is one finding, also for another filter's S=, because sendmail reads all X lines when it starts."""
    broken = ("S=unix:/run/miltscan/miltscan.sock", "S=nonsense")
    assert only(of_filter(cf(INCOMING, broken)), "error", "filter miltscan S=: nonsense: sendmail starts, but cannot")
    assert only(
        of_filter(cf(f"{INCOMING}Xother, S=inet:1@::1, F=T\n")), "error", "filter other S=: inet:1@::1: sendmail"
    )
    assert only(of_filter(cf(f"{INCOMING}Xother, S=nonsense, F=T\n")), "", "")
    delivery = cf(f"{DELIVERY}Xother, S=inet:1@::1, F=T\n")
    assert only(filter_rules.delivery_filter_findings("delivery.cf", delivery, Settings()), "error", "filter other S=")


def test_a_socket_that_sendmail_cannot_reach() -> None:
    """A remedy is never a line with which sendmail does not start."""
    ours = settings(b"[milter]\nsocket = 'inet:7357@fe80::1%eth0'", "f")
    found = [one for one in of_filter(cf(INCOMING), ours) if one.level is not Level.OK]
    assert ["choose a socket that sendmail can use" in one.remedy for one in found] == [True]


def test_a_delivery_side_that_does_not_ask() -> None:
    """With verify.socket a client of its port must not bypass the scan."""
    (found,) = bad(filter_rules.delivery_filter_findings("delivery.cf", cf(DELIVERY), SIGNED))
    assert found[0] == "error"
    assert "mail passes unscanned" in found[1]
    assert (
        bad(filter_rules.delivery_filter_findings("delivery.cf", cf(INCOMING, ("F=T, ", "")), Settings()))[0][0]
        == "error"
    )


@pytest.mark.parametrize(
    ("there", "ours", "same"),
    [
        ("local:/run/a", "unix:/run/a", True),
        ("unix:/run/a", "unix:/run/b", False),
        ("inet:7357@localhost", "inet:7357@127.0.0.1", True),
        ("inet:7358@localhost", "inet:7357@127.0.0.1", False),
        ("inet:7357@scanner.example.org", "unix:/run/a", True),
        ("inet:7357@127.0.0.1", "inet:7357@::1", False),
        ("inet:7357@127.0.0.1", "inet:7357@::", True),
        ("inet:7357@0.0.0.0", "inet:7357@127.0.0.1", True),
        ("inet6:7357@::1", "inet:7357@::1", True),
        ("inet6:7357@::1", "inet:7357@0.0.0.0", False),
        ("", "unix:/run/a", False),
    ],
)
def test_filters_that_lead_to_miltscan(there: str, ours: str, *, same: bool) -> None:
    """A filter on another host counts as miltscan, as a proxy may be in between."""
    assert filter_rules.reaches(Filter("a", there, "T", {}), parse_address(ours)) is same


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Mesmtp,\t\tP=[IPC], F=mDFMuXak", "Mesmtp,\t\tP=[IPC], F=mDFMuXa", "Mesmtp: F=mDFMuXa has no k"),
        ("F=klsDFMAw5", "F=kflsDFMAw5", "Mlocal: F=kflsDFMAw5:/|@qmnX has f"),
        ("F=mDFMuX8k, A=TCP [127.0.0.1] 19000", "F=mDFMuX8k, A=TCP $h", "Msmtp8: P=[IPC], A=TCP $h: sends"),
        ("F=mDFMuXa%k, A=TCP [127.0.0.1] 19000", "F=mDFMuXa%k, A=TCP [127.0.0.1] 18000", "Mdsmtp: P=[IPC], A=TCP"),
        ("F=mDFMuXa8k, A=TCP [127.0.0.1] 19000", "F=mDFMuXa8k, A=IPC [127.0.0.1]", "port 25, but the delivery"),
        ("F=mDFMuXa8k, A=TCP [127.0.0.1] 19000", "F=mDFMuXa8k", "delivers by itself"),
        ("Msmtp,\t\tP=[IPC]", "Msmtp,\t\tP=/bin/uux", "Msmtp: P=/bin/uux, A=TCP [127.0.0.1] 19000: delivers by"),
        ("P=[IPC], F=klsDFMAw5", "P=/bin/x, F=kflsDFMAw5", "Mlocal: P=/bin/x, A=TCP [127.0.0.1] 19000: delivers by"),
        ("Mrelay,", "Mother,", "Mrelay: this mailer does not exist"),
        ("P=[IPC], F=mDFMuXk, A=TCP [127.0.0.1] 19000", BS, ""),
        ("P=[IPC], F=mDFMuXk, A=TCP [127.0.0.1] 19000", BS.replace("-C/etc/mail/delivery.cf", ""), "its default file"),
        ("P=[IPC], F=mDFMuXk, A=TCP [127.0.0.1] 19000", BS.replace("-C", "-C "), ""),
    ],
)
def test_mailers_of_incoming(old: str, new: str, words: str) -> None:
    """Each mailer must lead to the delivery sendmail, by its port or as a program."""
    conf = cf(INCOMING, (old, new))
    assert only(mailer_rules.incoming_findings("incoming.cf", conf, {19000}, "/etc/mail/delivery.cf"), "error", words)


def test_a_delivery_sendmail_of_another_host_may_have_any_port() -> None:
    """Its .cf file is on the other host, so its port is not compared."""
    assert (
        bad(mailer_rules.incoming_findings("incoming.cf", cf(INCOMING, ("[127.0.0.1]", "[192.0.2.1]")), set(), "d"))
        == []
    )


def test_the_target_of_incoming() -> None:
    """The delivery sendmail is where most mailers bring mail."""
    tcp = Tcp("[127.0.0.1]", "19000")
    assert mailer_rules.target(cf(INCOMING, ("Mrelay,\t\tP=[IPC]", "Mrelay,\t\tP=/bin/x"))) == tcp
    assert tcp.local
    assert mailer_rules.target(cf(INCOMING, ("[IPC]", "/usr/sbin/sendmail"), ("TCP", "sendmail -bs -Cd"))) == Program(
        "d"
    )
    assert mailer_rules.target(cf("")) is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("A=TCP smart.example.org", "A=TCP [127.0.0.1] 25", "Mrelay: A=TCP [127.0.0.1] 25: hands mail back"),
        ("A=TCP smart.example.org", "A=TCP localhost 19000", "a loop"),
        ("A=TCP smart.example.org", "A=TCP [127.0.0.1] 2525", ""),
        ("F=mDFMuXak", "F=mDFMuXa", "Mesmtp: F=mDFMuXa has no k"),
        ("F=lsDFMAw5", "F=flsDFMAw5", ""),
    ],
)
def test_mailers_of_delivery(old: str, new: str, words: str) -> None:
    """No mailer may lead back; a local mailer that is a program may have any flags."""
    assert only(mailer_rules.delivery_mailer_findings("delivery.cf", cf(DELIVERY, (old, new)), {25}), "error", words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (", Listen=511", "", "Listen=10"),
        ("Listen=511", "Listen=100", ""),
        ("SuperSafe=PostMilter", "SuperSafe=True", ""),
        ("SuperSafe=PostMilter", "SuperSafe=False", "a crash loses mail"),
        ("SuperSafe=PostMilter", "SuperSafe=interactive", "a crash loses mail"),
        ("SuperSafe=PostMilter", "SuperSafe=interactive\nO DeliveryMode=queueonly", "a crash loses mail"),
        ("SuperSafe=PostMilter", "SuperSafe=interactive\nO DeliveryMode=interactive", ""),
    ],
)
def test_daemons(old: str, new: str, words: str) -> None:
    """A daemon needs room for a burst of connections and a queue that survives a crash."""
    assert only(daemon_rules.daemon_findings("incoming.cf", cf(INCOMING, (old, new))), "error", words)


@pytest.mark.parametrize(("address", "words"), [("::1", ""), ("192.0.2.1", "192.0.2.1"), ("::", "all addresses")])
def test_the_address_of_delivery(address: str, words: str) -> None:
    """An address for other hosts is a warning, as its clients bypass the scan."""
    conf = cf(DELIVERY, ("Addr=127.0.0.1", f"Addr={address}"))
    assert only(daemon_rules.delivery_daemon_findings("delivery.cf", conf), "warning", words)


def test_a_queue_among_those_of_the_other() -> None:
    """A pattern of one that matches the queue of the other is an error, in both directions."""
    incoming = cf(INCOMING, ("/var/spool/mqueue", "/var/spool/mq*"))
    assert only(daemon_rules.shared_findings(incoming, cf(DELIVERY)), "error", "belongs to both")


def test_a_delivery_sendmail_with_a_list_may_listen_to_others() -> None:
    """The list refuses all other clients with 550."""
    conf = cf(DELIVERY.replace("Addr=127.0.0.1, ", "") + "C{DeliveryFrom}127.0.0.1 192.0.2\nC{DeliveryFrom}10.1.1.1\n")
    (found,) = daemon_rules.delivery_daemon_findings("delivery.cf", conf)
    assert (found.level, found.text) == (Level.OK, "accepts only 127.0.0.1, 192.0.2, 10.1.1.1")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("mqueuedelivery", "mqueue/", "belongs to both"),
        ("mqueuedelivery", "mq*", "belongs to both"),
        ("/run/delivery.pid", "/run/incoming.pid", "both write /run/incoming.pid"),
        ("Port=19000", "Port=25", "both listen on port 25"),
    ],
)
def test_what_both_must_not_share(old: str, new: str, words: str) -> None:
    """A common queue, pid file or port is an error."""
    found = [*daemon_rules.shared_findings(cf(INCOMING), cf(DELIVERY, (old, new)))]
    assert only(found, "error", words)
    assert Level.ERROR in {one.level for one in found}
