"""Follows one message through the logs of both sendmails and miltscan."""
