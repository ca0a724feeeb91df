"""What sendmail's own files contain: .cf, queues, log lines and log files; and the submission of one message."""
