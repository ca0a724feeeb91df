"""`make noxxi FOLDER=...`: how many infected messages are stopped, by clamd alone and with their structure read.

For a set of infected messages in broken MIME, such as the Maildir hide-content.d of the public project
noxxi/mime-is-broken, which is not part of this one. Prints the messages that are accepted; the exit status is 1 if
there are more than by clamd alone.
"""

import sys
from collections import Counter
from pathlib import Path

from miltscan.config.load import parse_settings
from miltscan.scanning.assemble import probed_pipeline
from miltscan.scanning.servers import ServerRecords
from miltscan.scanning.stored import scan_stored
from tests.harness.clamav import Clamd
from tests.harness.processes import Programs
from tests.harness.sandwich import private_folder

_SETTINGS = 'spool.directory = "{folder}"\nclamd.servers = ["unix:{clamd}"]\n[mime]\nread = {read}\nsample = 0\n'


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("expected a folder: make noxxi FOLDER=/path/to/mime-is-broken/hide-content.d", file=sys.stderr)  # noqa: T201
        return 2
    files = sorted(one for one in Path(arguments[0]).rglob("*") if one.is_file())
    with private_folder() as folder, Programs(folder) as programs:
        clamd = Clamd.prepare(programs, test_database=True)
        clamd.start()
        clamd.wait_ready()
        passed = {}
        for read in ("false", "true"):
            settings = parse_settings(_SETTINGS.format(folder=folder, clamd=clamd.socket, read=read).encode(), "bench")
            pipeline = probed_pipeline(settings, ServerRecords())
            reports = {}
            for file in files:
                with file.open("rb") as stream:
                    reports[file] = scan_stored(stream, settings, pipeline)
            passed[read] = [file for file in files if reports[file].decision.action.name == "accept"]
            outcomes = Counter(f"{one.verdict.outcome} ({one.decision.action.name})" for one in reports.values())
            shown = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common())
            print(f"mime.read = {read}: {shown}")  # noqa: T201 - the command's output
    print("\n".join(f"accepted: {file}" for file in passed["true"]))  # noqa: T201 - as above
    return int(len(passed["true"]) > len(passed["false"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
