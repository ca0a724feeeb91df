"""The names of attachments in each form that mailers write, and in those that only deceive."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.attachment_names import (
    _CHARSETS,
    LONGEST_NAME,
    MOST_NAMES,
    attachment_names,
)


def filename(*values: bytes, attribute: bytes = b"filename") -> list[tuple[bytes, bytes]]:
    """Parameters of one attribute."""
    return [(attribute, value) for value in values]


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ([], []),
        (filename(b"report.pdf"), ["report.pdf"]),
        ([(b"FileName", b"a.exe"), (b"NAME", b"b.exe"), (b"size", b"3")], ["a.exe", "b.exe"]),
        (filename(b"a", b"a"), ["a"]),
        (filename(b"", b" "), []),
        ([(b"filename*", b"utf-8'de'r%C3%A9sum%C3%A9.pdf")], ["résumé.pdf"]),
        ([(b"filename*", b"iso-8859-1''%e9")], ["é"]),
        ([(b"filename*", b"Windows-1251''%FF.exe")], ["я.exe"]),
        ([(b"filename*", b"no-charset''%e9")], ["é"]),
        ([(b"filename*", b"utf-8''%e9")], ["é"]),
        ([(b"filename*", b"''a%2Eexe")], ["a.exe"]),
        ([(b"filename*", b"a%2Eexe")], ["a.exe"]),
        ([(b"filename*", b"utf-8''it's.exe")], ["it's.exe"]),
        ([(b"filename*", b"utf-8''%zz%")], ["%zz%"]),
        ([(b"name*0", b"in"), (b"name*1", b"voice"), (b"name*2", b".exe")], ["invoice.exe"]),
        ([(b"name*1", b".exe"), (b"name*0", b"a")], ["a.exe", ".exea"]),
        ([(b"name*0", b"a.txt"), (b"name*2", b".exe")], ["a.txt.exe", "a.txt"]),
        ([(b"name*0*", b"utf-8''%C3"), (b"name*1*", b"%A9"), (b"name*2", b"%41.exe")], ["é%41.exe"]),
        ([(b"name*10", b"k")] + [(b"name*%d" % at, b"%d" % at) for at in range(10)], ["0123456789k", "k0123456789"]),
        ([(b"name*x", b"a"), (b"name*", b"b"), (b"name**", b"c")], ["b", "ac"]),
        ([(b"filename*0", b"a"), (b"name*1", b"b")], ["a", "b"]),
        (filename(b"=?utf-8?q?r=C3=A9sum=C3=A9=2Eexe?="), ["=?utf-8?q?r=C3=A9sum=C3=A9=2Eexe?=", "résumé.exe"]),
        (filename(b"=?UTF-8?B?YS5leGU=?="), ["=?UTF-8?B?YS5leGU=?=", "a.exe"]),
        (filename(b"=?utf-8?b?YS5leGU?="), ["=?utf-8?b?YS5leGU?=", "a.exe"]),
        (filename(b"=?utf-8?b?YS5le?="), ["=?utf-8?b?YS5le?=", "YS5le"]),
        (filename(b"=?utf-8*en?q?a_b?="), ["=?utf-8*en?q?a_b?=", "a b"]),
        (filename(b"=??q?a=2E?="), ["=??q?a=2E?=", "a."]),
        (filename(b"=?utf-8?q?a?= \t=?utf-8?q?b?= c"), ["=?utf-8?q?a?= \t=?utf-8?q?b?= c".replace("\t", ""), "ab c"]),
        (filename(b"=?utf-8?q?=C3?= =?utf-8?q?=A9?="), ["=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"]),
        (filename(b"x=?utf-8?q?a?=.exe"), ["x=?utf-8?q?a?=.exe", "xa.exe"]),
        (filename(b"=?utf-8?q?a?=-=?utf-8?q?b?="), ["=?utf-8?q?a?=-=?utf-8?q?b?=", "a-b"]),
        (filename(b"xx=?utf-8?q?=C3=A9?="), ["xx=?utf-8?q?=C3=A9?=", "xx\u00e9"]),
        (filename(b"=?x =?utf-8?q?a?="), ["=?x =?utf-8?q?a?=", "=?x a"]),
        ([(b"name*0", b"a"), (b"name*0", b"b")], ["ab", "a"]),
        (filename(b"=?utf-8?x?a?="), ["=?utf-8?x?a?="]),
        (filename(b"=?utf-8?q?a"), ["=?utf-8?q?a"]),
        (
            filename(b"=?iso-2022-jp?b?GyRCJUYlOSVIGyhCLmV4ZQ==?="),
            ["=?iso-2022-jp?b?GyRCJUYlOSVIGyhCLmV4ZQ==?=", "テスト.exe"],
        ),
        ([(b"name*0", b"=?utf-8?q?a"), (b"name*1", b"b?=")], ["=?utf-8?q?ab?=", "ab"]),
        (filename("grüße.exe".encode()), ["grüße.exe"]),
        (filename("grüße.exe".encode("latin-1")), ["grüße.exe"]),
        (filename(b"a.exe\0.txt"), ["a.exe.txt", "a.exe"]),
        (filename(b"a\r\n .exe\x1b"), ["a .exe"]),
        (filename(b"'a.exe'"), ["'a.exe'", "a.exe"]),
        ([(b"name*", b"utf-16''%00a%00.%00e")], ["a.e"]),
        ([(b"name*", b"utf-16''a%00.%00e%00")], ["a.e"]),
        ([(b"name*", b"utf-16''%ff%fea%00.%00e%00")], ["a.e"]),
    ],
)
def test_each_form_is_read(parameters: list[tuple[bytes, bytes]], names: list[str]) -> None:
    """Every name that a reader may show is there, each once."""
    assert [*attachment_names(parameters)] == names


def test_the_first_and_the_last_of_many_names_are_kept() -> None:
    """A reader takes the first or the last one."""
    names = attachment_names(filename(*(b"%d.exe" % number for number in range(100))))
    assert len(names) == MOST_NAMES
    assert (names[0], names[-1]) == ("0.exe", "99.exe")


def test_the_end_of_a_long_name_is_kept() -> None:
    """There the extension is."""
    (name,) = attachment_names(filename(b"a" * 60_000 + b".exe"))
    assert len(name) == LONGEST_NAME
    assert name.endswith(".exe")


@pytest.mark.parametrize("charset", sorted(_CHARSETS))
def test_a_charset_has_a_codec(charset: str) -> None:
    """None of the names in the table is unknown to Python."""
    assert codecs.lookup(charset)


ATTRIBUTE = st.sampled_from([b"name", b"name*", b"name*0", b"name*1*", b"name*99999999999999", b"filename*0*", b"x"])
VALUE = st.binary(max_size=40) | st.text("=?utf-8qb'%AE ", max_size=40).map(str.encode)


@given(st.lists(st.tuples(ATTRIBUTE, VALUE), max_size=6))
def test_nothing_raises(parameters: list[tuple[bytes, bytes]]) -> None:
    """Any parameters have names: bounded, without control characters, twice the same."""
    names = attachment_names(parameters)
    assert names == attachment_names(parameters)
    assert len(names) <= MOST_NAMES
    assert all(0 < len(name) <= LONGEST_NAME and name == name.strip() for name in names)
    assert not any(ord(character) < 32 for name in names for character in name)


@pytest.mark.parametrize("part", [b"=?", b"?=", b"=?a?q?", b"=?a?q?b?=", b"%", b"'", b"=?utf-7?b?", b"=?x?y?z?= "])
def test_a_long_value_is_read_up_to_its_bound(part: bytes) -> None:
    """Whatever it repeats; what is behind the bound does not change the names."""
    value = part * (70_000 // len(part))
    assert attachment_names(filename(value)) == attachment_names(filename(value + b"tail"))
    assert len(attachment_names([(b"name*", value)])) <= 1
