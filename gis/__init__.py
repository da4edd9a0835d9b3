"""bandoso: the shared digital map of a city's infrastructure."""
