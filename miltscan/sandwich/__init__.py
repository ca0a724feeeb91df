"""What knows sendmail: the tools around the two sendmails and their logs."""
