"""What happens to one message: spool, pipeline, receipts, probes and stored messages."""
