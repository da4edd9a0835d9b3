"""Links of items documents: in GeoJSON's body, and as Link headers for formats without a place for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlencode

from gis.api.features.params import FORMATS

_TITLES: Final = {
    "vi": {
        "self": "Tài liệu này",
        "alternate": "Tài liệu này ở dạng",
        "next": "Trang sau",
        "collection": "Lớp dữ liệu",
    },
    "en": {
        "self": "This document",
        "alternate": "This document as",
        "next": "Next page",
        "collection": "The collection",
    },
}
_NAMES: Final = {
    "json": "GeoJSON",
    "jsonfg": "JSON-FG",
    "csv": "CSV",
    "fgb": "FlatGeobuf",
    "gpkg": "GeoPackage",
    "html": "HTML",
}

Link = dict[str, str]


def address(here: str, given: Mapping[str, str], **changed: str | None) -> str:
    """The request's own address with some parameters changed, or left out where None."""
    parameters = {**given, **changed}
    kept = {name: value for name, value in parameters.items() if value is not None}
    return f"{here}?{urlencode(kept)}" if kept else here


def document_links(
    here: str, given: Mapping[str, str], output: str, language: str, formats: Iterable[str], collection: str
) -> list[Link]:
    """self, the other formats, and the collection."""
    titles = _TITLES[language]
    links = [_link(address(here, given), "self", _media_type(output), titles["self"])]
    links += [
        _link(
            address(here, given, f=name),
            "alternate",
            _media_type(name),
            f"{titles['alternate']} {_NAMES[name]}",
        )
        for name in formats
        if name != output
    ]
    links.append(_link(collection, "collection", "application/json", titles["collection"]))
    return links


def next_link(href: str, output: str, language: str) -> Link:
    """The link to the next page."""
    return _link(href, "next", _media_type(output), _TITLES[language]["next"])


def header(links: Iterable[Link]) -> str:
    """Links as a header (RFC 8288); titles stay out, as they are not ASCII."""
    return ", ".join(f'<{one["href"]}>; rel="{one["rel"]}"; type="{one["type"]}"' for one in links)


def _link(href: str, rel: str, media_type: str, title: str) -> Link:
    return {"href": href, "rel": rel, "type": media_type, "title": title}


def _media_type(output: str) -> str:
    return FORMATS[output][0].partition(";")[0]
