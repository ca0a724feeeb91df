"""A scanning sandwich with hostile signatures, and steady mail of every kind for it: something for a status page."""

import itertools
import threading
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Self

from tests.harness import messages
from tests.harness.clamav import Clamd
from tests.harness.miltscan import ScanningSandwich

HOSTILE = {
    "script": "Html.<script>alert(1)</script>",
    "image": '"><img src=x onerror=alert(1)>',
    "attribute": "' onmouseover='alert(1)",
    "override": "Win.Invoice\u202egpj.exe",
    "control": "Term.\x1b[2J\x07\x9b31m",
    "long": "Long." + "x" * 3000,
}
"""Names of signatures as no engine gives them, by the word in a mail that makes the engine report it."""
TAME = {"invoice": "Win.Trojan.Agent-6412", "macro": "Doc.Downloader.Emotet-7101", "lure": "Phishing.Mail.Login-2204"}
"""Likewise, as an engine does."""


def hostile_mail(word: str) -> EmailMessage:
    """A mail that is found by the signature of this word, with a subject and a file name as hostile as its name."""
    name = "".join(character for character in HOSTILE[word] if character.isprintable() or character == "\u202e")
    mail = messages.with_attachment(f"Subject {name}", _mark(word), f"file {name}.pdf")
    mail.replace_header("Subject", f"Subject {name} {'y' * 10000 if word == 'long' else ''}")
    return mail


def _mark(word: str) -> bytes:
    return b"-- sample content " + word.encode() * 3 + b" --"


class WatchedSandwich(ScanningSandwich):
    """Its clamd knows the test signature, HOSTILE and TAME."""

    def start_clamd(self) -> Clamd:
        """As in the sandwich, with more signatures."""
        self.clamd = Clamd.prepare(self.programs, test_database=True)
        for word, name in {**HOSTILE, **TAME}.items():
            _signature(self.clamd.folder / "database" / f"{word}.ndb", name, word)
        self.clamd.start()
        self.clamd.wait_ready()
        return self.clamd


def _signature(file: Path, name: str, word: str) -> None:
    file.write_text(f"{name}:0:*:{_mark(word).hex()}\n", encoding="utf-8")


@dataclass
class Load:
    """Mail for a sandwich, from some clients in threads, until the end of the context; what it meets is in `errors`."""

    sandwich: ScanningSandwich
    pauses: tuple[float, ...] = (0.05,)
    words: tuple[str, ...] = (*TAME, *HOSTILE)
    every: int = 12
    errors: list[Exception] = field(default_factory=list)
    sent: int = 0

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(2)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self, number: int) -> None:
        words = itertools.cycle(self.words[number:] + self.words[:number])
        for turn, pause in enumerate(itertools.cycle(self.pauses), start=1):
            if self._stop.wait(pause):
                return
            mail = _found(next(words)) if turn % self.every == 0 else _clean(turn)
            try:
                self.sandwich.send(messages.as_wire(mail))
                self.sent += 1
            except OSError as error:  # reported at the end
                self.errors.append(error)


def _found(word: str) -> EmailMessage:
    return (
        hostile_mail(word) if word in HOSTILE else messages.with_attachment("Your invoice", _mark(word), "invoice.pdf")
    )


def _clean(turn: int) -> EmailMessage:
    if turn % 17 == 0:
        return messages.with_attachment("Encrypted", messages.encrypted_zip(), "secret.zip")
    return messages.clean_attachment(2000 + 150_000 * (turn % 5 == 0), seed=turn)
