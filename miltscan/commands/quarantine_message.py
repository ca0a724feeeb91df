"""`quarantine show` and `quarantine download`: one entry, and its message."""

# ruff: noqa: D301  a real \b keeps the lines of an example

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from shutil import copyfileobj
from typing import Annotated, BinaryIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import typer

from miltscan.commands.common import Config, exit_on_error
from miltscan.commands.dropping import acting_user, run_as_owner
from miltscan.commands.quarantine_common import (
    EntryId,
    IdentityFile,
    Json,
    Opened,
    expect_folder,
    identity_text,
    opened,
)
from miltscan.commands.quarantine_view import entry_fields, entry_text
from miltscan.commands.tables import terminal_width
from miltscan.commands.terminal import say, say_bytes, say_json
from miltscan.config.load import load_settings
from miltscan.core.text import readable
from miltscan.errors import StartError

_STDOUT = Path("-")
_LONGEST_HEAD = 2**20  # bytes
_MODE = 0o600


def show_entry(  # noqa: PLR0913 - one parameter for each option
    entry: EntryId,
    *,
    headers: Annotated[bool, typer.Option("--headers", help="Print the header of the message instead.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Print the message as received instead.")] = False,
    json: Json = False,
    identity: IdentityFile = None,
    config: Config = None,
) -> None:
    """Show an entry and its history.

    The last line is the command that releases the message. The status is 1 if the entry does not exist, or if its file
    is broken.

    \b
    Examples:
      miltscan quarantine show 01m8jfm6b0
      miltscan quarantine show --headers 01m8jfm6b0
      miltscan quarantine show --raw 01m8jfm6b0 | miltscan scan -
    """
    if headers + raw + json > 1:
        raise typer.BadParameter("expected only one of --headers, --raw and --json")
    with opened(config, identity) as quarantine:
        entry_id = quarantine.find(entry)
        if headers or raw:
            with quarantine.message(entry_id) as message:
                say_bytes(BytesIO(_head(message)) if headers else message)
            return
        standing = quarantine.files.read(entry_id)
        if json:
            say_json(entry_fields(standing))
            return
        area = quarantine.settings.quarantine.areas.get(standing.entry.area)
        expires = standing.entry.time + area.max_age if area else None
        say("\n".join(entry_text(standing, expires, terminal_width())))


def _head(message: BinaryIO) -> bytes:
    """The lines up to the first empty one."""
    lines: list[bytes] = []
    while (line := message.readline(_LONGEST_HEAD)).rstrip(b"\r\n") and sum(map(len, lines)) < _LONGEST_HEAD:
        lines.append(line)
    return b"".join(lines)


def download_entry(
    entry: EntryId,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The archive [default: ID.zip]; - is standard output."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE, if it exists.")] = False,
    identity: IdentityFile = None,
    config: Config = None,
) -> None:
    """Save a message in a zip archive.

    The archive contains ID.eml, the message as received. In an archive no mail program opens it by mistake, and no
    virus scanner of the host removes it. The status is 1 if the entry does not exist, or if FILE does.

    \b
    Examples:
      miltscan quarantine download 01m8jfm6b0
      miltscan quarantine download 01m8jfm6b0 --output sample.zip --force
      miltscan quarantine download 01m8jfm6b0 --output - | ssh lab 'cat >sample.zip'
    """
    target = output or Path(f"{entry.lower()}.zip")
    if target == _STDOUT and sys.stdout.isatty():
        raise typer.BadParameter("standard output is a terminal; expected a file or a pipe", param_hint="--output")
    with exit_on_error(), os.fdopen(os.memfd_create("archive"), "w+b") as archive:  # no copy of the message on disk
        settings = load_settings(config)
        found = Opened(settings, acting_user(), identity_text(settings, identity))
        with found.at_end:
            run_as_owner(settings, lambda: _pack(found, entry, archive))
        archive.seek(0)
        if target == _STDOUT:
            say_bytes(archive)
            return
        with _created(target, force=force) as file:
            copyfileobj(archive, file)
        say(f"{target}: saved")


def _pack(quarantine: Opened, entry: str, archive: BinaryIO) -> None:
    expect_folder(quarantine.settings, 1)
    entry_id = quarantine.find(entry)
    received = quarantine.files.read(entry_id).entry.time
    member = ZipInfo(f"{entry_id}.eml", time.localtime(received)[:6])
    member.compress_type, member.external_attr = ZIP_DEFLATED, _MODE << 16
    with quarantine.message(entry_id) as message, ZipFile(archive, "w") as target, target.open(member, "w") as file:
        copyfileobj(message, file)
    archive.flush()


@contextmanager
def _created(file: Path, *, force: bool) -> Iterator[BinaryIO]:
    """A new file for this user alone, or with `force` one that exists; not left there incomplete. StartError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if force else os.O_EXCL)
    try:
        with os.fdopen(os.open(file, flags, _MODE), "wb") as stream:
            try:
                yield stream
                stream.flush()
            except OSError:
                if not force:
                    file.unlink()
                raise
    except FileExistsError:
        raise StartError(
            f"{readable(str(file))}: exists; expected a new --output, or --force to overwrite it"
        ) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StartError(f"{readable(str(file))}: cannot be written: {reason}") from None
