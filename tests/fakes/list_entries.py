"""Entries of the allow and deny lists for tests that care about one field of them; holds no expectation."""

from typing import Any

from miltscan.core.lists import ListEntry, ListName


def listed(name: str = "allow", list_id: str = "00000000", **fields: Any) -> ListEntry:  # noqa: ANN401 - any field
    """An entry of this list with these fields, added at time 0 by root."""
    return ListEntry(list_id, ListName(name), 0.0, "root", "test", **fields)
