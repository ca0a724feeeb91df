"""The table of docs/configuration.md, from the settings; `python -m docs.generator.configuration` replaces it."""

import re
from pathlib import Path

from miltscan.config.engines import ClamdEngineSettings, RspamdEngineSettings, SpamdEngineSettings
from miltscan.config.quarantine import AreaSettings, QuarantineSettings
from miltscan.config.render import ShownKey, keys
from miltscan.config.rules import RuleSettings
from miltscan.config.settings import Settings

PAGE = Path(__file__).parents[1] / "configuration.md"
# `[clamd]` and each type of `[[engine]]`, although a file has one or the other; an area, although its name is free
EVERY_TABLE = Settings().model_copy(
    update={
        "engine": (
            ClamdEngineSettings(type="clamd"),
            RspamdEngineSettings(type="rspamd"),
            SpamdEngineSettings(type="spamd"),
        ),
        "rule": (RuleSettings.model_validate({"name": "NAME", "action": "accept"}),),
        "quarantine": QuarantineSettings().model_copy(update={"area": {"NAME": AreaSettings()}}),
    }
)
_HEAD = "| key | default | meaning | expected |\n| --- | --- | --- | --- |\n"


def documentation(page: str) -> str:
    """The page with its table, which is at its end, replaced by that of the code."""
    text, _, _ = page.partition(_HEAD)
    return text + _HEAD + "".join(map(_row, keys(EVERY_TABLE)))


def _row(key: ShownKey) -> str:
    name = re.sub(r"\[\d+\]", "", str(key))
    default = f"`{key.default}`" if key.default else "required"
    return f"| `{name}`{' ↻' if key.restart else ''} | {default} | {key.meaning} | {key.expected} |\n"


if __name__ == "__main__":
    PAGE.write_text(documentation(PAGE.read_text()))
