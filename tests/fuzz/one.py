"""Fuzzes one target in this process, which libFuzzer ends: `python -m tests.fuzz.one NAME [libFuzzer's arguments]`."""

import sys

import atheris

with atheris.instrument_imports(include=["miltscan.core"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Run until a bound or a fault of the target; the exit status is libFuzzer's."""
    target = TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], f"-max_len={target.largest}", *sys.argv[2:]], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
