"""Changes operators and numbers of miltscan one at a time, to find what its unit tests do not notice."""
