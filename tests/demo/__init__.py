"""The demonstration: `make demo` runs `python -m tests.demo`."""
