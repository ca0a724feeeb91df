"""What the commands on the quarantine share: opening it with the rights of its owner, and finding entries by ID.

Modules with SQLAlchemy are imported only where a command uses the index: the service imports all commands, and its
workers would keep 15 MiB of it for nothing.
"""

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from miltscan.commands.common import exit_on_error
from miltscan.commands.dropping import acting_user, become_owner
from miltscan.commands.progress import progress
from miltscan.commands.terminal import complain
from miltscan.config.keyfile import Loaded, load_keys
from miltscan.config.load import load_settings
from miltscan.config.ownership import service_user
from miltscan.config.secretfile import read_file
from miltscan.config.settings import Settings
from miltscan.core.keys import Keyring
from miltscan.core.text import readable
from miltscan.errors import ConfigError, EntryError, StoreError
from miltscan.quarantine.encoder import identities
from miltscan.quarantine.entry import Encoding, is_entry_id, is_prefix
from miltscan.quarantine.files import Files
from miltscan.quarantine.release import Releaser
from miltscan.scanning.assemble import releaser_for
from miltscan.scanning.entries import retentions

if TYPE_CHECKING:
    from miltscan.quarantine.selection import Selection
    from miltscan.quarantine.store import Store

EntryId = Annotated[str, typer.Argument(metavar="ID", help="The ID of an entry, or its beginning.", show_default=False)]
EntryIds = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help="The IDs of entries, or their beginnings.", show_default=False),
]
IdentityFile = Annotated[
    Path | None,
    typer.Option(
        "--identity",
        metavar="FILE",
        help="The private keys of encrypted entries [default: quarantine.identity]",
        show_default=False,
        readable=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print a JSON object for each entry.")]
_BATCH, _PAGE = 500, 1000  # entries put into the index, and rows read, at once
_WITHOUT_INDEX = (
    ". Start its database, or correct quarantine.index, or try again later. With a whole ID, show, download and release"
    " work without it."
)
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True)
class Opened:
    """The quarantine of these settings, as its owner; `user` is who acts, for events and the log.

    `identity` is the text of the file of private keys, read before the rights of root were given up.
    """

    settings: Settings
    user: str
    identity: tuple[str, str] = ("", "")
    keyring: Keyring = ()
    at_end: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def files(self) -> Files:
        """The files of the entries."""
        return Files(Path(self.settings.quarantine.directory))

    @cached_property
    def store(self) -> "Store":
        """The files with their index; what waits for the index is put into it first. Raises StoreError."""
        from miltscan.quarantine.store import Store  # noqa: PLC0415 - see above

        index, areas = self.settings.quarantine.index, retentions(self.settings)
        try:
            with progress("Updating the index") as update:
                store = Store(self.files.directory, index, areas, complain, update)
                self.at_end.callback(store.close)
                waiting, done = store.unindexed(), 0
                while number := store.index_waiting(_BATCH):
                    done += number
                    update(done, waiting)
                store.rows(limit=1)  # makes an index again that is missing or damaged
        except StoreError as error:
            remedy = _WITHOUT_INDEX if str(error).startswith("index ") else ""
            raise StoreError(f"{error}{remedy}") from None
        return store

    @cached_property
    def keys(self) -> Sequence[Any]:
        """The private keys; none without a file. Raises StoreError."""
        name, text = self.identity
        return identities(text, name) if name else ()

    def find(self, text: str) -> str:
        """The ID that `text` is, or begins; only a beginning needs the index. Raises EntryError, StoreError."""
        given = text.lower()
        if is_entry_id(given):
            return given
        if not is_prefix(given):
            raise EntryError(f"{readable(text, 60)}: not an ID; expected the beginning of one that list shows")
        return self.store.find(given)

    def chosen(self, entries: Sequence[str] | None, wanted: "Selection") -> tuple[list[str], int]:
        """The IDs that were named, or else those that are `wanted`, and how many name no entry, each with its line.

        Without any the command ends with status 1.
        """
        ids: list[str] = []
        missing = 0
        for text in entries or ():
            try:
                ids.append(self.find(text))
            except EntryError as error:
                complain(str(error))
                missing += 1
        while not entries and (page := self.store.rows(wanted, _PAGE, ids[-1] if ids else "")):
            ids += [row.id for row in page]
        if not ids:
            if not missing:
                complain("no entry matches")
            raise typer.Exit(1)
        return [*dict.fromkeys(ids)], missing

    def needed_keys(self, entry_id: str) -> Sequence[Any]:
        """The private keys, if the entry is encrypted. Raises EntryError, StoreError."""
        return self.keys if Encoding.AGE in self.files.read(entry_id).entry.encoding else ()

    def releaser(self, entry_id: str) -> Releaser:
        """What releases this entry; the index follows at its next use. Raises EntryError, StoreError."""
        loaded, keys = Loaded(self.settings, self.keyring), self.needed_keys(entry_id)
        return releaser_for(loaded, self.files, self.files.record, socket.gethostname(), keys)

    @contextmanager
    def message(self, entry_id: str) -> Iterator[BinaryIO]:
        """The message as received. Raises EntryError, StoreError."""
        with self.files.message(entry_id, self.needed_keys(entry_id)) as stream:
            yield stream


def identity_text(settings: Settings, file: Path | None) -> tuple[str, str]:
    """The file of private keys and its text, both empty if there is none. Raises ConfigError."""
    name = str(file or settings.quarantine.identity)
    try:
        return name, read_file(name, secret=False).decode("ascii", "replace") if name else ""
    except ValueError as error:
        raise ConfigError(f"{readable(name)}: {error}") from None


def expect_folder(settings: Settings, status: int) -> None:
    """End the command with this status if the folder of the quarantine does not exist, after a line that says so."""
    folder = Path(settings.quarantine.directory)
    if not folder.is_dir():
        complain(f"nothing is quarantined yet: {folder} does not exist")
        raise typer.Exit(status)


@contextmanager
def opened(
    config: Path | None, identity: Path | None = None, *, signs: bool = False, absent: int = 1
) -> Iterator[Opened]:
    """The quarantine of this configuration, with the keys of receipts if it `signs`; an error ends the command.

    Where the folder does not exist, a line says so and the command ends with the status `absent`.
    """
    with exit_on_error():
        settings = load_settings(config)
        user, text = acting_user(), identity_text(settings, identity)
        keyring = load_keys(settings.keys.file, service_user(settings)) if signs else ()
        become_owner(settings)
        expect_folder(settings, absent)
        with ExitStack() as at_end:
            yield Opened(settings, user, text, keyring, at_end)
