"""Edits that belong together, worked out: features as they stand and what is wanted -> changes of features.

Pure functions (shapely, storage CRS); the caller reads the features and makes the changes as one changeset.
"""
