"""intscan.ini: the keys of InterScan VirusWall that concern the path of mail, and their rules.

`original` is the next server, or the sendmail that is started for each message. Other sections (HTTP, FTP) have keys
with the same names. The vendor documents no list of keys; except for `original` these are the usual names.
"""

from miltscan.migration import ini, relay
from miltscan.migration.draft import Draft, Rule

SECTIONS = ("smtp", "mail", "email", "e-mail")
KEYS: dict[str, Rule] = {
    "original": relay.downstream,
    "svcport": relay.port,
    "port": relay.port,
    "smtp_port": relay.port,
    "greeting": relay.greeting,
    "smtp_greeting_msg": relay.greeting,
    "allow_client_ip": relay.clients,
    "smtp_allow_client_ip": relay.clients,
    "max_message_size": relay.message_size,
    "maxmessagesize": relay.message_size,
}


def draft_intscan(text: str) -> Draft:
    """The conversion of each key."""
    return ini.draft_ini(text, KEYS, SECTIONS)
