"""What all unit tests share: how hypothesis works."""

from hypothesis import settings

settings.register_profile("miltscan", deadline=None, database=None, derandomize=True)  # no clock, no file, no luck
settings.load_profile("miltscan")
