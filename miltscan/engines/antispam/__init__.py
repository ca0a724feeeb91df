"""What all anti-spam engines share: the replies they may give, the self-test, the exchange with a server."""
