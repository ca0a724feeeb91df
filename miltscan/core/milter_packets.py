"""The packets of the milter protocol, version 6, that miltscan sends in the role of the MTA. It opens no socket.

The worker sends them to its own libmilter, and `miltscan doctor` to the filter that it checks. A packet is its length
without these four bytes, a command letter, and data (include/libmilter/mfdef.h of sendmail).
"""

import struct

OPTNEG = b"O"
NEGOTIATE = struct.pack(">IcIII", 13, OPTNEG, 6, 0x1FF, 0x1FFFFF)
"""Offers all actions and all protocol steps of version 6; a filter answers with a packet of the same letter."""
ABORT = struct.pack(">Ic", 1, b"A")
UNKNOWN = struct.pack(">Icc", 2, b"U", b"\0")
"""An unknown SMTP command, an empty one; a filter answers it outside a transaction as well."""
QUIT = struct.pack(">Ic", 1, b"Q")
