"""The running service: run, workers, prober and tracer."""
