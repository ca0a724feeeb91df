"""How rules and explained decisions are shown: lines for a terminal, and fields for `--json`."""

from collections.abc import Iterator, Mapping, Sequence

from miltscan.commands.tables import Column, counted, facts, indented, table, wrapped
from miltscan.config.rules import RuleSettings
from miltscan.core.action import Decision, Hold
from miltscan.core.edits import ChangeHeader, HeaderEdit, InsertHeader
from miltscan.core.explained import Consulted, Explained
from miltscan.core.facts import Facts
from miltscan.core.lists import described
from miltscan.core.rule_steps import RuleStep, Tried, fact_text
from miltscan.core.rules import Rule
from miltscan.core.text import readable
from miltscan.quarantine.entry import shown_address

_LONGEST = 400  # characters of a header's value
_NAMES: Mapping[str, str] = {"now": "time", "client_name": "client name", "spam_actions": "spam actions"}


def rules_text(rules: Sequence[tuple[RuleSettings, Rule]], width: int) -> Iterator[str]:
    """The rules in their order: a line of a table for each, and below it its conditions."""
    columns = (Column("", right=True), Column("ACTION"), Column("ENFORCED"), Column("SIDE"), Column("RULE"))
    rows = [
        (str(number), str(given.action), "yes" if given.enforce else "no", str(given.at), given.name)
        for number, (given, _) in enumerate(rules, 1)
    ]
    titles, *lines = table(columns, rows, width)
    yield titles
    for line, (given, rule) in zip(lines, rules, strict=True):
        yield line
        for text in _terms(given, rule):
            for one in wrapped(text, width - 6):
                yield f"      {one}"


def _terms(given: RuleSettings, rule: Rule) -> Iterator[str]:
    """What a rule asks for, and what it does beside its action."""
    for number, conditions in enumerate(rule.when):
        word = "or" if number else "when"
        yield f"{word} {', '.join(map(str, conditions))}" if conditions else "always"
    if rule.unless:
        yield f"unless {' or '.join(map(str, rule.unless))}"
    if given.to:
        yield f"to {', '.join(given.to)}"
    for name in ("code", "text", "tag"):
        if value := getattr(given, name):
            yield f"{name} {value}"
    if given.add_headers:
        yield "adds " + ", ".join(f"{name}: {value}" for name, value in given.add_headers.items())
    if given.remove_headers:
        yield f"removes {', '.join(given.remove_headers)}"


def rule_fields(given: RuleSettings, rule: Rule) -> Mapping[str, object]:
    """A rule as a JSON object."""
    return {
        "name": given.name,
        "when": [{one.key: one.text for one in conditions} for conditions in rule.when],
        "unless": {one.key: one.text for one in rule.unless},
        "action": str(given.action),
        "to": list(given.to),
        "code": given.code or None,
        "text": given.text or None,
        "add_headers": dict(given.add_headers),
        "remove_headers": list(given.remove_headers),
        "tag": given.tag or None,
        "enforced": given.enforce,
        "side": given.at,
    }


def known_text(known: Facts, width: int) -> Iterator[str]:
    """The facts of a message, and the names of those that are not known."""
    yield from facts(
        [
            (_NAMES.get(name, name), fact_text(value))
            for name, value in known._asdict().items()
            if value is not None and name not in {"recipient", "headers"}
        ],
        width,
    )
    unknown = [_name(name) for name, value in known._asdict().items() if value is None and name != "recipient"]
    if unknown:
        yield from indented(f"not known: {', '.join(unknown)}", width)


def lists_text(consulted: Consulted, width: int) -> Iterator[str]:
    """The entries of both lists that apply."""
    for entries, what in ((consulted.denied, "decides before the rules"), (consulted.allowed, "changes the verdict")):
        for entry in entries:
            yield from indented(f"{entry.list} {entry.id}: {described(entry)}; it {what}", width)
    if not consulted.denied and not consulted.allowed:
        yield "  no entry applies"
    if consulted.unasked:
        names = ", ".join(map(_name, consulted.unasked))
        yield from indented(f"entries that ask for what is not known were passed over: {names}", width)


def explained_text(found: Sequence[Explained], others: int, width: int) -> Iterator[str]:
    """The rules for each kind of recipient, and at last the decision for each."""
    alike: dict[object, list[Explained]] = {}
    for one in found:
        alike.setdefault(tuple(map(_likeness, one.steps)), []).append(one)
    for same in alike.values():
        if same[0].steps:
            who = ", ".join(map(_recipient, same))
            yield from wrapped(f"Rules for {who}" if len(found) > 1 else "Rules", width)
        for number, step in enumerate(same[0].steps, 1):
            yield from indented(f"{number} {step.rule.name}: {step.result}", width)
            for tried in step.tried:
                yield from _below(_tried_text(tried, several=len(same) > 1), width)
    yield "Decision"
    for one in found:
        first, *edits = _decision_text(one)
        yield from indented(f"{_recipient(one)}: {first}", width)
        for text in edits:
            yield from _below(text, width)
    if others:
        yield from indented(f"and {counted(others, 'recipient')} whose address is not known", width)


