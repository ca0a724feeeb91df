"""The class of a signature by its name."""

from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.signature import CLASSES, signature_class

NAMES = [
    ("Win.Trojan.Agent-1388639", "Trojan"),
    ("Win.Ransomware.WannaCry-6313787-0", "Ransomware"),
    ("Doc.Downloader.Emotet-7580152-0", "Downloader"),
    ("Html.Phishing.Bank-1", "Phishing"),
    ("Heuristics.Phishing.Email.SpoofedDomain", "Heuristics"),
    ("PUA.Win.Packer.Upx-4", "PUA"),
    ("Eicar-Test-Signature", "Test"),
    ("Eicar-Signature", "Test"),
    ("Win.Test.EICAR_HDB-1", "Test"),
    ("Sanesecurity.Phishing.Fake.12345.UNOFFICIAL", "Phishing"),
    ("Sanesecurity.Junk.51234.UNOFFICIAL", "other"),
    ("{HEX}php.cmdshell.unclassed.357.UNOFFICIAL", "other"),
    ("A.B.C.D.Trojan", "other"),
    ("Trojan", "Trojan"),
    ("WIN.TROJAN.X", "Trojan"),
    ("", "other"),
    ("...", "other"),
    ("\x1b[2J.Trojan", "Trojan"),
]


def test_classes() -> None:
    """Names of ClamAV's own databases and of others' have the class that is written in them."""
    assert [(name, found) for name, expected in NAMES if (found := signature_class(name)) != expected] == []


@given(st.text())
def test_the_list_is_closed(name: str) -> None:
    """It is a metric label."""
    assert signature_class(name) in CLASSES
