"""Rasters: files become checked, cloud-optimised GeoTIFFs in the city's CRS, in a shut-in child."""
