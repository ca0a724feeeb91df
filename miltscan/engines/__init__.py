"""The engines: one module or package each, pure encode and parse functions next to a few lines of I/O."""
