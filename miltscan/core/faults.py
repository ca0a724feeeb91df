"""The faults that several surfaces report: /readyz, the status page, `status`, `check` and `doctor`.

Each is one finding with one wording and one remedy, from values that the caller has measured. Pure.
"""

from miltscan.core.finding import Finding, error, ok, warning
from miltscan.core.verdict import Fault

_NOT_RUNNING = ("No such file or directory", "Connection refused")  # ENOENT and ECONNREFUSED, as the C library says
CANNOT_START = "cannot start: "
"""Begins the reason why a clamd without signatures fails its self-test."""

READ_LOG = "read its log"
CLAMD_LOG = "read its log and check its temporary folder"
_START_CLAMD = "start it (Debian: systemctl start clamav-daemon), and read its log"
_SIGNATURES = (
    "freshclam downloads them, and journalctl -u clamav-freshclam shows why it has not; "
    "then run: systemctl restart clamav-daemon.socket clamav-daemon"
)
"""How clamd gets signatures. Without them `systemctl restart clamav-daemon` exits with 0 and starts nothing."""
_HANGS = "if it hangs again, read child_hangs in the log: journalctl -u miltscan"
_ROOM = "free space in its temporary folder, or use a larger TemporaryDirectory"
_HOUR, _DAY = 3600, 86400  # seconds
SPOOL_ROOM = "free some space, or lower limits.message_size or limits.concurrent_scans"
QUARANTINE_ROOM = "free some space, or lower max_age or max_size of the areas"


def start_sendmail(name: str) -> str:
    """Return the remedy for a sendmail that does not run.

    Never a command for the distribution's own sendmail, which would accept mail unscanned.
    """
    return f"run: systemctl start miltscan-{name}, and read its log"


def none_running() -> Finding:
    """No worker is running."""
    return error("workers", "none is running", "run: systemctl restart miltscan, and read its log")


def workers_low(running: float, configured: int) -> Finding:
    """A worker dies again and again, or has just died."""
    text = f"{running:g} of {configured} are running"
    return warning("workers", text, "read child_died in the log: journalctl -u miltscan")


def worker_hangs(name: str, silence: float, *, alone: bool) -> Finding:
    """The main thread of a worker gives no sign of life; `alone` means that no other one works."""
    text = f"hangs: no sign of life for {silence:.0f} s; miltscan replaces it after 30 s"
    return (error if alone else warning)(f"worker {name}", text, _HANGS)


def socket_lost(key: str) -> Finding:
    """The file of a socket for MTAs is gone, and the service could not bind it again."""
    text = "its file is missing or belongs to another process; the log has socket_lost"
    return error(key, text, "stop the other process, then run: systemctl restart miltscan")


def server_untested(subject: str, age: float, limit: float) -> Finding:
    """The self-test of a server that was up is overdue."""
    text = f"last passed its self-test {age:.0f} s ago; the limit is {limit:g} s"
    return error(subject, text, "run: miltscan check; if it finds nothing: systemctl restart miltscan")


def does_not_run(why: str) -> bool:
    """Return whether a self-test failed because the server does not run: why it failed is the fault and the error."""
    return why.removeprefix(f"{Fault.CONNECT}: ") in _NOT_RUNNING


def may_not_run(why: str) -> bool:
    """Return whether it failed as without a server: systemd listens for one that it cannot start, and closes."""
    return why.partition(":")[0] in {Fault.CONNECT, Fault.CLOSED}


def server_down(subject: str, why: str, *, fatal: bool, log: str = CLAMD_LOG, age: float | None = None) -> Finding:
    """A server fails its self-test, for the reason `why`, empty if it is unknown.

    `fatal` means that mail must be scanned by it. `age` is how long ago it passed one, in seconds, None if unknown.
    """
    text, remedy = f"fails its self-test: {why or 'no answer'}", log
    if why.startswith(CANNOT_START):
        text, remedy = why, _SIGNATURES
    elif does_not_run(why):
        remedy = _START_CLAMD if log == CLAMD_LOG else "start it, and read its log"
    elif not why and age is not None:
        text, remedy = "is down", "run: miltscan check"
    if age is not None:
        text += f"; it last passed its self-test {age:.0f} s ago"
    return (error if fatal else warning)(subject, text, remedy)


def server_degraded(subject: str) -> Finding:
    """A server had no room to unpack a message in the last minute."""
    text = "had no room to unpack a message, which counts as unscanned: its temporary folder is full or too small"
    return warning(subject, text, _ROOM)


def signatures(subject: str, version: float | None, age: float, limit: float) -> Finding:
    """How old the signatures of a server are; `age` and `limit` in seconds."""
    text = f"signatures{'' if version is None else f' {version:.0f}'} are {age / _DAY:.1f} days old"
    return warning(subject, text, "check that freshclam runs") if age > limit else ok(subject, text)


