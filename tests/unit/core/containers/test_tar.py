"""A tar that is made, as others read it."""

import io
import tarfile

from miltscan.core.containers.tar import as_tar

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
