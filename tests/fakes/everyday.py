"""Ordinary mail, some of it not by the standard: what a mail scanner meets every day and has to deliver.

MAILS has a name for each message. None holds an attachment that a mail reader could show in another way.
"""

import base64
from collections.abc import Mapping
from email.message import EmailMessage
from email.policy import SMTP

from tests.fakes.wrappings import b64, mail, mixed

_TEXT = b"Content-Type: text/plain; charset=utf-8\r\n"
_PDF = b'Content-Type: application/pdf; name="a.pdf"\r\nContent-Disposition: attachment; filename="a.pdf"\r\n'
_ENCODED = b"Content-Transfer-Encoding: base64\r\n"
_CONTENT = b"%PDF-1.4\n" + bytes(range(256)) * 3
_FOOTER = (
    b"\r\n_______________________________________________\r\nlist mailing list\r\nhttps://example.org/list?a=b\r\n"
)
_SIGNATURE = b"-----BEGIN PGP SIGNATURE-----\r\n\r\niQEzBAEBCAAdFiEE\r\n=abcd\r\n-----END PGP SIGNATURE-----\r\n"
_BOUNCED = mail(b"Content-Type: multipart/mixed; boundary=xx\r\n", b"")


def _written(**content: str) -> EmailMessage:
    """A message as Python's email package writes it."""
    message = EmailMessage(policy=SMTP)
    message["From"] = "Alice <alice@example.org>"
    message["Subject"] = "Prüfbericht"
    message.set_content(content.get("text", "Hello Bob,\n\nplease begin with the report.\n\n-- \nAlice\n"))
    if "html" in content:
        message.add_alternative(content["html"], subtype="html")
    return message


def _newsletter() -> bytes:
    message = _written(html="<p style='margin-left: 3px'>Grüße = &amp; - 50 %</p>\n" * 40)
    html = message.get_payload()[1]  # type: ignore[index]
    html.add_related(_CONTENT, "image", "png", cid="<logo>")  # type: ignore[union-attr]
    return message.as_bytes()


def _invitation() -> bytes:
    message = _written()
    message.add_alternative("BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n", subtype="calendar")
    return message.as_bytes()


def _forwarded() -> bytes:
    message, inner = _written(), _written(html="<b>hi</b>")
    message.add_attachment(inner)
    return message.as_bytes()


def _attached() -> bytes:
    message = _written(text="Grüße\n")
    message.add_attachment(_CONTENT, "application", "pdf", filename="Prüfbericht 2024.pdf")
    return message.as_bytes()


def _report(third: bytes) -> bytes:
    """A delivery report with its third part."""
    status = (
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.org\r\n\r\nAction: failed\r\n"
    )
    body = b"--rr\r\nContent-Type: text/plain\r\n\r\nNot delivered.\r\n--rr\r\n" + status + b"\r\n--rr\r\n" + third
    return mail(
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=rr\r\n", body + b"\r\n--rr--\r\n"
    )


def _with(part: bytes, kind: bytes = b"multipart/mixed") -> bytes:
    return mixed(part, b"=_b", kind=kind)


