"""A QGIS project of the layers that somebody may see: connections, symbols, forms and snapping in a file."""

from gis.qgis.project import Wish, make_project

__all__ = ["Wish", "make_project"]
