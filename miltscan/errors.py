"""The exceptions of miltscan, for faults that a caller can act on; it holds no handling of them.

    MiltscanError
    ├── ConfigError      the configuration is wrong: the user's mistake, exit status 2
    ├── StartError       the world around us is wrong (socket in use, folder missing): exit status 1
    ├── OutputError      standard output cannot be written: exit status 1
    ├── SpoolError       a message could not be written to the spool: the message is tempfailed
    ├── StoreError       the quarantine cannot be used: a message is tempfailed, a command has exit status 1
    │   └── CorruptIndexError   the index is damaged or incomplete: it can be built again from the files
    ├── HandoverError    the delivery sendmail did not take a copy: the message is tempfailed
    ├── EntryError       an entry of the quarantine does not exist, or its file is broken: exit status 1
    ├── QueueError       a held message is not in sendmail's queue, or in use: exit status 1
    ├── SetupError       a step of `setup` failed, or the host cannot be set up: exit status 1
    ├── ListError        the file of the allow and deny lists cannot be used: exit status 1
    └── ProtocolError    the MTA sent a milter step that cannot follow the last one: tempfailed

    MtaGoneError         not an Exception, like KeyboardInterrupt: the MTA has gone, and the scan is cancelled

What an engine meets is never an exception outside the engine: it is a verdict.
"""

from typing import ClassVar


class MiltscanError(Exception):
    """The root: its text is one line for a person, naming the thing, what was expected and what to do."""

    exit_status: ClassVar[int] = 2


class ConfigError(MiltscanError):
    """The configuration cannot be used; the text holds one line per mistake."""


class StartError(MiltscanError):
    """The service cannot start in this environment."""

    exit_status: ClassVar[int] = 1


class OutputError(MiltscanError):
    """Standard output cannot be written (disk full, pipe closed)."""

    exit_status: ClassVar[int] = 1


class SpoolError(MiltscanError):
    """The spool could not take the message (disk full, folder gone)."""


class StoreError(MiltscanError):
    """The quarantine cannot be used: its folder (full, read-only, missing) or its index."""

    exit_status: ClassVar[int] = 1


class CorruptIndexError(StoreError):
    """The index of the quarantine is damaged, missing or incomplete; its files are not."""


class HandoverError(MiltscanError):
    """The delivery sendmail did not take a copy of a message, or did not answer; or another session sends it."""


class EntryError(MiltscanError):
    """An ID names no entry or several, or the file of an entry cannot be read."""

    exit_status: ClassVar[int] = 1


class QueueError(MiltscanError):
    """A message is not in sendmail's queue, or cannot be released or deleted; or the queue cannot be read."""

    exit_status: ClassVar[int] = 1


class SourceError(MiltscanError):
    """A source of values that rules name cannot be read; the text names it and what to do."""


class ListError(MiltscanError):
    """The file of the allow and deny lists cannot be read or written, or an entry does not exist."""

    exit_status: ClassVar[int] = 1


class SetupError(MiltscanError):
    """A host cannot be set up, or a step of that failed."""

    exit_status: ClassVar[int] = 1


class ProtocolError(MiltscanError):
    """A milter step came out of order."""


class MtaGoneError(BaseException):
    """Cancels the scan of a message whose MTA has gone.

    No handler of faults, ours or a library's, may treat it as a fault: the scan has to end.
    """
