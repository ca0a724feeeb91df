"""`python -m miltscan`: the program of `cli`."""

from miltscan.cli import run_cli

if __name__ == "__main__":
    run_cli()
