"""HTML of the API's documents, from the completed JSON: every value escaped, nothing from other hosts."""

from __future__ import annotations

from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from gis.api.ogc.config import service_title
from gis.city import City

_HERE = Path(__file__).parent


@cache
def environment() -> Environment:
    """Templates with autoescape on; missing members of a document read as nothing."""
    return Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=True)


def render(
    template: str,
    document: dict[str, Any],
    *,
    base: str,
    path: str,
    language: str,
    city: City,
    layer: str | None = None,
) -> str:
    """The page of one document; ``path`` is its address below ``base``."""

    def text(vi: str, en: str) -> str:
        return vi if language == "vi" else en

    def number(value: int) -> str:
        return f"{value:,}".replace(",", ".") if language == "vi" else f"{value:,}"

    def by_sector(collections: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
        """Collections come in the order of their sectors, which is their only keyword."""
        return [(name, list(rows)) for name, rows in groupby(collections, lambda one: one["keywords"][0])]

    def resolve(parameter: dict[str, Any]) -> dict[str, Any]:
        reference = parameter.get("$ref", "")
        if reference.startswith("#/components/parameters/"):
            found: dict[str, Any] = document["components"]["parameters"][reference.rpartition("/")[2]]
            return found
        return parameter

    return (
        environment()
        .get_template(template)
        .render(
            doc=document,
            links=document.get("links", []),
            base=base,
            path=path,
            lang=language,
            languages=city.languages,
            service=service_title(city)[language],
            city=getattr(city.title, language),
            layer=layer,
            t=text,
            number=number,
            resolve=resolve,
            by_sector=by_sector,
        )
    )
