"""The running service: run, workers, prober, tracer and keeper."""
