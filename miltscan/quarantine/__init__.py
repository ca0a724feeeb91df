"""The quarantine: messages kept in files, an index of them, and what happens to them later.

The file of an entry is the truth, the index a cache that can be built again from the files at any time.
"""
