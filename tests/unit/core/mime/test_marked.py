"""The lines at which a part may begin."""

import pytest

from miltscan.core.mime import marked as marked_module
from miltscan.core.mime.marked import Mark, find_marks, looks_like_message, marked
from miltscan.core.mime.octets import Octets

M = Mark


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"Content-Type: a/b", M.HEADER),
        (b"content-transfer-encoding base64", M.HEADER),
        (b"CONTENT-DISPOSITION\t:", M.HEADER),
        (b"Content-Type", M.HEADER),
        (b"Content-Length: 3", None),
        (b"contention", None),
        (b" Content-Type: a/b", None),
        (b"begin 644 a.txt", M.UU),
        (b"BEGIN 0755  a", M.UU),
        (b"begin 99 a", None),
        (b"begin with the report", None),
        (b"beginning", None),
        (b"begin-base64 644 a", M.BASE64),
        (b"=ybegin line=128", M.YENC),
        (b"text =ybegin line=128", M.YENC),
        (b"(This file must be converted with BinHex 4.0)", M.BINHEX),
        (b"(This file must be read)", None),
        (b"text\rtext", M.RETURN),
    ],
)
def test_what_is_a_mark(line: bytes, found: Mark | None) -> None:
    """A line is found wherever it stands, in any case of its letters."""
    for before in (b"", b"first\n", b"first\r\n\r\n"):
        data = before + line + b"\r\nlast"
        marks = list(find_marks(Octets(data), 0, len(data)))
        assert [one.mark for one in marks] == ([found] if found else [])
        assert marked([data], headers=True) == (found not in (None, M.RETURN))
        if found not in (None, M.RETURN, M.YENC):
            assert marks[0].at == len(before)


def test_marks_are_found_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, also where a window ends within it; and only between the offsets."""
    monkeypatch.setattr(marked_module, "PIECE", 16)
    data = b"begin 644 a\nContent-Type: a/b\n=ybegin a\nbegin 644 a\n" * 4
    marks = list(find_marks(Octets(data), 0, len(data)))
    assert [one.mark for one in marks] == [M.UU, M.HEADER, M.YENC, M.UU] * 4
    assert [one.at for one in marks] == sorted({one.at for one in marks})
    assert list(find_marks(Octets(data), 12, 40)) == marks[1:3]


def test_a_line_end_may_be_in_two_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A carriage return is one that ends a line by itself only if no line feed follows in the next window."""
    monkeypatch.setattr(marked_module, "PIECE", 16)
    monkeypatch.setattr(marked_module, "_LONGEST", 1)
    for length in range(20):
        data = b"a" * length + b"\r\n" + b"a" * 40
        assert list(find_marks(Octets(data), 0, len(data))) == []
        data = b"a" * length + b"\ra" + b"a" * 40
        assert {one.mark for one in find_marks(Octets(data), 0, len(data))} == {M.RETURN}


def test_a_text_in_pieces() -> None:
    """A mark is found although a piece ends within it; without headers, only encodings count."""
    assert marked([b"first\nbegi", b"n 644 a\n"], headers=False)
    assert not marked([b"first\nContent-Type: a/b\n"], headers=False)
    assert marked([b"first\nContent-", b"Type: a/b\n"], headers=True)
    assert not marked([], headers=True)


@pytest.mark.parametrize(
    ("head", "cut", "expected"),
    [
        (b"Subject: x\r\nX: y\r\n\r\nbody", False, True),
        (b"X: y\nMIME-Version: 1.0\n", False, True),
        (b"From a\nX: y\n z\nReceived: x\n\n", False, True),
        (b"BEGIN:VCARD\r\nFN:x\r\nEND:VCARD\r\n", False, False),
        (b"BEGIN:VCARD\r\nFN:x\r\n", True, True),
        (b"Subject: x\nno field\n\n", False, False),
        (b"%PDF-1.4\n", False, False),
        (b"", False, False),
    ],
)
def test_what_looks_like_a_message(head: bytes, *, cut: bool, expected: bool) -> None:
    """A block of fields, of which one is of messages, unless there may be more of them."""
    assert looks_like_message(head, cut=cut) is expected
