"""The anti-spam engines for `miltscan check`: their versions, and choices about spam that lose mail or hide spam."""

from collections.abc import Iterator
from contextlib import suppress

from miltscan.config.settings import Settings
from miltscan.config.tables import HeaderMode
from miltscan.core.action import ActionName, Choice
from miltscan.core.finding import Finding, ok, warning
from miltscan.engines.antispam.version import antispam_version
from miltscan.engines.wire import targets
from miltscan.scanning.servers import ServerRecords

_TIMEOUT = 10.0  # seconds; a busy spamd answers late


def version_findings(settings: Settings, records: ServerRecords) -> Iterator[Finding]:
    """What each server says it is, of those that passed their self-test."""
    for engine in settings.filters:
        for server in engine.servers:
            if records.of(engine.name, str(server)).good:
                with suppress(OSError):  # the name of its host is unknown now
                    found = [antispam_version(engine.type, target, _TIMEOUT) for target in targets(server)]
                    yield from (ok(f"{engine.name} {server}", f"is {version}") for version in found if version)


def spam_findings(settings: Settings) -> Iterator[Finding]:
    """The choices about spam."""
    choice, marks = settings.policy.on_spam, settings.headers.mode is not HeaderMode.NONE
    if not settings.filters:
        if choice.action is not ActionName.ACCEPT:
            text = f'"{choice}" has no effect: no engine detects spam'
            yield warning("policy.on_spam", text, "add an [[engine]] of type rspamd or spamd: docs/anti-spam.md")
        return
    if choice == Choice(ActionName.DISCARD):
        yield warning("policy.on_spam", "harmless mail may be lost", 'use "reject", "quarantine" or "accept"')
    if choice.action is ActionName.TEMPFAIL:
        text = "a later attempt has the same result"
        yield warning("policy.on_spam", text, 'use "reject", "quarantine" or "accept"')
    if choice.action is ActionName.ACCEPT and not marks:
        text = 'spam is accepted, and with headers.mode = "none" no header marks it'
        yield warning("policy.on_spam", text, 'set headers.mode = "replace", or choose another action')
