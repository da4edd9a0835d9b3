"""Errors of many rules of the catalogue, put into the demo city on request (docs/demo.md lists them)."""

from __future__ import annotations

from gis.demo.defects.inject import RULES, inject
from gis.demo.defects.site import Defect

__all__ = ["RULES", "Defect", "inject"]
