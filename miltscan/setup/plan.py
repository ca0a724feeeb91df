"""The plan of `miltscan setup`: from the facts of a host to steps. It looks at nothing and changes nothing.

Each step is in the plan only if the host is not yet as it should be, so a second setup has an empty plan, and one that
was interrupted goes on. The order keeps the promises: the distribution's sendmail serves port 25 until miltscan, clamd
and the delivery sendmail are ready; then incoming takes over, and clients that connect in the meantime try again.
"""

import re
from collections.abc import Iterator
from pathlib import PurePath

from miltscan.doctor.clamd_limits import clamd_servers
from miltscan.sandwich.cf import parse_cf
from miltscan.setup.changes import Awaited, Change, RunProgram, WaitFor, WriteFile, command
from miltscan.setup.clamd_conf import clamd_text
from miltscan.setup.facts import (
    ALIASES,
    CLAMD,
    CLAMD_CONF,
    CLAMD_SOCKET,
    OWN_MC,
    READ_AT_START,
    SANDWICH,
    SENDMAIL,
    SITE,
    SOCKET,
    TARGET,
    UNITS,
    HostFacts,
    is_local,
)
from miltscan.setup.site_m4 import same_build

_ALIAS = "postmaster: root"
_SCANNER_PATIENCE = 900.0  # seconds: freshclam downloads some 100 MB, clamd loads them in a minute
_DELIVERY, _MILTSCAN, *_AFTER = SANDWICH
_INCOMING, _INCOMING_QUEUE, _DELIVERY_QUEUE, _SUBMIT_QUEUE = _AFTER
_OWN_SOCKET = "unix:/run/miltscan/miltscan.sock"


def obstacles(facts: HostFacts) -> list[str]:
    """What setup cannot change, a line each with what to do; empty if the plan can be made."""
    found = []
    if facts.missing:
        found.append(f"missing packages: run: apt-get install {' '.join(facts.missing)}")
    if not facts.units[_MILTSCAN].loaded:
        found.append("the units of miltscan are not installed: run: make install, or install the package")
    if uses_clamd(facts) and not facts.units[CLAMD].loaded:
        found.append("clamd.servers names a clamd of this host, which has none: run: apt-get install clamav-daemon")
    if not is_local(facts.settings):
        found.append(f"milter.socket = {facts.settings.milter.socket} is not a socket of this host: docs/machines.md")
    file = facts.units[SENDMAIL].file
    if file.startswith(f"{UNITS}/") and facts.units[SENDMAIL].enabled != "masked":
        found.append(f"{file} is this host's own unit, which cannot be masked: stop the service and move the file away")
    return found


def uses_clamd(facts: HostFacts) -> bool:
    """Whether a clamd of this host scans."""
    return any(server.is_loopback for _, server in clamd_servers(facts.settings))


def setup_plan(facts: HostFacts) -> list[Change]:
    """The steps, in order."""
    files = [*_clamd_files(facts), *_files(facts)]
    written = {one.path for one in files}
    scanner, takeover = [*_scanner(facts, written)], [*_takeover(facts, written)]
    ready: list[Change] = []
    if uses_clamd(facts) and (scanner or takeover):
        why = "until then the host accepts mail as before. freshclam loads signatures, clamd then needs a minute"
        ready.append(WaitFor(Awaited.SCANNER, why, _SCANNER_PATIENCE))
    return [*files, *_preparations(facts, written), *scanner, *ready, *takeover]


def notes(facts: HostFacts) -> Iterator[str]:
    """What a person should know before the answer."""
    if facts.own_mc:
        yield f"Both sendmails are built from {OWN_MC}: AUTH, TLS and checks of that file stay in use."
    else:
        yield f"Both sendmails are built from {SITE}."
    incoming = parse_cf(facts.built["/etc/mail/incoming.cf"].decode(errors="replace"))
    places = (f"port {one.port} of {one.address or 'all addresses'}" for one in incoming.daemons)
    yield f"Incoming listens on {', '.join(places)}."
    if uses_clamd(facts):
        yield "Afterwards only root and group smmsp may connect to clamd. If other programs use it, add their users."
    if facts.waiting and not facts.units[_INCOMING].active:
        text = "Messages in the queue were accepted without miltscan, and will be delivered unscanned"
        yield f"{text}: {facts.waiting}."


def _clamd_files(facts: HostFacts) -> Iterator[WriteFile]:
    if not uses_clamd(facts):
        return
    present = facts.files.get(CLAMD_CONF, b"").decode(errors="surrogateescape")
    text = clamd_text(present, facts.clamd_example, facts.settings).encode(errors="surrogateescape")
    why = "by Debian's settings clamd reports OK for what it did not scan"
    yield from _write(facts, CLAMD_CONF, text, why)


