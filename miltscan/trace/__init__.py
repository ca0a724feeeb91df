"""Follows one message through the logs."""
