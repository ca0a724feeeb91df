"""Reads a message by every reading that a mail reader may apply: bytes to parts and anomalies. Pure."""
