"""A tar that is made, as others read it; and those that others make, in each format."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.containers.tar import as_tar, is_tar, tar_members

FILES = [b"a", b"", b"b" * 512, b"c" * 5000]


def test_a_tar_has_all_files() -> None:
    """Their names are numbers, and the last block is whole."""
    made = b"".join(as_tar([memoryview(one) for one in FILES]))
    with tarfile.open(fileobj=io.BytesIO(made), mode="r:") as tar:
        found = {one.name: tar.extractfile(one) for one in tar}
        assert {name: file.read() for name, file in found.items() if file} == {
            str(number): one for number, one in enumerate(FILES)
        }
    assert len(made) % 512 == 0


def tarred(*files: bytes, form: int = tarfile.USTAR_FORMAT, name: str = "a") -> bytes:
    """A tar that Python makes."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as tar:
        for number, content in enumerate(files):
            member = tarfile.TarInfo(f"{name}{number}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def members(data: bytes) -> list[bytes]:
    """What is in a tar, the names in front of files included."""
    return [bytes(one) for one in tar_members(memoryview(data))]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_members_of_a_tar(form: int) -> None:
    """All of them are there, whatever their names are, and in a tar behind the first one."""
    assert members(tarred(*FILES, form=form)) == FILES
    assert {*FILES} <= {*members(tarred(*FILES, form=form, name="long" * 24))}
    assert members(tarred(b"first", form=form) + tarred(b"second", form=form)) == [b"first", b"second"]


def test_a_tar_of_old_programs() -> None:
    """It has no signature, only a checksum; its numbers may end with a blank."""
    header = bytearray(tarred(b"content")[:512])
    header[257:265] = bytes(8)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    assert is_tar(bytes(header))
    assert members(bytes(header) + b"content".ljust(512, b"\0")) == [b"content"]


def test_a_size_as_gnu_tar_writes_large_ones() -> None:
    """A binary number; what is not there is cut."""
    header = bytearray(tarred(b"content")[:512])
    header[124:136] = b"\x80" + (1 << 40).to_bytes(11)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    assert members(bytes(header) + b"content") == [b"content"]


def test_what_is_no_tar() -> None:
    """Its checksum is not that of its bytes, or it is cut."""
    header = tarred(b"content")[:512]
    for other in (b"", bytes(512), header[:511], header.replace(b"a0", b"b0"), b"0" * 512, header[:148] + b"9" * 364):
        assert not is_tar(other)


@given(st.binary(max_size=2000), st.integers(0, 511), st.binary(max_size=16))
def test_nothing_raises(rest: bytes, at: int, change: bytes) -> None:
    """Any bytes have members or none."""
    header = bytearray(tarred(b"content")[:512])
    header[at : at + len(change)] = change
    header = header[:512]
    assert sum(map(len, members(bytes(header) + rest))) <= len(rest)
