"""What is remembered of a message: nothing is forgotten before its time, and two sessions never have one page."""

import time
from pathlib import Path

import pytest

from miltscan.errors import HandoverError, StoreError
from miltscan.quarantine.ledger import AGE, CopyLedger

DIGEST, SENDER = b"d" * 32, b"<a@example.org>"
B, C = b"<b@example.test>", b"<c@example.test>"


@pytest.fixture
def ledger(tmp_path: Path) -> CopyLedger:
    """An empty one, in a folder that does not exist."""
    return CopyLedger(tmp_path / "quarantine")


def test_a_new_message_has_no_steps(ledger: CopyLedger) -> None:
    """Neither has one of another sender or with other bytes."""
    with ledger.page(DIGEST, SENDER) as page:
        page.begin([B])
        page.sent([B], "6AMG4FiU001852")
    for digest, sender in ((DIGEST, b"<>"), (b"e" * 32, SENDER)):
        with ledger.page(digest, sender) as page:
            assert (page.queue_id(B), page.doubts(B), page.entry("refused", [B])) == (None, 0, None)


def test_steps_are_read_again(ledger: CopyLedger) -> None:
    """Each address has its own."""
    with ledger.page(DIGEST, SENDER) as page:
        page.begin([B, C])
        page.sent([B], "6AMG4FiU001852")
        page.kept("refused", [C, B], "01jdq4xk2m8v3n7w5rst")
    with ledger.page(DIGEST, SENDER) as page:
        assert (page.queue_id(B), page.queue_id(C)) == ("6AMG4FiU001852", None)
        assert (page.doubts(B), page.doubts(C)) == (0, 1)
        assert page.entry("refused", [C, B]) == "01jdq4xk2m8v3n7w5rst"
        assert (page.entry("refused", [C]), page.entry("default", [C, B])) == (None, None)
        page.begin([C])
        assert page.doubts(C) == 2
        page.not_sent([C])
        assert page.doubts(C) == 1


def test_a_copy_without_a_queue_id_was_sent(ledger: CopyLedger) -> None:
    """Another server than sendmail names none."""
    with ledger.page(DIGEST, SENDER) as page:
        page.sent([B], "")
        assert page.queue_id(B) == ""
    with ledger.page(DIGEST, SENDER) as page:
        assert page.queue_id(B) == ""


def test_a_torn_line_is_skipped(ledger: CopyLedger) -> None:
    """A crash leaves half a line: the next one is read."""
    with ledger.page(DIGEST, SENDER) as page:
        page.begin([B])
    (path,) = ledger.folder.iterdir()
    path.write_bytes(path.read_bytes()[:-9] + b"\xff")
    with ledger.page(DIGEST, SENDER) as page:
        page.begin([C])
    with ledger.page(DIGEST, SENDER) as page:
        assert (page.doubts(B), page.doubts(C)) == (0, 1)


def test_two_sessions_never_have_one_page(ledger: CopyLedger) -> None:
    """The second one is a tempfail; afterwards the page is free."""
    with (
        ledger.page(DIGEST, SENDER),
        pytest.raises(HandoverError, match="another session"),
        ledger.page(DIGEST, SENDER),
    ):
        pass
    with ledger.page(DIGEST, SENDER), ledger.page(DIGEST, b"<>"):
        pass


def test_a_page_that_is_forgotten_is_gone(ledger: CopyLedger) -> None:
    """The same bytes are a new message."""
    with ledger.page(DIGEST, SENDER) as page:
        page.sent([B], "6AMG4FiU001852")
        page.forget()
    with ledger.page(DIGEST, SENDER) as page:
        assert page.queue_id(B) is None


def test_old_pages_are_removed(ledger: CopyLedger) -> None:
    """Five days after its last step, unless a session has it."""
    assert ledger.prune(time.time()) == 0
    with ledger.page(DIGEST, SENDER) as page:
        page.begin([B])
    (path,) = ledger.folder.iterdir()
    assert ledger.prune(path.stat().st_mtime + AGE - 1) == 0
    with ledger.page(DIGEST, SENDER):
        assert ledger.prune(path.stat().st_mtime + AGE + 1) == 0
    assert ledger.prune(path.stat().st_mtime + AGE + 1) == 1
    assert not path.exists()


def test_a_folder_that_cannot_be_used_is_an_error(ledger: CopyLedger) -> None:
    """Nothing may be sent then."""
    ledger.folder.parent.write_text("a file")
    with pytest.raises(StoreError, match="copies"), ledger.page(DIGEST, SENDER):
        pass


def test_its_folder_and_files_are_private(ledger: CopyLedger) -> None:
    """As those of the quarantine."""
    with ledger.page(DIGEST, SENDER):
        (path,) = ledger.folder.iterdir()
        assert [one.stat().st_mode & 0o777 for one in (ledger.folder, path)] == [0o700, 0o600]
