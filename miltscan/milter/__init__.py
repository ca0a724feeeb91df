"""The milter: pymilter's callbacks, the conversation of a session, libmilter's threads."""
