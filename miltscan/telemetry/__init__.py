"""Log lines, metrics and traces: what miltscan reports about itself. Nothing here decides about mail."""
