"""What miltscan says of itself: log lines and metrics; nothing here decides anything about mail."""
