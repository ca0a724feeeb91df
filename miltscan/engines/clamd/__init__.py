"""The engine that asks clamd."""
