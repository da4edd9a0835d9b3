"""Drains: what rules DRN know of the lines of a gravity network beside how they connect."""
