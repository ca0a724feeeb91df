"""The elements of BER (ITU-T X.690, chapter 8): tags and lengths, definite or not, without recursion. Pure.

What runs over the end of the data ends there, and is noted; nothing raises.
"""

from collections.abc import Iterator
from typing import NamedTuple

from miltscan.core.anomalies import CmsAnomaly
from miltscan.core.containers.budget import Budget, ContainerLimit


class BerElement(NamedTuple):
    """A BER element: its first tag byte, and where its contents begin and end; None: at an end-of-contents."""

    tag: int
    start: int
    end: int | None

    @property
    def ends_contents(self) -> bool:
        """Whether it ends an element of indefinite length."""
        return self.tag == 0 and self.start == self.end

    @property
    def constructed(self) -> bool:
        """Whether its contents are elements."""
        return bool(self.tag & 0x20) or self.end is None


OCTET_STRING = 0x04
"""The tag of a string of bytes, in one piece."""
_LONG_TAG, _MORE, _LONG_LENGTH, _INDEFINITE = 0x1F, 0x80, 0x80, 0x80
_MOST_ELEMENTS = 300_000  # of one message; 100 MB in pieces of 1000 bytes, which are the smallest seen, are 100,000
_ELEMENTS_PER_LOOK = 1000  # at the clock


class BerWalk:
    """The elements of one BER value, and what is odd about those that were looked at."""

    def __init__(self, view: memoryview, budget: Budget) -> None:
        self.view = view
        self._budget = budget
        self._elements = 0
        self.anomalies: set[CmsAnomaly] = set()
        self.exceeded: set[ContainerLimit] = set()

    def pieces(self, string: BerElement) -> Iterator[memoryview]:
        """The pieces of a constructed string, at any depth up to the bound."""
        ends, at = [string.end], string.start
        while ends:
            if ends[-1] is not None and at >= ends[-1]:
                ends.pop()
                continue
            child = self.element(at)
            if child is None:
                self._note_end()
                return
            if child.ends_contents and ends[-1] is None:
                ends.pop()
            elif child.constructed:
                ends.append(child.end)
            else:
                if child.tag != OCTET_STRING:
                    self.anomalies.add(CmsAnomaly.PIECE_STRANGE)
                yield self.view[child.start : child.end]
            at = child.start if child.constructed or child.end is None else child.end
            if len(ends) > self._budget.bounds.depth:
                self.exceeded.add(ContainerLimit.DEPTH)
                return

    def children(self, parent: BerElement) -> Iterator[BerElement]:
        """The elements inside another one; what is behind a child is looked for only if the next one is asked for."""
        at = parent.start
        while (parent.end is None or at < parent.end) and (child := self.element(at)):
            if child.ends_contents:
                return
            if parent.end is not None and (child.end or 0) > parent.end:
                self.anomalies.add(CmsAnomaly.LENGTH_DIFFERS)
            yield child
            at = self.after(child)

    def after(self, element: BerElement) -> int:
        """Where the contents of an element end; those of an indefinite length are walked over."""
        if element.end is not None:
            return element.end
        at, open_elements = element.start, 1
        while open_elements:
            child = self.element(at)
            if child is None:
                self._note_end()
                break
            if child.ends_contents:
                open_elements -= 1
            elif child.end is None:
                open_elements += 1
            at = child.start if child.end is None else child.end
        return at

    def _note_end(self) -> None:
        if not self.exceeded:
            self.anomalies.add(CmsAnomaly.TRUNCATED)

    def element(self, at: int) -> BerElement | None:
        """The element at a position; None at the end of the data, or when a bound is exceeded."""
        view = self.view
        self._elements += 1
        if self._elements > _MOST_ELEMENTS:
            self.exceeded.add(ContainerLimit.MEMBERS)
        if self._elements % _ELEMENTS_PER_LOOK == 0 and (late := self._budget.late()):
            self.exceeded.add(late)
        if self.exceeded or at + 2 > len(view):
            return None
        tag = view[at]
        at += 1
        if tag & _LONG_TAG == _LONG_TAG:
            while at < len(view) and view[at] & _MORE:
                at += 1
            at += 1
        if at >= len(view):
            return None
        length = view[at]
        at += 1
        if length == _INDEFINITE:
            return BerElement(tag, at, None)
        if length & _LONG_LENGTH:
            size = length & ~_LONG_LENGTH
            length = int.from_bytes(view[at : at + size], "big")
            at += size
        if at + length > len(view):
            self.anomalies.add(CmsAnomaly.TRUNCATED)
        return BerElement(tag, min(at, len(view)), min(at + length, len(view)))
