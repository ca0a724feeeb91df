"""Whether the mails about the quarantine have somebody to go to, and templates that can be used."""

from collections.abc import Iterator
from pathlib import Path

from miltscan.config.quarantine import Audience
from miltscan.config.settings import Settings
from miltscan.core.finding import Finding, ok, warning

_ADMINISTRATORS = (Audience.ADMINISTRATORS, Audience.BOTH)


def notice_findings(settings: Settings) -> Iterator[Finding]:
    """A warning where mails that the settings ask for would not be sent, or not with the templates of the site."""
    areas = settings.quarantine.areas.items()
    told = [name for name, area in areas if area.notice in _ADMINISTRATORS or area.summary in _ADMINISTRATORS]
    if told and not settings.notice.administrators:
        text = f"the area {told[0]} has mails for administrators, but the list is empty"
        yield warning("notice.administrators", text, "add an address")
    if settings.notice.templates:
        yield from template_findings(Path(settings.notice.templates))


def template_findings(folder: Path) -> Iterator[Finding]:
    """Whether each template of the site can be used."""
    from miltscan.quarantine.templates import NAMES, problems  # noqa: PLC0415 - 9 MB that the service need not load

    key = "notice.templates"
    if not folder.is_dir():
        yield warning(key, f"{folder} is not a folder", "create it, or set notice.templates to an empty string")
        return
    found = problems(str(folder))
    for problem in found:
        yield warning(key, f"{folder}/{problem}", "correct it; until then the template of miltscan is used")
    own = [name for name in NAMES if (folder / name).exists()]
    if not own:
        yield warning(key, f"{folder} has none of {', '.join(NAMES)}", "add one of these files")
    elif not found:
        yield ok(key, f"{', '.join(own)} in {folder} can be used")
