"""`status`: the line at the top of the status page, as text, JSON, or the result of a Nagios plugin."""

# ruff: noqa: D301  a real \b keeps the lines of an example

import sys
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from miltscan.commands.common import Config, exit_on_error
from miltscan.commands.report import print_finding
from miltscan.commands.terminal import clear_screen, complain, say, say_json
from miltscan.config.load import load_settings
from miltscan.config.settings import Settings
from miltscan.core.finding import Finding, Level
from miltscan.errors import MiltscanError
from miltscan.exporter.reader import NoStatusError, read_status
from miltscan.status.plugin import STATES, UNKNOWN, plugin_lines

_PAUSE = 3.0  # seconds, as in the page
_INTERRUPTED = 130
_LEFT_OUT = {"plots", "configuration"}  # of the JSON: what no assessment needs


def show_status(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    plugin: Annotated[
        bool, typer.Option("--plugin", help="Print and exit as a plugin of Nagios or Icinga, with performance data.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Print it every three seconds, until Ctrl-C.")] = False,
    config: Config = None,
) -> None:
    """Show whether mail is being scanned, and what to repair.

    It is what the status page shows at its top, from the running service; `doctor` examines the host. The exit status
    is 0 if everything is ok, else 1. With --plugin it is 0 (ok), 1 (warning), 2 (critical) or 3 (unknown).

    \b
    Examples:
      miltscan status
      miltscan status --watch
      miltscan status --json | jq -r '.assessment.findings[] | .subject + ": " + .remedy'
      miltscan status --plugin
    """
    if plugin:
        raise typer.Exit(_as_plugin(config))
    with exit_on_error():
        settings = load_settings(config)
    try:
        while True:
            answer = _answer(settings)
            if watch and sys.stdout.isatty():
                clear_screen()
            if json:
                say_json(
                    {key: part for key, part in answer.items() if key not in _LEFT_OUT}, indent=None if watch else 2
                )
            else:
                _print(answer)
            if not watch:
                raise typer.Exit(int(answer["assessment"]["level"] != Level.OK))
            time.sleep(_PAUSE)
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None


def _answer(settings: Settings) -> Mapping[str, Any]:
    """Return the content of the page; of a service that does not answer only why."""
    try:
        return read_status(settings.exporter)
    except NoStatusError as problem:
        found = problem.finding
        shown = {"level": found.level, "subject": found.subject, "text": found.text, "remedy": found.remedy}
        text = "Unknown whether mail is being scanned: miltscan gives no status"
        assessment = {"level": Level.ERROR, "text": text, "details": [found.line], "findings": [shown]}
        return {"at": time.time(), "assessment": assessment}


def _as_plugin(config: Config) -> int:
    try:
        settings = load_settings(config)
    except MiltscanError as error:
        say("MILTSCAN UNKNOWN - the configuration cannot be read")
        complain(str(error))
        return UNKNOWN
    answer = _answer(settings)
    say("\n".join(plugin_lines(answer, settings)))
    return STATES[Level(answer["assessment"]["level"])][0]


def _print(answer: Mapping[str, Any]) -> None:
    assessment = answer["assessment"]
    began = assessment.get("since")
    say(f"{assessment['level']:7}  {assessment['text']}{_since(began)}", assessment["level"])
    for one in assessment["findings"]:
        since = "" if one.get("since") == began else _since(one.get("since"))
        print_finding(Finding(Level(one["level"]), one["subject"], f"{one['text']}{since}", one["remedy"]))
    if "now" in answer:
        say(f"now      {_now(answer)}")
        say(f"service  miltscan {answer['version']} on {answer['host']}, {_clock(answer['at'])}")


def _since(began: float | None) -> str:
    return "" if began is None else f" (since {_clock(began)})"


def _now(answer: Mapping[str, Any]) -> str:
    now, outcomes = answer["now"], answer["totals"]["outcomes"]
    rate, slow = now["rate"], now["p95"]
    queues = [f"{one['queue']} queue {_count(one['entries'])}" for one in answer["queues"]]
    parts = [
        "mail not measured yet" if rate is None else f"{60 * rate:.3g} messages a minute",
        "no latency yet" if slow is None else f"latency p95 {1000 * slow:.3g} ms",
        *queues,
        f"since the start: {', '.join(f'{name} {count:g}' for name, count in outcomes.items() if count) or 'no mail'}",
    ]
    return "; ".join(parts)


def _count(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g}"


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