def _below(text: str, width: int) -> Iterator[str]:
    return (f"      {line}" for line in wrapped(text, width - 6))


def _likeness(step: RuleStep) -> object:
    """What is the same for recipients of one kind: all but the address of the recipient."""
    return step.result, tuple((one.place, str(one.condition), one.held) for one in step.tried)


def _recipient(one: Explained) -> str:
    return "any recipient" if one.recipient is None else shown_address(one.recipient)


def _tried_text(tried: Tried, *, several: bool) -> str:
    """Why a condition fails, or holds where it must not; the address of `several` recipients is not repeated."""
    if tried.missing:
        return f"{tried.place} {tried.condition}: not known: {', '.join(map(_name, tried.missing))}"
    result = f"{tried.place} {tried.condition} {'holds' if tried.held else 'fails'}"
    return result if several and "recipient" in tried.condition.reads else f"{result}: it is {tried.value}"


def _name(name: str) -> str:
    return _NAMES.get(name, name)


def _decision_text(one: Explained) -> Iterator[str]:
    """What is done, and by which rule; then each edit of a header."""
    if one.decision is None:
        yield f"undecided: it depends on {', '.join(map(_name, one.needs))}"
        return
    reply = f": {one.decision.reply}" if one.decision.reply else ""
    yield f"{_action(one.decision)}, by rule {one.decision.rule}{reply}"
    yield from _edit_texts(one)


def _action(decision: Decision) -> str:
    """The action with its area, its addresses or the reason of a hold."""
    action = decision.action
    if isinstance(action, Hold):
        return f"hold ({action.reason})"
    if area := getattr(action, "area", ""):
        return f"{action.name}:{area}"
    to = [shown_address(one) for one in getattr(action, "to", ())]
    return f"{action.name} to {', '.join(to)}" if to else str(action.name)


def _edit_texts(one: Explained) -> Iterator[str]:
    """The edits of headers; where not all headers are known, the tag and the removals as the rule has them."""
    edits = one.decision.edits if one.decision else ()
    for edit in edits:
        if one.partial and isinstance(edit, InsertHeader) and edit.name == "Subject":
            yield f"puts {readable(edit.value, _LONGEST)} before the subject"
        else:
            yield _edit_text(edit)
    if one.partial and one.rule:
        known = {edit.name.lower() for edit in edits}
        others = [name for name in one.rule.effect.remove_headers if name.lower() not in known]
        yield from (f"removes {name}, if the message has it" for name in others)


def _edit_text(edit: HeaderEdit) -> str:
    match edit:
        case InsertHeader(name, value):
            return f"adds {name}: {readable(value, _LONGEST)}"
        case ChangeHeader(name, _, value):
            return f"changes {name} to {readable(value, _LONGEST)}"
    return f"removes {edit.name} ({edit.index})"


def explained_fields(known: Facts, consulted: Consulted, found: Sequence[Explained]) -> dict[str, object]:
    """An explanation as a JSON object; a fact that is not known is null."""
    values = {name: value for name, value in known._asdict().items() if name not in {"recipient", "headers"}}
    return {
        "facts": {name: None if value is None else _plain(value) for name, value in values.items()},
        "denied_by": [one.id for one in consulted.denied],
        "allowed_by": [one.id for one in consulted.allowed],
        "lists_need": list(consulted.unasked),
        "recipients": [_explained_one(one) for one in found],
        "others": consulted.case.others,
    }


def _plain(value: object) -> object:
    if isinstance(value, bool | int):
        return value
    return {readable(k): v for k, v in value.items()} if isinstance(value, Mapping) else _text_of(value)


def _text_of(value: object) -> str:
    return readable(value) if isinstance(value, bytes | str) else fact_text(value)


def _explained_one(one: Explained) -> dict[str, object]:
    decision = one.decision
    return {
        "recipient": None if one.recipient is None else readable(one.recipient),
        "rule": decision.rule if decision else None,
        "action": _action(decision) if decision else None,
        "reply": str(decision.reply) if decision and decision.reply else None,
        "edits": [*_edit_texts(one)],
        "needs": list(one.needs),
        "observed": list(one.observed),
        "rules": [_step_fields(step) for step in one.steps],
    }


def _step_fields(step: RuleStep) -> dict[str, object]:
    tried = [
        {
            "place": one.place,
            "condition": str(one.condition),
            "holds": one.held,
            "value": one.value or None,
            "missing": list(one.missing),
        }
        for one in step.tried
    ]
    return {"rule": step.rule.name, "result": step.result.name.lower(), "enforced": step.rule.enforce, "tried": tried}