MAILS: Mapping[str, bytes] = {
    "text": _written().as_bytes(),
    "text without MIME": b"From: a@example.org\r\nSubject: x\r\n\r\nHello: world\r\n- one\r\n-- two\r\nbegin 2024\r\n",
    "empty": b"From: a@example.org\r\nSubject: x\r\n\r\n",
    "header alone": b"From: a@example.org\r\nSubject: x\r\n",
    "text and HTML": _written(html="<p>Grüße</p>").as_bytes(),
    "newsletter with an image": _newsletter(),
    "invitation": _invitation(),
    "attachment": _attached(),
    "forwarded as a message": _forwarded(),
    "forwarded in the text": mail(
        _TEXT, b"-- original --\r\nFrom: b@example.org\r\nContent-Type: text/plain\r\n\r\nHello\r\n"
    ),
    "delivery report": _report(b"Content-Type: message/rfc822\r\n\r\n" + _attached()),
    "delivery report with headers": _report(b"Content-Type: text/rfc822-headers\r\n\r\n" + _BOUNCED[:-2]),
    "delivery report, cut in a part": _report(b"Content-Type: message/rfc822\r\n\r\n" + _attached()[:900]),
    "delivery report, cut behind the header": _report(b"Content-Type: message/rfc822\r\n\r\n" + _BOUNCED + b"Hello"),
    "cut": _attached()[:-60],
    "signed, S/MIME": _with(
        b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\n" + _ENCODED + b"\r\n" + b64(_CONTENT),
        b"multipart/signed",
    ),
    "signed, OpenPGP": _with(b"Content-Type: application/pgp-signature\r\n\r\n" + _SIGNATURE, b"multipart/signed"),
    "encrypted, OpenPGP": _with(
        b"Content-Type: application/octet-stream\r\n\r\n" + _SIGNATURE.replace(b"SIGNATURE", b"MESSAGE"),
        b"multipart/encrypted",
    ),
    "digest of a list": _with(b"\r\n" + _written().as_bytes(), b"multipart/digest"),
    "TNEF": _with(b"Content-Type: application/ms-tnef; name=winmail.dat\r\n" + _ENCODED + b"\r\n" + b64(_CONTENT)),
    "footer of a list": _with(_PDF + _ENCODED + b"\r\n" + b64(_CONTENT) + _FOOTER),
    "footer of a list, base64 without padding": _with(_PDF + _ENCODED + b"\r\n" + b64(_CONTENT + b"a") + _FOOTER),
    "footer of a list, base64 text": mail(_TEXT + _ENCODED, b64("Grüße\n".encode() * 9) + _FOOTER),
    "no padding": _with(_PDF + _ENCODED + b"\r\n" + b64(_CONTENT + b"a").rstrip(b"=")),
    "base64 in lines of 75": _with(_PDF + _ENCODED + b"\r\n" + b64(_CONTENT, 75)),
    "base64 in two pieces": _with(_PDF + _ENCODED + b"\r\n" + b64(_CONTENT[:80]) + b"\r\n" + b64(_CONTENT[80:])),
    "text that is said to be base64": mail(_TEXT + _ENCODED, b"Hello, 1 + 1 = 2\r\n"),
    "quoted-printable with a lone =": mail(
        _TEXT + b"Content-Transfer-Encoding: quoted-printable\r\n", b"a = b =3D c\r\n"
    ),
    "quoted-printable, last line broken": _with(
        _TEXT + b"Content-Transfer-Encoding: quoted-printable\r\n\r\nHello=\r\n"
    ),
    "unknown encoding": mail(_TEXT + b"Content-Transfer-Encoding: utf-8\r\n", "Grüße\r\n".encode()),
    "name without quotes": _with(
        b"Content-Type: application/pdf; name=my report.pdf\r\n" + _ENCODED + b"\r\n" + b64(_CONTENT)
    ),
    "semicolon at the end": mail(b"Content-Type: text/plain; charset=utf-8;\r\n", b"Hello\r\n"),
    "names by RFC 2231": _with(
        b"Content-Type: application/pdf;\r\n name*0*=utf-8''Pr%C3%BCf;\r\n name*1*=bericht.pdf\r\n"
        + _ENCODED
        + b"\r\n"
        + b64(_CONTENT)
    ),
    "closing delimiter missing": _with(_PDF + _ENCODED + b"\r\n" + b64(_CONTENT)).removesuffix(b"\r\n--=_b--\r\n"),
    "preamble": _with(_TEXT + b"\r\nHello").replace(
        b"\r\n\r\n--", b"\r\n\r\nThis is a multi-part message in MIME format.\r\n--", 1
    ),
    "a field without a colon": b"X-Spam\r\n" + mail(_TEXT, b"Hello\r\n"),
    "log file": _with(
        _TEXT + b'Content-Disposition: attachment; filename="a.log"\r\n\r\n' + b"-- a: b\r\n- c = d\r\n" * 50
    ),
    "vCard in base64": _with(
        b"Content-Type: text/vcard\r\n" + _ENCODED + b"\r\n" + base64.b64encode(b"BEGIN:VCARD\r\nEND:VCARD\r\n")
    ),
}
