"""The monitoring mixin: alerts, rules and dashboard in one folder, made without jsonnet."""
