"""The thresholds above which page, commands and alerts warn: their defaults, which a site changes in `[thresholds]`.

The status page, `status`, `check` and `doctor` read the settings. The exporter exports them as `miltscan_threshold_*`,
with which the alerts compare. The panels of the dashboard have the defaults. Pure.
"""

SIGNATURE_AGE = 2 * 86400.0
"""Seconds since the signatures in use were published. ClamAV publishes daily, at times some hours late."""
QUEUE_AGE = {"incoming": 1800.0, "delivery": 5.5 * 86400.0}
"""Seconds that the oldest message of a queue has waited.

The incoming queue waits only for the delivery sendmail. The delivery queue keeps mail for hosts that do not answer for
five days (Timeout.queuereturn).
"""
QUEUE_MESSAGES = {"incoming": 100, "delivery": 500}
"""Messages in a queue; a shorter one may grow."""
LATENCY = 5.0
"""Seconds that miltscan adds to one message in twenty. A bucket of the histogram: the latency objective has it, too."""
UNSCANNED_PERCENT = 5
"""Messages of a hundred that are not scanned completely, encrypted ones left out."""

LEAST_UNSCANNED = 20
"""Unscanned messages below which their share says nothing; of two messages one is no half of the mail."""
LEAST_MESSAGES = 20
"""Messages below which their latency says nothing."""
SHARE_WINDOW = 900.0
"""Seconds over which the share of unscanned messages is taken."""
LATENCY_WINDOW = 300.0
"""Seconds over which the latency is taken."""
