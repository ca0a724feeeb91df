"""`python -m miltscan`: the same as the `miltscan` command."""

from miltscan.cli import main

if __name__ == "__main__":
    main()
