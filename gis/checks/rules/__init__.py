"""The rules: one module a family or theme; gis.checks.registry finds them."""
