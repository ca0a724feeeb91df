"""What sendmail/ builds from a site's settings or adds to the site's own sendmail.mc; no sendmail runs here."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.harness import cf, programs
from tests.harness.programs import CHECKOUT

SENDMAIL = CHECKOUT / "sendmail"
CF_DIR = programs.data("/usr/share/sendmail/cf")
HANDOFF = ["smtp", "esmtp", "smtp8", "dsmtp", "relay", "local"]
SITE = """\
define(`SITE_DOMAIN', `example.org example.net')dnl
define(`SITE_RELAY_DOMAINS', `192.0.2 partner.example')dnl
define(`SITE_LISTEN', `192.0.2.1 2001:db8::1')dnl
define(`SITE_MESSAGE_SIZE', `52428800')dnl
define(`SITE_DELIVERY_HOST', `[192.0.2.25]')dnl
define(`SITE_DELIVERY_PORT', `19001')dnl
define(`SITE_DELIVERY_FROM', `192.0.2.10 IPv6:2001:db8::10')dnl
define(`SITE_MILTER', `inet:8894@192.0.2.20')dnl
define(`SITE_INCOMING_QUEUE', `/queues/in')dnl
define(`SITE_DELIVERY_QUEUE', `/queues/out')dnl
define(`SITE_CERTIFICATE', `/tls/server.crt')dnl
define(`SITE_KEY', `/tls/server.key')dnl
define(`SITE_CA', `/tls/ca.crt')dnl
define(`SITE_AUTH', `on')dnl
define(`SITE_AUTH_MECHANISMS', `SCRAM-SHA-256 PLAIN')dnl
define(`SITE_SMART_HOST', `[relay.example.net]')dnl
"""
OWN = """\
define(`_USE_ETC_MAIL_')dnl
include(CF_DIR`/m4/cf.m4')dnl
OSTYPE(`debian')dnl
DOMAIN(`debian-mta')dnl
FEATURE(`no_default_msa')dnl
DAEMON_OPTIONS(`Family=inet, Name=MTA-v4, Port=smtp')dnl
DAEMON_OPTIONS(`Family=inet, Name=MSP-v4, Port=submission, M=Ea')dnl
define(`confCONNECTION_RATE_THROTTLE', `15')dnl
define(`confMAX_MESSAGE_SIZE', `20000000')dnl
FEATURE(`use_cw_file')dnl
FEATURE(`access_db', , `skip')dnl
FEATURE(`greet_pause', `1000')dnl
FEATURE(`dnsbl', `dnsbl.example')dnl
FEATURE(`delay_checks', `friend', `n')dnl
FEATURE(`conncontrol', `nodelay', `terminate')dnl
FEATURE(`ratecontrol', `nodelay', `terminate')dnl
FEATURE(`local_procmail')dnl
INPUT_MAIL_FILTER(`opendkim', `S=unix:/run/opendkim.sock, F=T')dnl
"""
MAILERS = "MAILER_DEFINITIONS\nMAILER(`local')dnl\nMAILER(`smtp')dnl\n"


def make(folder: Path, *variables: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """The call of make that the README shows to an administrator."""
    command = ["make", "--silent", "-C", str(SENDMAIL), f"OUT={folder}", f"CF_DIR={CF_DIR}", *variables]
    return subprocess.run(command, check=check, capture_output=True, text=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both .cf files of SITE."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "site.m4").write_text(SITE)
    assert make(folder, f"SITE={folder}/site.m4").stderr == ""
    return folder


@pytest.mark.parametrize(
    "line",
    [
        "C{w}example.org example.net",
        "C{R}192.0.2 partner.example",
        "O QueueDirectory=/queues/in",
        "O DaemonPortOptions=Family=inet, Name=incoming, Addr=192.0.2.1, Port=25, Listen=511",
        "O DaemonPortOptions=Family=inet6, Name=incoming2, Addr=2001:db8::1, Port=25, Listen=511",
        "O MaxMessageSize=52428800",
        "F{P}-o /etc/mail/local-host-names %[^\\#]",
        "C{P}example.org example.net",
        "Xmiltscan, S=inet:8894@192.0.2.20, F=T, T=C:10s;S:30s;R:30s;E:5m",
        "O ServerCertFile=/tls/server.crt",
        "O ServerKeyFile=/tls/server.key",
        "O CACertFile=/tls/ca.crt",
        "O AuthMechanisms=SCRAM-SHA-256 PLAIN",
        "O AuthOptions=A p y",
        "C{TrustAuthMech}SCRAM-SHA-256 PLAIN",
        "Kaccess hash -T<TMPF> -o /etc/mail/access",
        "Kvirtuser hash -o /etc/mail/virtusertable",
        "O AliasFile=/etc/mail/aliases",
        "O SuperSafe=PostMilter",
        "O TrustedUser=smmta",
    ],
)
def test_a_setting_is_in_incoming(built: Path, line: str) -> None:
    """Each setting of the local file, and what the site has in /etc/mail, stands in incoming.cf."""
    assert line in (built / "incoming.cf").read_text().splitlines()


@pytest.mark.parametrize(
    "line",
    [
        "C{w}example.org example.net",
        "C{R}192.0.2.10 IPv6:2001:db8::10 192.0.2.20",
        "C{DeliveryFrom}192.0.2.10 IPv6:2001:db8::10 192.0.2.20",
        "O QueueDirectory=/queues/out",
        "O PidFile=/run/sendmail/mta/delivery.pid",
        "O Timeout.ident=0",
        "O TrustedUser=smmta",
        "O DaemonPortOptions=Family=inet, Name=delivery, Addr=127.0.0.1, Port=19001, M=AS, Listen=511",
        "DS[relay.example.net]",
        "Kmailertable hash -o /etc/mail/mailertable",
        "Kvirtuser hash -o /etc/mail/virtusertable",
        "O AliasFile=/etc/mail/aliases",
    ],
)
def test_a_setting_is_in_delivery(built: Path, line: str) -> None:
    """Each setting of the local file, and what the site has in /etc/mail, stands in delivery.cf."""
    assert line in (built / "delivery.cf").read_text().splitlines()


@pytest.mark.parametrize("side", ["incoming", "delivery"])
def test_local_host_names_are_kept(built: Path, side: str) -> None:
    """In addition to SITE_DOMAIN, the site's file of local names counts on both sides."""
    assert re.search(r"^Fw-o /etc/mail/local-host-names ", (built / f"{side}.cf").read_text(), re.MULTILINE)


def test_the_example_builds(tmp_path: Path) -> None:
    """With every line of site.example.m4 switched on, m4 reports nothing."""
    switched_on = (SENDMAIL / "site.example.m4").read_text().replace("dnl define(", "define(")
    (tmp_path / "site.m4").write_text(switched_on)
    assert switched_on.count("\ndefine(") > 8
    assert make(tmp_path, f"SITE={tmp_path}/site.m4").stderr == ""


@pytest.mark.parametrize("port", [25, 465, 587])
def test_delivery_takes_no_port_of_the_internet(tmp_path: Path, port: int) -> None:
    """A mistake in the port is an error that names it, and delivery.cf is not made."""
    made = make(tmp_path, f"SITE_DELIVERY_PORT={port}", check=False)
    assert made.returncode != 0
    assert f"SITE_DELIVERY_PORT: {port} is a port of the incoming sendmail" in made.stderr
    assert not (tmp_path / "delivery.cf").exists()


PROFILES = [
    ("default", "incoming", "DeliveryMode", ["background"]),
    ("default", "incoming", "QueueSortOrder", []),
    ("default", "incoming", "MinQueueAge", []),
    ("default", "incoming", "SuperSafe", ["PostMilter"]),
    ("default", "delivery", "DeliveryMode", ["background"]),
    ("default", "delivery", "SuperSafe", ["True"]),
    ("burst", "incoming", "DeliveryMode", ["queueonly"]),
    ("burst", "incoming", "QueueSortOrder", ["filename"]),
    ("burst", "incoming", "MinQueueAge", ["1m"]),
    ("burst", "incoming", "SuperSafe", ["PostMilter"]),
    ("burst", "delivery", "DeliveryMode", ["background"]),
    ("burst", "delivery", "MinQueueAge", []),
    ("burst", "delivery", "SuperSafe", ["True"]),
]


@pytest.mark.parametrize(("profile", "side", "option", "values"), PROFILES)
def test_a_profile_sets(tmp_path: Path, profile: str, side: str, option: str, values: list[str]) -> None:
    """Each profile sets its options, and neither lets sendmail reply 250 before the message is on disk."""
    make(tmp_path, f"SITE_PROFILE={profile}")
    assert cf.options(tmp_path / f"{side}.cf", option) == values


@pytest.mark.parametrize(
    ("variables", "side", "group", "interval"),
    [
        ([], "incoming", "Qmqueue, F=f, R=8", "5m"),
        ([], "delivery", "Qmqueue, F=f, R=8", "5m"),
        (["SITE_PROFILE=burst"], "incoming", "Qmqueue, F=f, R=16, N=13", "p1s"),
        (["SITE_PROFILE=burst"], "delivery", "Qmqueue, F=f, R=16, N=13", "5m"),
        (["SITE_PROFILE=burst", "SITE_RUNNERS=24"], "incoming", "Qmqueue, F=f, R=24, N=13", "p1s"),
    ],
)
def test_runners_and_interval(tmp_path: Path, variables: list[str], side: str, group: str, interval: str) -> None:
    """The runners stand in the .cf file, and how often they run in the file next to it."""
    make(tmp_path, *variables)
    assert group in (tmp_path / f"{side}.cf").read_text().splitlines()
    assert f"QUEUE_INTERVAL={interval}" in (tmp_path / f"{side}.start").read_text().splitlines()


@pytest.mark.parametrize(
    ("profile", "side", "nice"), [("default", "delivery", 0), ("burst", "delivery", 13), ("burst", "incoming", 0)]
)
def test_priority(tmp_path: Path, profile: str, side: str, nice: int) -> None:
    """In a burst the processes that answer clients have priority over those that deliver."""
    make(tmp_path, f"SITE_PROFILE={profile}")
    assert f"NICE={nice}" in (tmp_path / f"{side}.start").read_text().splitlines()


def test_a_misspelt_profile_is_an_error(tmp_path: Path) -> None:
    """A misspelt profile is an error, because it would be the default profile unnoticed."""
    made = make(tmp_path, "SITE_PROFILE=brst", check=False)
    assert made.returncode != 0
    assert "SITE_PROFILE: brst is none of: default, burst" in made.stderr
    assert not (tmp_path / "incoming.cf").exists()


@pytest.mark.parametrize("name", ["SITE_MILTER", "SITE_DELIVERY_MILTER"])
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("inet:1@::1", "an IPv6 address requires inet6:PORT@ADDRESS"),
        ("inet:1@[::1]", "write the address without brackets"),
        ("inet6:1@[::1]", "write the address without brackets"),
    ],
)
def test_a_milter_address_that_sendmail_does_not_take(tmp_path: Path, name: str, spec: str, words: str) -> None:
    """The build names the mistake, because sendmail would not start or would tempfail all mail."""
    made = make(tmp_path, f"{name}={spec}", check=False)
    assert made.returncode != 0
    assert f"{name}: {spec}: {words}\n" in made.stderr


@pytest.mark.parametrize(
    ("variables", "hosts"),
    [
        ([], "127.0.0.1"),
        (["SITE_MILTER=inet:10025@192.0.2.11"], "127.0.0.1 192.0.2.11"),
        (["SITE_MILTER=inet:10025@127.0.0.1"], "127.0.0.1"),
        (["SITE_MILTER=inet6:10025@2001:db8::11"], "127.0.0.1 IPv6:2001:db8::11"),
        (["SITE_MILTER=inet6:10025@::1"], "127.0.0.1"),
        (["SITE_MILTER=inet:10025@scanner.example"], "127.0.0.1"),
        (["SITE_MILTER=inet:1@192.0.2.11", "SITE_SCANNERS=192.0.2.12"], "127.0.0.1 192.0.2.12"),
    ],
)
def test_delivery_admits_the_scanner(tmp_path: Path, variables: list[str], hosts: str) -> None:
    """Releases come from the scanner's host, whose address SITE_MILTER or SITE_SCANNERS names."""
    make(tmp_path, *variables)
    classes = re.findall(r"^C\{(?:DeliveryFrom|R)\}(.*)", (tmp_path / "delivery.cf").read_text(), re.MULTILINE)
    assert [names.strip() for names in classes] == [hosts, hosts]


def test_a_queue_group_of_the_site_stays(tmp_path: Path) -> None:
    """The site's own queue group stays; sendmail refuses two of one name."""
    (tmp_path / "incoming.mc").write_text(
        f"{OWN}QUEUE_GROUP(`mqueue', `P=/queues/in, R=3, F=f')dnl\n"
        f"include(`{SENDMAIL}/miltscan-incoming.m4')dnl\n{MAILERS}"
    )
    command = ["m4", f"-DCF_DIR={CF_DIR}", str(tmp_path / "incoming.mc")]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    assert re.findall(r"^Q.*", made.stdout, re.MULTILINE) == ["Qmqueue, P=/queues/in, R=3, F=f"]


@pytest.mark.parametrize(
    ("variables", "limits"),
    [
        (["SITE_CPUS=4"], [("128", "256"), ("256", "256"), ("0", "0")]),
        (["SITE_REFUSE_LA=10"], [("10", "20"), ("20", "20"), ("0", "0")]),
        (["SITE_REFUSE_LA=0", "SITE_CPUS=2", "SITE_DELAY_LA=7"], [("0", "0"), ("128", "128"), ("7", "0")]),
    ],
)
def test_load_limits(tmp_path: Path, variables: list[str], limits: list[tuple[str, str]]) -> None:
    """Delivery refuses connections later than incoming, and both hand over what incoming accepted."""
    make(tmp_path, *variables)
    built = zip(*(_limits(tmp_path / f"{side}.cf") for side in ("incoming", "delivery")), strict=True)
    assert list(built) == limits


def _limits(configuration: Path) -> list[str]:
    return [cf.options(configuration, f"{name}LA")[0] for name in ("Refuse", "Queue", "Delay")]


def test_submission_requires_a_certificate(tmp_path: Path) -> None:
    """Without a certificate no password could be sent, so the build reports it."""
    made = make(tmp_path, "SITE_SUBMISSION=on", check=False)
    assert made.returncode != 0
    assert "SITE_SUBMISSION: requires SITE_CERTIFICATE and SITE_KEY" in made.stderr


def test_an_unknown_tls_version_is_an_error(tmp_path: Path) -> None:
    """A misspelt version would be no minimum at all."""
    made = make(tmp_path, "SITE_TLS_MINIMUM=1.4", check=False)
    assert made.returncode != 0
    assert "SITE_TLS_MINIMUM: 1.4 is none of" in made.stderr


def test_every_setting_is_in_the_readme() -> None:
    """The table lists what the m4 files read, and nothing else."""
    internal = {"CHECK_MILTER", "DAEMON", "DAEMONS", "DEFAULT", "HARDEN", "FILE", "HERE", "HANDOFF_ARGS"}
    internal |= {"PROGRAM_MAILER", "SCANNER_OF"}
    m4 = "".join(path.read_text() for path in [*SENDMAIL.glob("*.m4"), *SENDMAIL.glob("*.mc")])
    used = set(re.findall(r"\bSITE_([A-Z_]+)", m4)) - internal
    table = [line for line in (SENDMAIL / "README.md").read_text().splitlines() if line.startswith("| `SITE_")]
    assert used == set(re.findall(r"`SITE_([A-Z_]+)`", "".join(line.split("|")[1] for line in table)))


def own(folder: Path, side: str, before: str = "") -> Path:
    """The .cf of a site's own sendmail.mc with one line more, and what else it has `before` that."""
    mc, built = folder / f"{side}.mc", folder / f"{side}.cf"
    mc.write_text(f"{OWN}{before}include(`{SENDMAIL}/miltscan-{side}.m4')dnl\n{MAILERS}")
    made = subprocess.run(["m4", f"-DCF_DIR={CF_DIR}", mc], check=True, capture_output=True, text=True)
    assert made.stderr == ""
    built.write_text(made.stdout)
    return built


@pytest.mark.parametrize("name", HANDOFF)
def test_own_sendmail_mc_hands_over(tmp_path: Path, name: str) -> None:
    """One line makes every mailer of a site's own sendmail.mc connect to delivery; its procmail is not called here."""
    mailer = cf.mailers(own(tmp_path, "incoming"))[name]
    assert (mailer.program, mailer.arguments) == ("[IPC]", "TCP [127.0.0.1] 19000")
    assert "k" in mailer.flags
    assert name != "local" or not set("fP9S") & set(mailer.flags)


def test_own_sendmail_mc_keeps_what_it_has(tmp_path: Path) -> None:
    """A site's own sendmail.mc keeps its listeners, with a long backlog, its queue, its checks and its other filter."""
    built = own(tmp_path, "incoming")
    assert cf.options(built, "DaemonPortOptions") == [
        "Family=inet, Name=MTA-v4, Port=smtp, Listen=511",
        "Family=inet, Name=MSP-v4, Port=submission, M=Ea, Listen=511",
    ]
    assert cf.options(built, "InputMailFilters") == ["opendkim, miltscan"]
    assert cf.options(built, "QueueDirectory") == ["/var/spool/mqueue"]
    assert cf.options(built, "MaxMessageSize") == ["20000000"]
    assert "dnsbl.example" in built.read_text()


@pytest.mark.parametrize(
    ("option", "before", "incoming", "delivery"),
    [
        ("MaxHopCount", "", "100", "125"),
        ("MaxHopCount", "define(`confMAX_HOP', `30')dnl\n", "30", "55"),
        ("MaxHeadersLength", "", None, "65536"),
        ("MaxHeadersLength", "define(`confMAX_HEADERS_LENGTH', `100000')dnl\n", "100000", "132768"),
        ("MaxHeadersLength", "define(`confMAX_HEADERS_LENGTH', `0')dnl\n", "0", "0"),
    ],
)
def test_delivery_takes_more_than_incoming(
    tmp_path: Path, option: str, before: str, incoming: str | None, delivery: str
) -> None:
    """Delivery accepts everything that incoming accepts, because a rejection after incoming's 250 would be a bounce."""
    wanted = [] if incoming is None else [incoming]
    assert cf.options(own(tmp_path, "incoming", before), option) == wanted
    assert cf.options(own(tmp_path, "delivery", before), option) == [delivery]


def test_delivery_takes_more_than_sendmail_by_itself(built: Path) -> None:
    """Delivery accepts more than sendmail's default of 25 hops and 32 KB of header lines."""
    assert cf.options(built / "delivery.cf", "MaxHopCount") == ["50"]
    assert cf.options(built / "delivery.cf", "MaxHeadersLength") == ["65536"]


@pytest.mark.parametrize("name", HANDOFF)
def test_own_sendmail_mc_delivers(tmp_path: Path, name: str) -> None:
    """The same file with the other line is the delivery side: flag k, and its own local mailer as it was."""
    mailer = cf.mailers(own(tmp_path, "delivery"))[name]
    assert "k" in mailer.flags
    assert mailer.arguments == ("procmail -a $h -d $u" if name == "local" else "TCP $h")
    assert mailer.program == ("/usr/bin/procmail" if name == "local" else "[IPC]")


def test_own_sendmail_mc_as_delivery_serves_nobody_else(tmp_path: Path) -> None:
    """What belongs to port 25 is gone: listeners, filters, blocklists and limits."""
    built = own(tmp_path, "delivery")
    assert cf.options(built, "DaemonPortOptions") == [
        "Family=inet, Name=delivery, Addr=127.0.0.1, Port=19000, M=AS, Listen=511"
    ]
    assert cf.options(built, "QueueDirectory") == ["/var/spool/mqueuedelivery"]
    assert cf.options(built, "PidFile") == ["/run/sendmail/mta/delivery.pid"]
    assert [*cf.filters(built), *cf.options(built, "InputMailFilters")] == []
    assert cf.options(built, "ConnectionRateThrottle") == []
    assert cf.options(built, "MaxMessageSize") == []
    assert not re.findall(r"dnsbl\.example|RateControl|ConnControl", built.read_text())
