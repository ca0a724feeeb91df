"""The configurations of other scanners, and what becomes of each of their options here."""
