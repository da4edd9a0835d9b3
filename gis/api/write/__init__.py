"""Writing over HTTP: OGC API Features part 4 for single features, and what makes changesets."""
