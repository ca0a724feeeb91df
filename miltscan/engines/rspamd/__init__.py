"""The rspamd engine: HTTP to a normal worker of rspamd."""
