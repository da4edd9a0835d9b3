"""A synthetic city: deterministic by seed, plausible, free of errors unless they are asked for."""
