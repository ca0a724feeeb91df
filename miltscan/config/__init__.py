"""The configuration: TOML in, frozen settings out."""
