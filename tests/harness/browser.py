"""A real Chromium without a screen, driven by the DevTools protocol over a pipe: no port, no driver, no library.

    with Browser.start() as browser:
        browser.open("http://127.0.0.1:9464/")
        browser.evaluate("document.title")

`requests` and `complaints` have its requests, its error messages and what it refused.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.harness import guard, programs
from tests.harness.ending import kill_group
from tests.harness.processes import ProgramError, wait_until

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--remote-debugging-pipe",
)
_ANSWER_WITHIN = 60.0  # seconds
_AS_3_AND_4 = """import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])"""
_OUT_OF_THE_WAY = 10  # of the descriptors 3 and 4, where Chromium has its pipes


@dataclass
class Browser:
    """One page in a Chromium of its own; its profile is in a folder that is removed at the end."""

    process: subprocess.Popen[bytes]
    profile: Path
    orders: int
    answers: int
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _session: str | None = None
    _number: int = 0
    _unread: bytes = b""

    @classmethod
    def start(cls) -> Self:
        """Starts it with an empty page."""
        profile = Path(tempfile.mkdtemp(prefix="miltscan-browser-"))
        (their_orders, orders), (answers, their_answers) = _pipe(), _pipe()
        command = [str(programs.find("chromium")), *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(
            [sys.executable, "-c", _AS_3_AND_4, str(their_orders), str(their_answers), *command],
            pass_fds=(their_orders, their_answers),
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(profile)},
            start_new_session=True,
        )
        guard.watch_group(process.pid)
        os.close(their_orders)
        os.close(their_answers)
        browser = cls(process, profile, orders, answers)
        try:
            browser._attach()
        except BaseException:
            browser.end()
            raise
        return browser

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Ends it and all that it has started; nothing of it stays."""
        kill_group(self.process.pid)
        self.process.wait()
        os.close(self.orders)
        os.close(self.answers)
        wait_until(self._remove_profile, 30, f"an end of the programs that write to {self.profile}")

    def _remove_profile(self) -> bool:
        shutil.rmtree(self.profile, ignore_errors=True)
        return not self.profile.exists()

    def _attach(self) -> None:
        pages = self._call("Target.getTargets")["targetInfos"]
        target = next(page["targetId"] for page in pages if page["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Goes to an address; returns before all is loaded."""
        self._call("Page.navigate", url=url)

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """The size of the window in CSS pixels; narrow ones are a phone's. And which colours the user prefers."""
        mobile = width < 600
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401 - whatever JSON it gives
        """The value of a JavaScript expression in the page; what it throws is a ProgramError."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise ProgramError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression: str, timeout: float = 60.0) -> Any:  # noqa: ANN401 - as evaluate
        """The first true value of the expression."""
        return wait_until(lambda: self.evaluate(expression), timeout, f"{expression} in the page")

    def picture(self, file: Path, *, whole: bool = False) -> None:
        """A PNG of the window, or of the `whole` page."""
        shot = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))

    def _call(self, method: str, **parameters: object) -> Mapping[str, Any]:
        self._number += 1
        order = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            order["sessionId"] = self._session
        os.write(self.orders, json.dumps(order).encode() + b"\0")
        deadline = time.monotonic() + _ANSWER_WITHIN
        while (message := self._read(deadline)).get("id") != self._number:
            self._note(message)
        if "error" in message:
            raise ProgramError(f"{method}: {message['error']}")
        result: Mapping[str, Any] = message["result"]
        return result

    def _read(self, deadline: float) -> Mapping[str, Any]:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self.answers], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self.answers, 1 << 20) if ready else b""
            if not data:
                raise ProgramError("Chromium ended" if ready else f"no answer within {_ANSWER_WITHIN:g} s")
            self._unread += data
        first, _, self._unread = self._unread.partition(b"\0")
        message: Mapping[str, Any] = json.loads(first)
        return message

    def _note(self, message: Mapping[str, Any]) -> None:
        """What happened in the page meanwhile."""
        match message:
            case {"method": "Network.requestWillBeSent", "params": {"request": {"url": url}}}:
                self.requests.append(url)
            case {"method": "Runtime.consoleAPICalled", "params": {"type": "error" | "warning" | "assert"} as what}:
                self.complaints.append(f"console: {what['args']}")
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                self.complaints.append(f"exception: {details}")
            case {"method": "Log.entryAdded", "params": {"entry": entry}}:  # violations of the policy are here
                self.complaints.append(f"{entry['source']}: {entry['text']} {entry.get('url', '')}")
            case {"method": "Page.javascriptDialogOpening", "params": {"message": text}}:
                self.complaints.append(f"dialog: {text}")


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]
