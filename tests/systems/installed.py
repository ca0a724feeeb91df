"""What docs/install.md does on a machine that has booted."""

from tests.systems.machine import Machine
from tests.systems.tree import blocks

SITE = """\
dnl the machine has no network, so no DNS
define(`SITE_DOMAIN', `example.test')dnl
define(`confSERVICE_SWITCH_FILE', `/etc/mail/service.switch')dnl
define(`confTO_IDENT', `0')dnl
dnl a busy host is no reason to refuse or to wait; the other limits follow from it
define(`SITE_REFUSE_LA', `500')dnl
"""


def install(machine: Machine) -> None:
    """Runs every command of docs/install.md but those of the first step, which the tree has, in their order."""
    for block in list(blocks())[1:]:
        if block[0].startswith("["):
            with machine.file("/etc/miltscan/miltscan.toml").open("a") as file:
                file.write("\n".join(block) + "\n")
            continue
        for command in block:
            if command.startswith("until "):  # freshclam has its signatures: the test database replaces them
                continue
            machine.run(command)
            if "/etc/mail/site.m4" in command and command.startswith("cp "):  # "then edit it"
                with machine.file("/etc/mail/site.m4").open("a") as file:
                    file.write(SITE)
