"""Topology and quality checks: rules, windows of a city, findings. See docs/checks.md."""
