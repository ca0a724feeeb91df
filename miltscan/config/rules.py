"""The tables `[[rule]]`: settings as they stand in the file, and the rules of the core that they mean.

A mistake is found when the file is read: every condition is made once then, with sources that are not opened.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from miltscan.config import places, units
from miltscan.config.choices import ELSEWHERE, RULE_CHOICE
from miltscan.config.table import Table
from miltscan.core.action import ActionName, Choice
from miltscan.core.condition_values import OpenSource, UnfitError
from miltscan.core.conditions import CONDITIONS, Condition, condition
from miltscan.core.effect import LONGEST_TAG, Effect, code_of, header_name, tag_of
from miltscan.core.lookup import Check, Source, source_mistake
from miltscan.core.policy import is_builtin
from miltscan.core.rules import ALWAYS, Rule
from miltscan.core.template import Template

_Conditions = Mapping[str, Any]
_SIZES = ("size_from", "size_to")
_LONGEST_NAME = 60


class Side(StrEnum):
    """Where a rule decides: at the socket for the incoming sendmail, or at the one for the delivery sendmail."""

    INCOMING = "incoming"
    DELIVERY = "delivery"


def _tables(value: object) -> tuple[_Conditions, ...]:
    given = [value] if isinstance(value, dict) else value
    if not isinstance(given, list) or not given or not all(isinstance(one, dict) and one for one in given):
        raise ValueError
    places = [f"[{position}]" for position in range(1, len(given) + 1)] if isinstance(value, list) else [""]
    _refuse(line for table, place in zip(given, places, strict=True) for line in _mistakes(table, place))
    return tuple(given)


def _table(value: object) -> _Conditions:
    if not isinstance(value, dict) or not value:
        raise ValueError
    _refuse(_mistakes(value, ""))
    return value


def _refuse(mistakes: Iterator[str]) -> None:
    if lines := [*mistakes]:
        raise ValueError("\n".join(lines))


def _shown_tables(tables: Sequence[_Conditions]) -> Any:  # noqa: ANN401 - any TOML value
    return dict(tables[0]) if len(tables) == 1 else [dict(one) for one in tables]


def _rule_name(value: object) -> str:
    name = units.string(value)
    if not name.strip() or len(name) > _LONGEST_NAME or not (name.isascii() and name.isprintable()) or '"' in name:
        raise ValueError
    if is_builtin(name):
        raise ValueError("expected another name; miltscan itself decides under this one")
    return name


_OBJECT = {"type": "object", "propertyNames": {"enum": [*CONDITIONS]}, "minProperties": 1}
_WHEN = units.Notation(
    'a table of conditions such as { outcome = "infected" }, or a list of them, of which one must hold',
    _tables,
    _shown_tables,
    {"anyOf": [_OBJECT, {"type": "array", "items": _OBJECT, "minItems": 1}]},
)
_UNLESS = units.Notation("a table of conditions, of which none may hold", _table, dict, _OBJECT)
_RULE_NAME = units.Notation(f"a unique name of at most {_LONGEST_NAME} printable ASCII characters", _rule_name, str)


_KEEPING = (ActionName.ACCEPT, ActionName.HOLD, ActionName.REDIRECT, ActionName.COPY)


def _code(value: object) -> str:
    """Checked with the action, in `RuleSettings.conflicts`."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else units.string(value)


def _text(value: object) -> str:
    Template.parse(units.string(value))
    return units.string(value)


def _tag(value: object) -> str:
    if value != "":
        tag_of(units.string(value))
    return units.string(value)


