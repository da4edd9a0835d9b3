"""Networks as graphs: where lines end on the same place, with the point features there."""
