"""Files of features, written in a process of its own: serving processes never import GDAL and Arrow."""