def _files(facts: HostFacts) -> Iterator[WriteFile]:
    for path, content in facts.distributed.items():
        if "clamav" not in path:
            yield from _write(facts, path, content, "the folders of both sendmails, at each boot")
        elif uses_clamd(facts):
            why = "the temporary folder of clamd" if "tmpfiles" in path else "clamd: restart after a failure, access"
            yield from _write(facts, path, content, why)
    if facts.site:
        yield from _write(facts, SITE, facts.site, "the settings of both sendmails")
    for path, content in facts.built.items():
        if not same_build(facts.files.get(path, b""), content):
            yield WriteFile(path, content, f"the {'delivery' if 'delivery' in path else 'incoming'} sendmail")
    aliases = facts.files.get(ALIASES, b"").decode(errors="surrogateescape")
    if not re.search(r"^postmaster\s*:", aliases, re.IGNORECASE | re.MULTILINE):
        text = "".join(f"{line}\n" for line in [*aliases.splitlines(), _ALIAS])
        why = "each mail server must accept mail to postmaster (RFC 5321 section 4.5.1)"
        yield WriteFile(ALIASES, text.encode(errors="surrogateescape"), why, _ALIAS)


def _write(facts: HostFacts, path: str, content: bytes, why: str) -> Iterator[WriteFile]:
    if facts.files.get(path) != content:
        yield WriteFile(path, content, why)


def _preparations(facts: HostFacts, written: set[str]) -> Iterator[RunProgram]:
    if any(path.startswith(UNITS) for path in written) or any(unit.stale for unit in facts.units.values()):
        yield command("systemctl", "daemon-reload", why="systemd reads the changed units")
    tables = [PurePath(path).name for path in facts.distributed if "tmpfiles" in path]
    tables = [name for name in tables if uses_clamd(facts) or "clamav" not in name]
    if facts.folders or any("tmpfiles" in path for path in written):
        yield command("systemd-tmpfiles", "--create", *tables, why="makes the folders", folders=facts.folders)
    changed, built = (facts.changed.get(path, 0.0) for path in (ALIASES, f"{ALIASES}.db"))
    if ALIASES in written or changed > built:
        yield command("newaliases", why="sendmail reads the built table", files=(f"{ALIASES}.db",))


def _scanner(facts: HostFacts, written: set[str]) -> Iterator[RunProgram]:
    if not uses_clamd(facts):
        return
    files = [CLAMD_CONF, *(path for path in facts.distributed if "/clamav-daemon." in path)]
    if _outdated(facts, CLAMD, files, written):
        yield command(
            "systemctl", "restart", CLAMD_SOCKET, CLAMD, why="clamd reads its settings", units=(CLAMD_SOCKET, CLAMD)
        )


def _takeover(facts: HostFacts, written: set[str]) -> Iterator[RunProgram]:
    units = facts.units
    socket_fits = str(facts.settings.milter.socket) == _OWN_SOCKET and not units[_MILTSCAN].active
    if socket_fits and not units[SOCKET].active:
        why = "keeps miltscan's socket open while miltscan restarts, so that no mail is refused"
        yield command("systemctl", "enable", "--now", SOCKET, why=why, units=(SOCKET,))
    if _outdated(facts, _DELIVERY, ["/etc/mail/delivery.cf", "/etc/mail/delivery.start", *READ_AT_START], written):
        pair = (_DELIVERY, _DELIVERY_QUEUE)
        yield command("systemctl", "restart", *pair, why="the delivery sendmail, port 19000", units=pair)
    if not units[_MILTSCAN].active:
        yield command("systemctl", "start", _MILTSCAN, why="ready before the first message comes", units=(_MILTSCAN,))
    if units[SENDMAIL].enabled != "masked" and units[SENDMAIL].loaded:
        why = "it would accept mail unscanned. From here until incoming runs, clients find port 25 closed and try again"
        yield command("systemctl", "mask", "--now", SENDMAIL, why=why, units=(SENDMAIL,))
    if _outdated(facts, _INCOMING, ["/etc/mail/incoming.cf", "/etc/mail/incoming.start", *READ_AT_START], written):
        pair = (_INCOMING, _INCOMING_QUEUE)
        yield command(
            "systemctl", "restart", *pair, why="the incoming sendmail: from here on mail is scanned", units=pair
        )
    target = units[TARGET]
    others = (_DELIVERY_QUEUE, _INCOMING_QUEUE, _SUBMIT_QUEUE)
    if target.enabled != "enabled" or not target.active or not all(units[name].active for name in others):
        why = "starts all parts at each boot"
        yield command("systemctl", "enable", "--now", TARGET, why=why, units=(TARGET, *others))


def _outdated(facts: HostFacts, unit: str, files: list[str], written: set[str]) -> bool:
    """Whether a unit does not run, or runs with former content of these files."""
    latest = max((facts.changed.get(path, 0.0) for path in files), default=0.0)
    state = facts.units[unit]
    return not state.active or state.since < latest or not written.isdisjoint(files)