def _added(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise ValueError  # noqa: TRY004 - pydantic collects no TypeError
    lines = []
    for name, text in value.items():
        try:
            header_name(name)
            _text(text)
        except ValueError as error:
            lines.append(f".{units.toml(name)} = {units.shortened(text)}: {str(error) or 'expected a text'}")
    _refuse(iter(lines))
    return value


_CODE = units.Notation('a code such as 550 or "550 5.7.1", or an empty string for the usual one', _code, str)
_TEXT = units.Notation("a text in printable ASCII, or an empty string for the usual one", _text, str)
_ADDED = units.Notation(
    'a table such as { "X-Scanned-For" = "{recipient}" }',
    _added,
    dict,
    {"type": "object", "additionalProperties": {"type": "string"}},
)
_REMOVED = units.Notation("the name of a header", lambda value: header_name(units.string(value)), str)
_TAG = units.Notation(f'a text such as "[SPAM]" of at most {LONGEST_TAG} characters, or an empty string', _tag, str)


class RuleSettings(Table):
    """`[[rule]]`: the first rule that matches a message decides, before `[policy]`: docs/rules.md."""

    name: Annotated[str, _RULE_NAME]
    """Unique name in replies, log and metrics."""
    when: Annotated[tuple[_Conditions, ...] | None, units.optional(_WHEN)] = None
    """Conditions, which must all hold; of several tables one must hold, and without any the rule always matches."""
    unless: Annotated[_Conditions | None, units.optional(_UNLESS)] = None
    """Conditions, of which none may hold."""
    action: Annotated[Choice, RULE_CHOICE]
    """Action."""
    to: tuple[Annotated[str, places.MAILBOX], ...] = ()
    """Addresses to which the delivery sendmail brings the message instead (redirect) or as well (copy)."""
    code: Annotated[str, _CODE] = ""
    """Code of the reply, with or without the enhanced status; only with the actions reject and tempfail."""
    text: Annotated[str, _TEXT] = ""
    """Text of the reply, with placeholders such as {signature}: docs/rules.md."""
    add_headers: Annotated[Mapping[str, str], _ADDED] = Field(default_factory=dict)
    """Headers to add to a message that is kept, with placeholders; they replace the sender's own of that name."""
    remove_headers: tuple[Annotated[str, _REMOVED], ...] = ()
    """Names of headers to remove from a message that is kept."""
    tag: Annotated[str, _TAG] = ""
    """Text before the subject of a message that is kept; this breaks the sender's DKIM signature."""
    enforce: Annotated[bool, units.FLAG] = True
    """Whether the rule decides; otherwise its matches are only logged and counted."""
    at: Annotated[Side, units.choice(Side)] = Side.INCOMING
    """Side at which it decides; delivery means the messages that verify.socket scans."""

    def conflicts(self) -> Iterator[str]:
        """Yield a line for each key that does not fit the action."""
        name = self.action.action
        if (name in ELSEWHERE) is not bool(self.to):
            yield '.to: expected addresses with the actions "redirect" and "copy", and none with others'
        if self.code:
            try:
                code_of(name, self.code)
            except ValueError as error:
                yield f".code = {units.toml(self.code)}: {error}"
        if self.text and name not in {ActionName.REJECT, ActionName.TEMPFAIL}:
            yield '.text: expected none: only the actions "reject" and "tempfail" have a reply'
        if (self.add_headers or self.remove_headers or self.tag) and name not in _KEEPING:
            keeping = ", ".join(f'"{one}"' for one in _KEEPING)
            yield f".action: expected one of {keeping} with add_headers, remove_headers and tag: others keep no message"
        if self.to and self.at is Side.DELIVERY:
            yield f'.action = "{self.action}": expected another action at the delivery side, which receives the copies'

    @property
    def choice(self) -> Choice:
        """The action with its addresses."""
        return self.action._replace(to=tuple(f"<{one}>" for one in self.to))

    @property
    def splits(self) -> bool:
        """Whether it may decide for some recipients of a message only, or sends mail to other addresses."""
        return bool(self.to) or any("recipient" in table for table in (*(self.when or ()), self.unless or {}))

    @property
    def looks_at_attachments(self) -> bool:
        """Whether a condition is about the files in a message, how deep they lie, or what is odd about it."""
        keys = {"attachment", "type", "anomaly", "depth_from"}
        return any(not keys.isdisjoint(table) for table in (*(self.when or ()), self.unless or {}))

    def rule(self, open_source: OpenSource) -> Rule:
        """The rule of the core. Raises what `open_source` does."""
        when = tuple(_conditions(table, open_source) for table in self.when or ()) or ALWAYS
        unless = _conditions(self.unless or {}, open_source)
        return Rule(self.name, when, unless, self._effect, self.enforce)

    @property
    def _effect(self) -> Effect:
        code, status = code_of(self.action.action, self.code) if self.code else (None, "")
        return Effect(
            self.choice,
            code,
            status,
            Template.parse(self.text) if self.text else None,
            tuple((name, Template.parse(value)) for name, value in self.add_headers.items()),
            self.remove_headers,
            tag_of(self.tag) if self.tag else None,
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources of values that its conditions name."""
        named: list[str] = []

        def note(text: str, _check: Check) -> Source:
            named.append(text)
            return NO_SOURCE

        self.rule(note)
        return tuple(named)


class _NoSource:
    """Stands for a source that is not opened."""

    def has(self, _kind: object, _value: str) -> bool:
        """It has nothing."""
        return False


NO_SOURCE = _NoSource()


def _unopened(text: str, _check: Check) -> Source:
    """Check how a source is named. Raises ValueError."""
    if mistake := source_mistake(text):
        raise ValueError(mistake)
    return NO_SOURCE


def _condition(key: str, value: object, open_source: OpenSource) -> Condition:
    return condition(key, units.parse_size(value) if key in _SIZES else value, open_source)


def _conditions(table: _Conditions, open_source: OpenSource) -> tuple[Condition, ...]:
    return tuple(_condition(key, value, open_source) for key, value in table.items())


def _mistakes(table: _Conditions, place: str) -> Iterator[str]:
    """Yield a line for each mistake, which begins with its place below the key."""
    for key, value in table.items():
        shown = key if key.isprintable() else units.toml(key)
        try:
            _condition(key, value, _unopened)
        except KeyError:
            yield f"{place}.{shown}: unknown condition; expected one of {', '.join(CONDITIONS)}"
        except UnfitError as error:
            for below, given, expected in error.mistakes:
                yield f"{place}.{key}{below} = {units.shortened(given)}: {expected}"
        except ValueError:
            yield f'{place}.{key} = {units.shortened(value)}: expected a size such as "1MiB"'
    yield from (f"{place or '.'}: {line}" for line in _contradictions(table))


_REASONED = {"unscanned", "error"}


def _contradictions(table: _Conditions) -> Iterator[str]:
    """Yield a line for each pair of conditions that no message can meet."""
    outcomes, directions = _named(table.get("outcome")), _named(table.get("direction"))
    if "reason" in table and outcomes and not outcomes & _REASONED:
        yield 'no message matches: only outcomes "unscanned" and "error" have a reason'
    if ("signature" in table or "class" in table) and outcomes and "infected" not in outcomes:
        yield 'no message matches: only the outcome "infected" has a signature'
    if table.get("authenticated") is False and ("user" in table or directions == {"submission"}):
        yield "no message matches: only authenticated clients have a user, and only their mail is submission"
    if table.get("authenticated") is True and directions and "submission" not in directions:
        yield 'no message matches: the mail of authenticated clients has the direction "submission"'
    try:
        if units.parse_size(table.get("size_from", 0)) > units.parse_size(table.get("size_to", 2**63)):
            yield "no message matches: size_from is greater than size_to"
    except ValueError:  # named by itself
        return


def _named(value: object) -> set[str]:
    """The texts of a condition, a single one or a list."""
    return {*map(str, value)} if isinstance(value, list) else {str(value)} - {"None"}
