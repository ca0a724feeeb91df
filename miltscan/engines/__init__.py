"""The engines: one file each, pure encode and parse functions beside a few lines of I/O."""
