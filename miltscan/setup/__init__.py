"""`miltscan setup`: what a package must not do to a host by itself, as a plan of steps that can be undone."""
