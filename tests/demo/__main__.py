"""Shows miltscan at work between two real sendmails: `make demo`, `KEEP=1 make demo`, `make demo-stop`.

Everything runs on loopback, in a folder of this checkout, where a later demonstration finds this one if it was left
running or killed; that of another checkout stays. The exit status is 0 only if every message ended as expected.
"""

import os
import shutil
import sys
from collections import Counter
from hashlib import blake2b
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.demo.steps import Row, Stage
from tests.harness import messages, milter_settings, ports
from tests.harness.ending import end_recorded
from tests.harness.processes import PATIENCE, ProgramError, wait_until
from tests.harness.programs import CHECKOUT, MissingProgramError
from tests.harness.prometheus import Prometheus
from tests.harness.sandwich import Sandwich

# the path of a unix socket is short, so the folder has a digest in place of the path of the checkout
FOLDER = Path(f"/var/lib/miltscan-demo-{blake2b(str(CHECKOUT).encode(), digest_size=4).hexdigest()}")
_WIDTH = 100
_MILTSCAN = Path(sys.executable).with_name("miltscan")
_RUN_QUEUE = "15s"
_RULES = CHECKOUT / "deploy" / "prometheus"

screen = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False, markup=False)


def main() -> int:
    """Return the exit status."""
    if "stop" in sys.argv[1:]:
        return stop()
    clear()
    FOLDER.mkdir(mode=0o755)
    try:
        return show(keep=bool(os.environ.get("KEEP")))
    except (ProgramError, MissingProgramError) as error:
        screen.print(f"The demonstration cannot continue: {error}", style="bold red")
        return 1


def stop() -> int:
    """End a demonstration that KEEP=1 left running."""
    ended = clear()
    screen.print(f"Ended: {', '.join(ended)}." if ended else "No demonstration was running.")
    return 0


def clear() -> list[str]:
    """End an earlier demonstration and remove its folder; return the names of the programs that ran."""
    ended = end_recorded(FOLDER) if FOLDER.exists() else []
    shutil.rmtree(FOLDER, ignore_errors=True)
    return ended


def show(*, keep: bool) -> int:
    """Run the sandwich, send messages, and print the results; with `keep` it stays running."""
    socket = FOLDER / "run" / "miltscan.sock"
    with Sandwich(FOLDER, socket, 2525, 19000, _RUN_QUEUE) as sandwich:
        exporter = ports.choose(9464)
        stage = _stage(sandwich, exporter.number)
        _print_notes([*sandwich.notes, exporter.note])
        rows = list(stage.rows())
        _print_rows(rows)
        _print_metrics(stage.moved())
        result = _print_result(rows)
        if keep:
            _print_addresses(sandwich, exporter.number, _start_prometheus(sandwich, exporter.number))
            sandwich.keep()
    _print_status_page(exporter.number, keep=keep)
    if not keep:
        shutil.rmtree(FOLDER)
    return result


def _start_prometheus(sandwich: Sandwich, port: int) -> Prometheus | None:
    """Start Prometheus with the rules of deploy/, its target up; None if Debian's package is not installed."""
    try:
        prometheus = Prometheus.start(sandwich.programs, port, rules=sorted(_RULES.glob("miltscan.*.yml")))
    except MissingProgramError:
        return None
    wait_until(lambda: prometheus.query("up") == [1.0], PATIENCE, "a scrape by Prometheus")
    return prometheus


def _print_status_page(port: int, *, keep: bool) -> None:
    how = "" if keep else "   (now ended; `KEEP=1 make demo` keeps it running)"
    screen.print(f"Status page: http://127.0.0.1:{port}/{how}", soft_wrap=True)


