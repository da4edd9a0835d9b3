"""A package of its own: what is scoped to it (the browser) ends with its last test."""
