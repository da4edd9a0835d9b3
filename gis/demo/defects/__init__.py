"""Errors of many rules of the catalogue, put into the demo city on request."""

from __future__ import annotations

from gis.demo.defects.inject import Defect, inject

__all__ = ["Defect", "inject"]
