"""What all tables of the configuration have in common."""

from collections.abc import Iterator
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

RESTART: Final = "a change requires a restart"
"""In the annotation of a field that a running service keeps as it is."""


class Table(BaseModel):
    """A table: no unknown keys, no change after reading. The text below a key is its documentation (`meanings`).

    `model_copy(update=...)` makes a changed copy and checks nothing: what a reload keeps may combine to settings that
    no file could hold, and that must not end a service.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="after")
    def _combination(self) -> Self:
        """Refuse the keys together where each of them is valid by itself."""
        if lines := [*self.conflicts()]:
            raise PydanticCustomError("conflict", "{lines}", {"lines": "\n".join(lines)})
        return self

    def conflicts(self) -> Iterator[str]:
        """A whole line for each rule between keys that the table breaks."""
        return iter(())
