"""The classes of a signature by its name."""

from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.signature import CLASSES, signature_class, signature_classes

NAMES = [
    ("Win.Trojan.Agent-1388639", "Trojan"),
    ("Win.Ransomware.WannaCry-6313787-0", "Ransomware"),
    ("Doc.Downloader.Emotet-7580152-0", "Downloader"),
    ("Html.Phishing.Bank-1", "Phishing"),
    ("Heuristics.Phishing.Email.SpoofedDomain", "Heuristics Phishing"),
    ("Heuristics.Phishing.URL.Blocked", "Heuristics Phishing"),
    ("Heuristics.Safebrowsing.Suspected-phishing_safebrowsing.clamav.net", "Heuristics Phishing"),
    ("Heuristics.OLE2.ContainsMacros", "Heuristics Macro"),
    ("Heuristics.OLE2.ContainsMacros.VBA", "Heuristics Macro"),
    ("Heuristics.W32.Magistr.A.dam", "Heuristics Virus"),
    ("Heuristics.Exploit.W32.MS05-002", "Heuristics Exploit"),
    ("Heuristics.Trojan.Swizzor.Gen", "Heuristics Trojan"),
    ("Heuristics.Worm.Mydoom.M.log", "Heuristics Worm"),
    ("Heuristics.Broken.Media.JPEG.NoImages", "Heuristics"),
    ("Heuristics.Structured.CreditCardNumber", "Heuristics"),
    ("Heuristics.Zip.OverlappingFiles", "Heuristics"),
    ("PUA.Win.Packer.Upx-4", "PUA Packer"),
    ("W32.Sality-1", "other"),
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
    """Names of ClamAV's own databases and of others' have the class that is written in them, suspicions two."""
    found = [(name, " ".join(signature_classes(name))) for name, _ in NAMES]
    assert found == NAMES


def test_the_class_of_a_metric() -> None:
    """A suspicion counts as one, not as what is suspected."""
    assert signature_class("Heuristics.OLE2.ContainsMacros.VBA") == "Heuristics"


@given(st.text())
def test_the_list_is_closed(name: str) -> None:
    """It is a metric label."""
    assert {*signature_classes(name)} <= {*CLASSES}
