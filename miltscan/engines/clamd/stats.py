"""clamd's answer to STATS, parsed purely; a text that cannot be parsed counts as no answer.

    POOLS: 1

    STATE: VALID PRIMARY
    THREADS: live 1  idle 0 max 12 idle-timeout 30
    QUEUE: 0 items
            STATS 0.000063

    MEMSTATS: heap N/A mmap N/A used N/A free N/A releasable N/A pools 1 pools_used 5.882M pools_total 5.964M
    END

clamd counts the thread that answers as live. Where it has several pools their numbers are added.
"""

import re

from miltscan.core.load import Load

_THREADS = re.compile(r"^THREADS: live ([0-9]{1,9})  ?idle ([0-9]{1,9}) max ([0-9]{1,9})\b", re.MULTILINE | re.ASCII)
_QUEUE = re.compile(r"^QUEUE: ([0-9]{1,9}) items", re.MULTILINE | re.ASCII)


def parse_stats(text: str) -> Load | None:
    """The load in an answer to STATS; None for any other text, such as `UNKNOWN COMMAND`."""
    threads, queues = _THREADS.findall(text), _QUEUE.findall(text)
    if not text.startswith("POOLS:") or not threads or not queues:
        return None
    live, idle, most = (sum(map(int, column)) for column in zip(*threads, strict=True))
    return Load(sum(map(int, queues)), live, idle, most)
