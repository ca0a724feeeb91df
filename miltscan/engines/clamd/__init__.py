"""The engine of type clamd."""
