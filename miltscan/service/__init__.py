"""The running daemon: supervisor, workers, exporter, and the milter that they serve."""
