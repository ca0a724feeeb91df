"""`check` and `doctor`: findings about the surroundings of the service and the mail path."""
