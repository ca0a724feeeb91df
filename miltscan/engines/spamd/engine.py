"""spamd as an anti-spam engine: its protocol, for `engines.antispam.engine`."""

from miltscan.engines.antispam.engine import Dialect
from miltscan.engines.spamd.reply import parse_spamd
from miltscan.engines.spamd.request import spamd_request

SPAMD_DIALECT = Dialect(spamd_request, lambda data, question: parse_spamd(data, question.size))
"""The SPAMC protocol."""
