"""The messages of the telemetry tests, for the pages made from them."""

from tests.unit.telemetry.conftest import make_report

__all__ = ["make_report"]
