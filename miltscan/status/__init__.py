"""The status page: what an administrator without Grafana sees of the running service. Read-only; it counts nothing."""
