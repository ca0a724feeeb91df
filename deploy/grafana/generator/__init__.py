"""What the Grafana dashboard is made from; `python -m deploy.grafana.generator` writes it."""
