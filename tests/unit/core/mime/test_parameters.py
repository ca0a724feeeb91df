"""Values of Content-Type and Content-Disposition, as various readers understand them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.mime.parameters import Name, Value, read_value

MIXED = b"multipart/mixed"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"text/plain", Value(b"text/plain")),
        (b"TEXT/Plain ; charset=UTF-8 ;", Value(b"text/plain")),
        (b"text", Value(b"text")),
        (b"attachment; filename=a.txt", Value(b"attachment", names=(Name(b"filename", b"a.txt"),))),
        (b'a/b; NAME="a;b =?x"', Value(b"a/b", names=(Name(b"name", b"a;b =?x"),))),
        (b"a/b; name*=utf-8''%41", Value(b"a/b", names=(Name(b"name*", b"utf-8''%41"),))),
        (
            b"a/b; name*1=b; name*0*=''a",
            Value(b"a/b", names=(Name(b"name*1", b"b"), Name(b"name*0*", b"''a"), Name(b"name*", b"''ab"))),
        ),
        (
            b"a/b; name*10=c; name*9=b",
            Value(b"a/b", names=(Name(b"name*10", b"c"), Name(b"name*9", b"b"), Name(b"name", b"bc"))),
        ),
        (b"multipart/mixed; boundary=b", Value(MIXED, (b"b",))),
        (b'multipart/mixed; boundary="b:;b"', Value(MIXED, (b"b:;b",))),
        (b'multipart/mixed; boundary="===1=="; charset="x"', Value(MIXED, (b"===1==",))),
    ],
)
def test_a_value_by_the_grammar(value: bytes, expected: Value) -> None:
    """It has one reading."""
    assert read_value(value) == expected


@pytest.mark.parametrize(
    ("value", "boundary"),
    [
        (b"multipart/mixed", None),
        (b"multipart/mixed; boundary=b; boundary=c", b"b"),
        (b"multipart/mixed; boundary=b; boundary=c", b"c"),
        (b'multipart/mixed; boundary="b b"', b"b b"),
        (b'multipart/mixed; boundary="b b"', b"b"),
        (b'multipart/mixed; boundary="b "', b"b "),
        (b"multipart/mixed; boundary=b c", b"b c"),
        (b'multipart/mixed; boundary="b\\"c"', b'b"c'),
        (b'multipart/mixed; boundary="b\\c"', b"b\\c"),
        (b'multipart/mixed; boundary="b;c', b"b;c"),
        (b'multipart/mixed; boundary="b;c', b"b"),
        (b'multipart/mixed; boundary=b"c"', b"bc"),
        (b'multipart/mixed; boundary=b"c"', b"c"),
        (b"multipart/mixed; boundary=b(c)d", b"bd"),
        (b"multipart/mixed; boundary=b(c)d", b"b(c)d"),
        (b"multipart/mixed; bound(c)ary=b", b"b"),
        (b"multipart/mixed; bound\\ary=b", b"b"),
        (b"multipart/mixed, boundary=b", b"b"),
        (b'multipart/mixed; x="y; boundary=b"', b"b"),
        (b"multipart/mixed; boundary*=us-ascii'en'b%3Ac", b"b:c"),
        (b"multipart/mixed; boundary*=''b", b"b"),
        (b"multipart/mixed; boundary*0=b; boundary*1=c", b"bc"),
        (b"multipart/mixed; boundary*1=c; boundary*0=b", b"bc"),
        (b"multipart/mixed; boundary*1=c; boundary*0=b", b"cb"),
        (b"multipart/mixed; boundary*0=x; boundary*0=b; boundary*1=c", b"bc"),
        (b"multipart/mixed; boundary*0=b; boundary*0=x; boundary*1=c", b"bc"),
        (b"multipart/mixed; boundary*0*=''b%2; boundary*1*=Dc", b"b-c"),
        (b'multipart/mixed; boundary="=?us-ascii?Q?b=3Ac?="', b"b:c"),
        (b"multipart/mixed; boundary==?us-ascii?b?Yg==?=", b"b"),
        (b"text/plain; boundary=b", b"b"),
    ],
)
def test_a_value_with_several_readings(value: bytes, boundary: bytes | None) -> None:
    """The boundary of each reader is among the candidates."""
    read = read_value(value)
    assert not read.strict
    assert boundary in read.boundaries or (boundary is None and not read.boundaries)


@pytest.mark.parametrize(
    ("value", "kind", "names"),
    [
        (b'"Multipart / mixed"; x', b"multipart/mixed", ()),
        (b"multi\\part/mixed (c); x", b"multipart/mixed", ()),
        (b"a/b; name=my report.pdf", b"a/b", (Name(b"name", b"my"), Name(b"name", b"my report.pdf"))),
        (b'a/b; filename = "a.txt"', b"a/b", (Name(b"filename", b"a.txt"),)),
        (b'a/b; name="a".exe', b"a/b", (Name(b"name", b"a"), Name(b"name", b"a.exe"))),
        (b"a/b; name=a;.exe; x=y", b"a/b", (Name(b"name", b"a"), Name(b"name", b"a;.exe"))),
        (b"", b"", ()),
    ],
)
def test_a_broken_value(value: bytes, kind: bytes, names: tuple[Name, ...]) -> None:
    """Type and names are found as far as they can be."""
    read = read_value(value)
    assert (read.kind, read.names, read.strict) == (kind, names, False)


@given(
    st.lists(
        st.sampled_from(
            [b"boundary", b"name", b"*0*", b"=", b'"', b"\\", b";", b"(", b")", b" ", b"a", b"%4", b"=?x?q?", b"?="]
        ),
        max_size=30,
    )
)
def test_a_value_has_few_readings(pieces: list[bytes]) -> None:
    """Whatever it is, and each is part of it, or what that part encodes."""
    read = read_value(b"".join(pieces))
    assert len(read.boundaries) <= 10 * (1 + pieces.count(b"boundary")) * 3
    assert all(read.boundaries)
