"""miltscan scans mail for sendmail inside the SMTP session."""

import sys
from contextlib import suppress
from importlib import import_module

__version__ = "0.2.0"

# structlog loads rich, where it is installed, for tracebacks that nothing here shows: 4 MB of each process
if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # it is not found (importlib, "sys.modules")
    with suppress(ImportError):  # before the dependencies are installed
        import_module("structlog")
    del sys.modules["rich"]
