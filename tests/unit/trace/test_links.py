"""Which lines link two queue IDs, and which texts only look like it."""

from datetime import UTC, datetime

import pytest

from miltscan.sandwich.logline import parse_line
from miltscan.trace.links import Link, LinkKind, links

HERE, A, B = "6AMG00aa000001", "6AMG00aa000002", "6AMG00ab000002"
COPY, NOTICE, HANDOFF = LinkKind.COPY, LinkKind.NOTICE, LinkKind.HANDOFF


def linked(text: str, queue_id: str = HERE) -> list[Link]:
    """The links of a line with this text."""
    return links(parse_line(f"Nov 22 16:00:00 mx sm-mta[1]: {queue_id}: {text}", datetime(2026, 11, 23, tzinfo=UTC)))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{A}: clone: owner=boss@example.test", [Link(HERE, A, COPY)]),
        (f"clone {A}, owner=boss@example.test", [Link(A, HERE, COPY)]),
        (f"split: maxrcpts=2, rcpts=5, count=2, ids={A}; {B}", [Link(HERE, A, COPY), Link(HERE, B, COPY)]),
        (f"split: maxrcpts=2, rcpts=3, count=1, id={A}", [Link(HERE, A, COPY)]),
        (f"split: count=1, id={A}", [Link(HERE, A, COPY)]),
        (f"{A}: DSN: User unknown", [Link(HERE, A, NOTICE)]),
        (f"{A}: return to sender: User unknown", [Link(HERE, A, NOTICE)]),
        (f"{A}: sender notify: Warning: could not send message for past 4 hours", [Link(HERE, A, NOTICE)]),
        (f"{A}: postmaster notify: User unknown", [Link(HERE, A, NOTICE)]),
        (f"to=<r@y>, dsn=2.0.0, stat=Sent ({A} Message accepted for delivery)", [Link(HERE, A, HANDOFF)]),
        (f"to=<r@y>, dsn=2.0.0, stat=Sent (2.0.0 {A} Message accepted for delivery)", [Link(HERE, A, HANDOFF)]),
    ],
)
def test_the_lines_that_link(text: str, found: list[Link]) -> None:
    """Each form of sendmail's source has its kind and direction."""
    assert linked(text) == found


def test_a_split_that_is_logged_in_parts() -> None:
    """The queue IDs of a long list stand in further parts of the line."""
    assert linked(f"split: maxrcpts=1, rcpts=9, count=8, ids={A}; ...", f"{HERE}[1]") == [Link(HERE, A, COPY)]
    assert linked(f"{A}; {B}; ...", f"{HERE}[2]") == [Link(HERE, A, COPY), Link(HERE, B, COPY)]
    assert linked(B, f"{HERE}[3]") == [Link(HERE, B, COPY)]


@pytest.mark.parametrize(
    "text",
    [
        f"{A}: cloned: owner=x",
        f"{A}: DSN",
        f"clone {A}",
        "clone x, owner=y",
        f"split: count=1, id=x{A}x",
        f"from=<{A}: clone: owner=x>",
        f"Milter (x) add: header: X: {A}: clone: owner=x",
        f"to=<r@y>, dsn=4.0.0, stat=Deferred: {A}: clone: owner=x",
        f"to=<r@y>, dsn=4.0.0, stat=Sent ({A} Message accepted for delivery)",
        f"see {A}",
        "",
    ],
)
def test_other_texts_link_nothing(text: str) -> None:
    """A cut line, or the text of a client or server, is no link."""
    assert linked(text) == []


def test_a_line_without_a_queue_id_links_nothing() -> None:
    """NOQUEUE is the queue ID of all lines without a message."""
    assert linked(f"{A}: clone: owner=x", "NOQUEUE") == []