def queue_waiting(name: str, messages: float, age: float | None, limit: float) -> Finding:
    """How many messages wait in a queue, and how long the oldest has (seconds; None if the queue is empty)."""
    subject = f"{name} queue"
    if age is None:
        return ok(subject, "no message waits")
    text = f"waiting messages: {messages:g}, the oldest for {age / _HOUR:.1f} hours"
    return warning(subject, text, _mailq(name)) if age > limit else ok(subject, text)


def queue_growing(name: str, messages: float, before: float) -> Finding:
    """A queue has more than doubled and still grows; `before` is its mean of the hours before."""
    text = f"grows: {messages:g} messages wait, {before:.0f} on average in the hours before"
    return warning(f"{name} queue", text, _mailq(name))


def queue_unreadable(name: str) -> Finding:
    """The folder of a queue cannot be listed."""
    text = "cannot be read: the number of waiting messages is unknown"
    return warning(f"{name} queue", text, "run: miltscan check")


def sendmail_down(name: str, waiting: float | None, *, listening: bool) -> Finding:
    """A sendmail does not greet; `waiting` is the number of messages in the queue of incoming, if it is known."""
    where = "mail waits at its senders"
    if name == "delivery":
        where = "mail waits in the incoming queue" + (f" (messages: {waiting:g})" if waiting else "")
    if listening:
        text = f"accepts connections and does not greet: {where}"
        return error(f"{name} sendmail", text, f"run: systemctl restart miltscan-{name}, and read its log")
    text = f"accepts no connections, because it is down or the load is above its RefuseLA: {where}"
    return error(f"{name} sendmail", text, start_sendmail(name))


def log_stalled(processes: float, lost: float) -> Finding:
    """The reader of the log does not take its lines."""
    text = f"cannot be written by {_processes(processes)} (lines lost since the start: {lost:g})"
    return warning("log", text, "free its disk, or restart its reader: systemctl restart systemd-journald")


def log_lost(lines: float) -> Finding:
    """Lines of the log were lost, now it is written."""
    return warning("log", f"lines lost since the start: {lines:g}", "check the disk and the reader of the log")


def metrics_in_memory(processes: float) -> Finding:
    """The metrics folder cannot be written."""
    text = f"cannot be written, and counts stay in memory ({_processes(processes)})"
    return warning("exporter.directory", text, "free space there: df /run")


def lacks_room(subject: str, free: float, message_size: str, remedy: str) -> Finding:
    """A folder for messages has room for less than one of the largest size."""
    text = f"{free // 2**20:.0f}MiB free, less than one message of limits.message_size = {message_size}"
    return error(subject, text, remedy)


def not_stored(count: float) -> Finding:
    """Messages that had to be kept could not be stored, in the last 15 minutes."""
    text = f"messages that could not be stored in the last 15 minutes: {count:g}; their clients received 451"
    return warning("quarantine", text, "run: miltscan check")


def keeper_silent(silence: float) -> Finding:
    """The keeper of the quarantine completes no round."""
    text = f"has completed no round for {silence / 60:.0f} minutes: it releases, rescans and deletes nothing"
    return warning("keeper", text, "read child_died and child_hangs in the log: journalctl -u miltscan")


def exceptions(count: float) -> Finding:
    """A bug of miltscan showed up."""
    text = f"unexpected exceptions since the start: {count:g}"
    return warning("miltscan", text, "the log has the traceback of each: journalctl -u miltscan")


def not_scanned(count: float, reason: str) -> Finding:
    """Messages were not scanned because of a fault, in the last five minutes."""
    text = f"messages not scanned in the last five minutes: {count:g} ({reason})"
    return warning("mail", text, "the table of errors and the log have the details")


def unscanned_share(share: float, count: float, limit: float) -> Finding:
    """Too much of the mail was not scanned completely; `share` and `limit` are parts of one."""
    text = (
        f"{share:.0%} of it was not scanned completely in the last 15 minutes ({count:g} messages; limit {limit:.0%})"
    )
    return warning("mail", text, "docs/runbook.md, MiltscanUnscannedShare")


def slow_mail(seconds: float, limit: float) -> Finding:
    """One message in twenty waits too long."""
    text = f"one message in twenty waited {seconds:.1f} s or longer in the last five minutes; the limit is {limit:g} s"
    return warning("latency", text, "docs/runbook.md, MiltscanLatencyHigh")


def probe_failed(kind: str, text: str) -> Finding:
    """A probe does not show that mail is scanned."""
    return error(f"{kind} probe", text, "run: miltscan probe; then: miltscan doctor")


def _mailq(name: str) -> str:
    return f"mailq prints the reason for each: mailq -C /etc/mail/{name}.cf"


def _processes(number: float) -> str:
    return "1 process" if number == 1 else f"{number:g} processes"
