"""A synthetic city: deterministic by seed, plausible, free of errors unless they are asked for."""

from __future__ import annotations

#: bandoso.load.source of rows that the demo made.
SOURCE = "demo"
