"""Reads the file that is imported and writes what comes of it; the only module here that touches the disk."""

from collections.abc import Mapping
from pathlib import Path

from miltscan.errors import ConfigError

_LARGEST = 2**20  # bytes: no configuration is larger


def read_source(file: Path) -> str:
    """The text, whatever its encoding; raises ConfigError."""
    try:
        with file.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    if len(data) > _LARGEST or b"\0" in data:
        raise ConfigError(f"{file}: expected a configuration file, a text of at most 1 MiB")
    return data.decode(errors="replace")


def write(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """Write each file into the folder, made if need be; gives the paths. ConfigError before one is overwritten."""
    paths = [folder / name for name in files]
    for path in paths:
        if path.exists() or path.is_symlink():
            raise ConfigError(f"{path}: exists already; move it away or choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, files.values(), strict=True):
            with path.open("x") as stream:
                stream.write(text)
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be written: {(error.strerror or str(error)).lower()}") from None
    return paths
