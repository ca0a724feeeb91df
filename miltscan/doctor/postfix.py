"""A host with Postfix in place of the two sendmails: `check` and `doctor` then look only at the milter side."""

from pathlib import Path

from miltscan.core.finding import Finding, ok

_MAIN_CF = Path("/etc/postfix/main.cf")


def postfix_finding(incoming: Path, main_cf: Path = _MAIN_CF) -> Finding | None:
    """One finding if this host has Postfix and no `incoming`, the .cf file of a sendmail; otherwise None.

    The configuration of a Postfix that was removed may remain, so the file of a sendmail has priority.
    """
    if incoming.exists() or not main_cf.exists():
        return None
    return ok(str(main_cf), "this host runs Postfix: only the milter side is checked (docs/postfix.md)")
