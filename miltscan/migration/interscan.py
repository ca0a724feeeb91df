"""imss.ini and intscan.ini: the keys of the InterScan products that concern the path of mail, and their rules.

The vendor documents no list of keys. These are the keys of a sandwich, and the usual names of the others. intscan.ini
has sections of other services (HTTP, FTP) with keys of the same names; its `original` is the next server, or the
sendmail that is started for each message.
"""

from miltscan.migration import ini, relay
from miltscan.migration.draft import Draft, Rule

IMSS_SECTIONS = ("smtp", "socket", "general")
IMSS_KEYS: dict[str, Rule] = {
    "smtp_greeting_msg": relay.greeting,
    "smtp_allow_client_ip": relay.clients,
    "smtp_port": relay.port,
    "smtp_listen_port": relay.port,
    "proxy_port": relay.port,
    "bind_address": relay.address,
    "downstream_smtp_server": relay.downstream,
    "downstream_smtp_server_addr": relay.downstream_host,
    "downstream_smtp_server_port": relay.downstream_port,
    "max_message_size": relay.message_size,
    "smtp_max_message_size": relay.message_size,
}
"""InterScan Messaging Security Suite."""
INTSCAN_SECTIONS = ("smtp", "mail", "email", "e-mail")
INTSCAN_KEYS: dict[str, Rule] = {
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
"""InterScan VirusWall."""


def draft_imss(text: str) -> Draft:
    """The conversion of each key of an imss.ini."""
    return ini.draft_ini(text, IMSS_KEYS, IMSS_SECTIONS)


def draft_intscan(text: str) -> Draft:
    """The conversion of each key of an intscan.ini."""
    return ini.draft_ini(text, INTSCAN_KEYS, INTSCAN_SECTIONS)
