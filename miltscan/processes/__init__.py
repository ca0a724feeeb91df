"""Processes and sockets of a service: supervisor, link, signals, notify, listener, admission. It knows no mail."""
