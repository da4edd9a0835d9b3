"""Raster layers over HTTP: tiles, maps, values, heights."""
