"""Reads archives in memory, without extracting a file: what is inside, and what its headers disagree about. Pure."""
