"""imss.ini: the keys of InterScan Messaging Security Suite that concern the path of mail, and their rules.

The vendor documents no list of keys. These are the keys of a sandwich, and the usual names of the others.
"""

from miltscan.migration import ini, relay
from miltscan.migration.draft import Draft, Rule

SECTIONS = ("smtp", "socket", "general")
KEYS: dict[str, Rule] = {
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


def draft_imss(text: str) -> Draft:
    """The conversion of each key."""
    return ini.draft_ini(text, KEYS, SECTIONS)
