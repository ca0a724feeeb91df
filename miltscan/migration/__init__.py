"""Imports the settings of other scanners: each of their options and its counterpart here."""
