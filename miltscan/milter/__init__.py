"""The milter: pymilter's callbacks, the state of a session, libmilter's threads."""
