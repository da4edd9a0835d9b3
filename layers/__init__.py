"""The layer catalogue: what each layer is, as data. Everything else is derived from it."""
