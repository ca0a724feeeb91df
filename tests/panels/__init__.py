"""Pictures of the Grafana dashboards over a scripted day, drawn with Grafana's own components; no Grafana runs."""
