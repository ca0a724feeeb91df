"""miltscan scans mail for sendmail inside the SMTP session."""

__version__ = "0.1.0"
