"""rspamd as an anti-spam engine: its protocol, for `engines.antispam.engine`."""

from miltscan.engines.antispam.engine import Dialect
from miltscan.engines.rspamd.reply import Honoured, parse_rspamd
from miltscan.engines.rspamd.request import rspamd_request


def rspamd_dialect(honoured: Honoured) -> Dialect:
    """The protocol of rspamd's normal worker; `honoured` says which of its proposals are carried out."""
    return Dialect(rspamd_request, lambda data, question: parse_rspamd(data, question, honoured))