def _stage(sandwich: Sandwich, port: int) -> Stage:
    clamd = sandwich.start_clamd()
    queues = f"""
[queues]
incoming = "{FOLDER}/mqueue"
delivery = "{FOLDER}/mqueuedelivery"
incoming_port = {sandwich.incoming.port}
delivery_port = {sandwich.delivery.port}
interval = "5s"
"""
    settings = milter_settings.write(FOLDER, f"unix:{clamd.socket}", port, queues)
    stage = Stage(sandwich, clamd, sandwich.start_milter([_MILTSCAN, "run", "--config", settings]), port)
    stage.wait_ready()
    return stage


def _print_notes(notes: list[str | None]) -> None:
    for note in filter(None, notes):
        screen.print(f"NOTE: {note}", style="bold yellow")


def _print_rows(rows: list[Row]) -> None:
    table = Table(title="The client's reply, and where the message ended", show_lines=True)
    widths = {"message": 17, "reply to the client": 30, "queue IDs": 14, "X-Virus-Status": 8, "ended at": 8, "ok": 4}
    for heading, width in widths.items():
        table.add_column(heading, overflow="fold", width=width)
    for row in rows:
        expected = "yes" if row.good else f"NO: {row.expected}"
        ids = f"{row.incoming}\n{row.delivery}".strip()
        table.add_row(
            row.title, row.reply, ids, row.header, row.ended, expected, style=None if row.good else "bold red"
        )
    screen.print(table)


def _print_metrics(moved: Counter[str]) -> None:
    table = Table("metric", "change", title="Counters that changed")
    for name, step in sorted(moved.items()):
        table.add_row(name, f"+{step}")
    screen.print(table)


def _print_addresses(sandwich: Sandwich, port: int, prometheus: Prometheus | None) -> None:
    incoming, delivery = sandwich.incoming.port, sandwich.delivery.port
    screen.print(f"Left running in {FOLDER}; `make demo-stop` ends it.")
    screen.print("Try it (package swaks); the second message is refused:")
    for title, mail in (("clean", messages.message("A clean message")), ("virus", messages.infected())):
        file = FOLDER / f"{title}.eml"
        file.write_bytes(messages.as_wire(mail))
        screen.print(
            f"  swaks --server 127.0.0.1:{incoming} --from a@example.org --to b@example.test --data @{file}",
            soft_wrap=True,
        )
    for name, where in (
        ("status page", f"http://127.0.0.1:{port}/"),
        ("in a terminal", f"{_MILTSCAN} status --config {FOLDER}/miltscan.toml"),
        ("metrics", f"http://127.0.0.1:{port}/metrics   also /healthz and /readyz"),
        ("Prometheus", _prometheus_address(prometheus)),
        ("Grafana", _grafana_address(prometheus)),
        ("incoming sendmail", f"127.0.0.1:{incoming}"),
        ("delivery sendmail", f"127.0.0.1:{delivery}"),
        ("mailbox", f"{sandwich.mailbox.maildir}/new"),
        ("log of miltscan", f"{FOLDER}/milter.log"),
        ("log of sendmail", str(sandwich.syslog.file)),
    ):
        screen.print(f"  {name:18} {where}", soft_wrap=True)


def _prometheus_address(prometheus: Prometheus | None) -> str:
    if prometheus is None:
        return "not installed (package prometheus), so not started"
    return f"http://127.0.0.1:{prometheus.port}/alerts   with the rules of deploy/prometheus"


def _grafana_address(prometheus: Prometheus | None) -> str:
    if prometheus is None or not (shutil.which("grafana") or shutil.which("grafana-server")):
        return "not installed"
    return (
        f"http://127.0.0.1:3000/dashboard/import   takes {CHECKOUT}/deploy/grafana/dashboards/miltscan.json; "
        f"its data source is http://127.0.0.1:{prometheus.port}"
    )


def _print_result(rows: list[Row]) -> int:
    wrong = [row for row in rows if not row.good]
    if wrong:
        screen.print(f"{len(wrong)} of {len(rows)} messages did not end as expected.", style="bold red")
        return 1
    screen.print(f"All {len(rows)} messages ended as expected.", style="bold green")
    return 0


if __name__ == "__main__":
    os.chdir(CHECKOUT)
    sys.exit(main())
