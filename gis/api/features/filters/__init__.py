"""CQL2 filters: text or JSON -> a checked tree -> SQL with every literal bound."""

from gis.api.features.filters.compiler import Compiler, FilterContext
from gis.api.features.filters.reader import read_filter

__all__ = ["Compiler", "FilterContext", "read_filter"]
