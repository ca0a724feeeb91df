"""Opens archives by 7-Zip in a process of its own that can do nothing else: sandbox, process, what was found."""
