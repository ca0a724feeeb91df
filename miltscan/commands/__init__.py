"""The commands of the `miltscan` program, which `cli` puts together."""
