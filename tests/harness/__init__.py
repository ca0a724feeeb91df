"""What the end-to-end tests and the demonstration are built from: real programs in one private folder, on loopback.

`sandwich.Sandwich` ties the parts together; each other module is one part and can be used alone. Nothing here knows
what miltscan decides, and nothing here is used in production.
"""
