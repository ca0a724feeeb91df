"""The program `miltscan`, also as `python -m miltscan`: that of `cli`."""

import gc

gc.disable()

from miltscan.cli import run_cli  # noqa: E402 - not before

gc.freeze()  # modules stay: to look for garbage among them takes a tenth of a short command
gc.enable()

if __name__ == "__main__":
    run_cli()
