"""What all unit tests share: how hypothesis works."""

from hypothesis import settings

# no clock, no file, no luck; the number of examples keeps the whole suite in seconds
settings.register_profile("miltscan", deadline=None, database=None, derandomize=True, max_examples=50)
settings.load_profile("miltscan")
