"""Ages at which the status page, the checks and the dashboard warn.

The alerts of deploy/prometheus have the same numbers as settings of a site; a test compares them.
"""

SIGNATURE_AGE = 2 * 86400.0
"""Seconds since the signatures in use were published. ClamAV publishes daily, at times some hours late."""
QUEUE_AGE = {"incoming": 1800.0, "delivery": 5.5 * 86400.0}
"""Seconds that the oldest message of a queue has waited.

The incoming queue waits only for the delivery sendmail. The delivery queue keeps mail for hosts that do not answer for
five days (Timeout.queuereturn).
"""
