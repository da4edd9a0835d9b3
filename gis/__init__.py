"""bandoso: the shared digital map of a city's infrastructure."""

__version__ = "0.1.0"
