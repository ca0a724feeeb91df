"""Coverage-guided fuzzing of the readers of hostile content; docs/lab/fuzz.md says how to run it."""
