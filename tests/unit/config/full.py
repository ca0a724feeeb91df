"""A configuration in which every key differs from its default; it has `[clamd]` instead of `[[engine]]`."""

FULL = """
[milter]
socket = "inet:7357@127.0.0.1"
socket_mode = "0666"
socket_group = "smmsp"
allow = ["192.0.2.0/24", "2001:db8::1"]
workers = 4
[spool]
directory = "/srv/spool"
memory = "512KiB"
[mime]
unpack = false
passwords = 5
parts = 50
file_size = "25MiB"
sample = 0

[limits]
message_size = "25MB"
scan_timeout = "2m"
concurrent_scans = 8
queue_wait = "500ms"
[clamd]
servers = ["unix:/run/a.sock", "inet:3310@clamd.example.test"]
canary_interval = "30s"
[policy]
on_infected = "hold"
on_spam = "reject"
on_error = "reject"
rule_files = ["/srv/rules/*.toml"]
access_map = "btree:/srv/access"
recipients = "strictest"
[policy.on_unscanned]
too_large = "accept"
timeout = "reject"
no_engine = "hold"
limits = "accept"
encrypted = "reject"
busy = "discard"
engine_unable = "discard"
allowed = "hold"
malformed = "quarantine"
[lists]
file = "/srv/lists.jsonl"
each_recipient = true
[quarantine]
directory = "/srv/quarantine"
index = "postgresql+psycopg:///miltscan"
identity = "/srv/identity"
rescan = false
[archive]
digests = "7d"
max_size = "1GiB"
[delivery]
server = "inet:1900@delivery.example.test"
timeout = "2m"
[notice]
administrators = ["postmaster@example.test"]
sender = "quarantine@example.test"
summary_at = "18:30"
max_per_hour = 10
templates = "/srv/templates"
[headers]
mode = "none"
[keys]
file = "/srv/keys"
[receipt]
max_age = "30m"
remote_verifier = true
[verify]
socket = "inet:7358@127.0.0.1"
workers = 2
[probe]
interval = "1m"
server = "inet:2525@mx.example.test"
sender = "probe@example.test"
recipient = "nobody@example.test"
timeout = "30s"
readiness = true
[exporter]
listen = "off"
directory = "/srv/metrics"
allow = ["192.0.2.9"]
hosts = ["metrics.example.test"]
certificate = "/srv/exporter.crt"
key = "/srv/exporter.key"
client_ca = "/srv/ca.crt"
users_file = "/srv/users"
token_file = "/srv/token"
[queues]
incoming = "/var/spool/mqueue/q*"
incoming_port = 2525
delivery_port = 0
delivery = ""
interval = "1m"
[thresholds]
signature_age = "3d"
incoming_age = "10m"
delivery_age = "1d"
incoming_messages = 10
delivery_messages = 50
latency = "2s"
unscanned_percent = 10
[log]
format = "console"
level = "debug"
[tracing]
endpoint = "https://collector.example.test"
addresses = true
"""

ENGINES = """
[[engine]]
type = "clamd"
[[engine]]
type = "clamd"
name = "second"
required = false
on_error = "tempfail"
timeout = "5s"
skip_above = "1MiB"
servers = ["unix:/run/a.sock", "inet:3310@clamd.example.test"]
canary_interval = "30s"
"""

AREAS = """
[mime]
read = false
[policy]
on_infected = "quarantine:viruses"
on_error = "quarantine"
[policy.on_unscanned]
too_large = "discard:viruses"
[quarantine.area.viruses]
max_age = "90d"
max_entries = 1000
max_size = "10GiB"
compress = true
encrypt_to = ["age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq"]
release_clean = true
notice = "administrators"
summary = "both"
[quarantine.area.default]
summary = "recipients"
"""
"""Areas of the quarantine, and actions that use them."""

RULES = """
[[rule]]
name = "macros from outside"
when = { class = "Macro", direction = "inbound" }
unless = { sender = ["@partner.example", ".gov.example", "file:/etc/miltscan/partners"] }
action = "quarantine"
[[rule]]
name = "either"
when = [{ size_from = "1MiB", header = { "List-Id" = ["*.example", "<b>"] } }, { score_from = 12.5 }]
action = "reject"
code = "554 5.7.9"
text = "{signature} found, call extension 42 ({queue_id})"
enforce = false
at = "delivery"
[[rule]]
name = "elsewhere"
when = { recipient = "sales@example.test" }
action = "redirect"
to = ["sales@other.test"]
add_headers = { "X-Former-Recipient" = "{recipient}" }
remove_headers = ["X-Internal"]
tag = "[sales]"
[[rule]]
name = "all"
action = "tempfail"
"""
"""Rules with each kind of value that a condition may have."""
