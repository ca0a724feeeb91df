"""The messages of the telemetry tests, for the tests of the documentation."""

from tests.unit.telemetry.conftest import make_report

__all__ = ["make_report"]
