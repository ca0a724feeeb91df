"""The texts of notices and summaries from templates (Jinja2), and the mail that has them (RFC 5322).

A site replaces templates by files of the same names in a folder of its own. A template of the site that cannot be used
is reported, and the one of miltscan takes its place: nobody misses a mail because of a mistake in one.

    notice.txt  notice.html     one message: a `Notice`
    summary.txt summary.html    many messages: a `Summary`
    late.txt    late.html       delivered messages in which something is detected now: a `LateNotice`
    frame.html                  the frame of all HTML texts

The first line of a .txt template is the subject. Values in HTML are escaped; `fill` and `hang` break lines of text.
"""

import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from email.header import Header as EncodedHeader
from email.utils import formatdate
from typing import NamedTuple

from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
    select_autoescape,
)

from miltscan.core.text import readable
from miltscan.quarantine.mailtext import fill, hang
from miltscan.quarantine.shown import LateNotice, MailContent, Notice, Summary, samples

NAMES = ("notice.txt", "notice.html", "summary.txt", "summary.html", "late.txt", "late.html", "frame.html")
"""The templates that a site can replace."""
_OF_CONTENT = {Notice: "notice", Summary: "summary", LateNotice: "late"}
_OURS = PackageLoader("miltscan.quarantine", "templates")
_SIMPLE = re.compile(rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,255}")
"""An address that can stand in a header as it is (RFC 5322 section 3.4.1, dot-atom)."""
_LONGEST_SUBJECT = 200  # characters
_BOUNDARY = "=_miltscan"  # quoted-printable text contains no `=_` (RFC 2045 section 6.7)


class Texts(NamedTuple):
    """A rendered mail: subject, text and HTML."""

    subject: str
    text: str
    html: str


class Templates:
    """The templates of a site in `folder`, if that is not empty, and ours.

    `broken` is called with a line for each template of the site that cannot be used, once for each text.
    """

    def __init__(self, folder: str = "", broken: Callable[[str], None] = lambda _: None) -> None:
        self._broken = broken
        self._reported = set[str]()
        self._ours = _environment(None)
        self._site = _environment(folder) if folder else None

    def render(self, content: MailContent) -> Texts:
        """The texts about `content`."""
        name = _OF_CONTENT[type(content)]
        head, _, text = self._render(f"{name}.txt", content).partition("\n")
        html = self._render(f"{name}.html", content)
        return Texts(head.removeprefix("Subject:").strip(), text.strip("\n") + "\n", html)

    def _render(self, name: str, content: MailContent) -> str:
        if self._site is not None:
            try:
                return _render(self._site, name, content)
            except Exception as error:  # noqa: BLE001 - a template can raise whatever Python does
                self._report(_problem(name, error))
        return _render(self._ours, name, content)

    def _report(self, line: str) -> None:
        if line not in self._reported:
            self._reported.add(line)
            self._broken(line)


def problems(folder: str) -> list[str]:
    """What is wrong with the templates of a site: a line for each one that cannot be used with sample values."""
    found = list[str]()
    templates = Templates(folder, found.append)
    for sample in samples():
        templates.render(sample)
    return found


def _environment(folder: str | None) -> Environment:
    loader = _OURS if folder is None else ChoiceLoader([FileSystemLoader(folder), _OURS])
    environment = Environment(
        loader=loader,
        autoescape=select_autoescape(("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"fill": fill, "hang": hang}
    return environment


def _render(environment: Environment, name: str, content: MailContent) -> str:
    return environment.get_template(name).render(mail=content)


def _problem(name: str, error: Exception) -> str:
    """One line: the template, the line in it, what is wrong."""
    missing = isinstance(error, TemplateNotFound)
    what = f"no template {error}" if missing else str(error) or type(error).__name__
    place = getattr(error, "name", None) if isinstance(error, TemplateError) and not missing else None
    line = getattr(error, "lineno", None)
    where = f"{place or name}, line {line}" if line else (place or name)
    return readable(f"{where}: {what}", 300)


class Sender(NamedTuple):
    """Whom mails come from: the address in From:, and the host that names them."""

    address: str
    host: str


def mail(sender: Sender, recipient: bytes, identity: str, texts: Texts, now: float) -> bytes:
    """The mail, with CRLF at each line end. `identity` makes the Message-ID, which a second copy has, too.

    There is no Precedence:, which RFC 3834 section 3.1.8 advises against; the empty envelope sender and
    Auto-Submitted: prevent automatic replies.
    """
    bare = recipient.removeprefix(b"<").removesuffix(b">")
    digest = hashlib.sha256(bare).hexdigest()[:16]
    to = f"<{bare.decode()}>" if _SIMPLE.fullmatch(bare) else "undisclosed-recipients:;"
    head = {
        "Date": formatdate(now, localtime=True),
        "From": f"Mail quarantine <{sender.address}>",
        "To": to,
        "Message-ID": f"<{identity}.{digest}@{sender.host}>",
        "Subject": _subject(texts.subject),
        "Auto-Submitted": "auto-generated",
        "MIME-Version": "1.0",
        "Content-Type": f'multipart/alternative; boundary="{_BOUNDARY}"',
    }
    parts = [_part("plain", texts.text), _part("html", texts.html)]
    lines = [_headers(head), *(f"--{_BOUNDARY}\r\n".encode() + part for part in parts), f"--{_BOUNDARY}--\r\n".encode()]
    return b"".join(lines)


def _headers(fields: Mapping[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode("ascii") + b"\r\n"


def _subject(text: str) -> str:
    clean = readable(" ".join(text.split()), _LONGEST_SUBJECT)
    if clean.isascii():
        return clean
    return EncodedHeader(clean, "utf-8", header_name="Subject").encode(linesep="\r\n")


def _part(kind: str, text: str) -> bytes:
    """One alternative: quoted-printable, so that no hop needs 8BITMIME and no line is too long."""
    head = {"Content-Type": f"text/{kind}; charset=utf-8", "Content-Transfer-Encoding": "quoted-printable"}
    encoded = binascii.b2a_qp(text.replace("\r\n", "\n").encode("utf-8", "replace"), istext=True)
    return _headers(head) + encoded.replace(b"\n", b"\r\n") + b"\r\n"
