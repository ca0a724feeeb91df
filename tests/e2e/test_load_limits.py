"""The load limits of sendmail, with a load average of the test: who refuses, what is handed over, who reports it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from miltscan.doctor.load_rules import title_findings
from miltscan.doctor.running import title_of
from tests.harness import ports
from tests.harness.client import new_message_id, text_message
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import Sandwich, private_folder
from tests.harness.sendmail import Sendmail

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file over /proc/loadavg")

REFUSE = 20
ABOVE = REFUSE + 5


class LoadedSendmail(Sendmail):
    """A sendmail that reads its load from a file in its folder."""

    def command(self, *arguments: str) -> list[str]:
        """The command in a mount namespace of its own, where that file covers /proc/loadavg."""
        script = 'mount --bind "$0" /proc/loadavg && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, str(self.load), *super().command(*arguments)]

    @property
    def load(self) -> Path:
        """The file."""
        return self.programs.folder / "loadavg"


@dataclass(frozen=True)
class Loaded:
    """A sandwich and its load."""

    sandwich: Sandwich
    load: Path

    def set(self, average: float) -> None:
        """Both sendmails read this load average from now on."""
        self.load.write_text(f"{average:.2f} 0.00 0.00 1/100 1000\n")


@pytest.fixture
def loaded() -> Iterator[Loaded]:
    """A sandwich with the limits of a build for REFUSE, and no load."""
    with private_folder() as folder:
        site = {"SITE_REFUSE_LA": str(REFUSE)}
        for side in ("incoming", "delivery"):
            more = folder / f"{side}.more.m4"  # without the harness's own limits
            text = f"include(`{folder}/{side}.site.m4')dnl\ndefine(`confQUEUE_LA', SITE_QUEUE_LA)dnl\n"
            more.write_text(text + "define(`confREFUSE_LA', SITE_REFUSE_LA)dnl\n")
            site[f"SITE_{side.upper()}"] = str(more)
        sandwich = Sandwich(folder, site=site)
        sandwich.incoming = LoadedSendmail(sandwich.programs, "incoming", sandwich.incoming.port)
        sandwich.delivery = LoadedSendmail(sandwich.programs, "delivery", sandwich.delivery.port)
        loaded = Loaded(sandwich, folder / "loadavg")
        loaded.set(0)
        with sandwich:
            yield loaded


def test_delivery_takes_what_incoming_has_accepted(loaded: Loaded) -> None:
    """Above its limit incoming closes its port and shows this in its title; delivery still accepts its mail."""
    sandwich, message_id = loaded.sandwich, new_message_id()
    sandwich.delivery.stop()
    queue_id = sandwich.send(text_message(message_id)).queue_id
    sandwich.syslog.wait_for(rf"{queue_id}: to=.*stat=Deferred: Connection refused")
    sandwich.delivery.start()
    sandwich.delivery.wait_ready()
    loaded.set(ABOVE)
    wait_until(lambda: not ports.is_open(sandwich.incoming.port), PATIENCE, "a closed port")
    found = wait_until(lambda: [*title_findings("incoming", _title(sandwich.incoming))], PATIENCE, "the title")
    assert found[0].text == f"rejecting connections on daemon incoming: load average: {ABOVE}"
    sandwich.incoming.drain()
    sandwich.mailbox.wait_for(message_id)
    assert ports.is_open(sandwich.delivery.port)


def _title(sendmail: Sendmail) -> str:
    return title_of(str(sendmail.pid_file))
