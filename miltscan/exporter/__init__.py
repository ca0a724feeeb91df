"""The exporter: HTTP server, access, credentials, health and metrics."""
