"""The compressed files that an engine decodes, and whether it decodes all of one."""

import bz2
import gzip
import lzma

from miltscan.core.containers.streams import may_go_on, stream_file


def test_the_form_is_that_of_the_first_bytes() -> None:
    """Other files have none."""
    made = {"gz": gzip.compress(b"a"), "bz2": bz2.compress(b"a"), "xz": lzma.compress(b"a")}
    assert {name: form.name for name, data in made.items() if (form := stream_file(data))} == {one: one for one in made}
    assert stream_file(b"PK\3\4") is None


def test_a_second_stream_is_seen() -> None:
    """Of a .bz2 clamd decodes only the first one; of a .gz none that stands behind zeros."""
    for compress in (gzip.compress, bz2.compress, lzma.compress):
        one = compress(b"a")
        form = stream_file(one)
        assert form
        files = (one, one + one, compress(b"") + one, one + bytes(4) + one)
        assert [may_go_on(form, memoryview(data)) for data in files] == [False, True, True, True]
