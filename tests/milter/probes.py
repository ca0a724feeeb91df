"""Probes for the tests at the milter: one as the MTA hands it over, and the settings that have a service send them."""

from miltscan.core.keys import Key
from miltscan.core.probe import Probe, ProbeKind
from miltscan.scanning.probe_run import make
from tests.fakes.mta import Message
from tests.harness import ports
from tests.milter.daemon import Daemon

KEY = Key("k", b"k" * 32)
KEY_FILE = f"{KEY.id} {KEY.secret.hex()}\n"


def probe(kind: ProbeKind, queue_id: bytes) -> tuple[Message, Probe]:
    """The message, and what its answer is compared with."""
    data, ours = make(KEY, kind)
    head, _, body = data.partition(b"\r\n\r\n")
    fields = [line.partition(b":") for line in head.split(b"\r\n")]
    return Message(headers=tuple((name, value) for name, _, value in fields), body=body, queue_id=queue_id), ours


def probing(daemon: Daemon) -> dict[str, object]:
    """Settings with a key in a file of the daemon's own, and with a probe every second to where no server is."""
    keys = daemon.folder / "keys"
    keys.write_text(KEY_FILE)
    keys.chmod(0o600)
    nowhere = f"inet:{ports.choose().number}@127.0.0.1"
    return {"keys.file": str(keys), "probe.interval": "1s", "probe.server": nowhere}
