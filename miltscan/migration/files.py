"""Reads the file to import and writes the resulting files; the only module of the package that uses the disk."""

from collections.abc import Mapping
from pathlib import Path

from miltscan.errors import ConfigError

_LARGEST = 2**20  # bytes: no configuration is larger


def read_source(file: Path) -> str:
    """The text in any encoding. Raises ConfigError."""
    try:
        with file.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    if len(data) > _LARGEST or b"\0" in data:
        raise ConfigError(f"{file}: expected a configuration file, which is a text of at most 1 MiB")
    return data.decode(errors="replace")


def write(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """Write each file into the folder, which is made if it is missing; returns the paths.

    Raises ConfigError, and writes nothing, if one of the files exists.
    """
    paths = [folder / name for name in files]
    for path in paths:
        if path.exists() or path.is_symlink():
            raise ConfigError(f"{path}: already exists; move it away, or choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, files.values(), strict=True):
            with path.open("x") as stream:
                stream.write(text)
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be written: {(error.strerror or str(error)).lower()}") from None
    return paths
