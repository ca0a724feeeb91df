"""Pure decisions: no socket, file, clock, thread, log or metric below this package."""
