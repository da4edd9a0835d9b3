"""The one error shape, asserted wherever something fails."""

from __future__ import annotations

import re
from typing import Any

import httpx

#: Nothing of the inside may show in an error; folders of any machine are told by their names.
_FOLDERS = "|".join(f"/{name}/" for name in ("home", "root", "tmp"))
_INSIDE = re.compile(rf"(?i)select |insert |psycopg|traceback|bandoso_|{_FOLDERS}|\.py\b|pg_|relation \"")


def inside_shows(text: str) -> bool:
    """Whether SQL, a path, a role or a traceback shows."""
    return bool(_INSIDE.search(text))


def assert_problem(response: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """Check status, media type, members and silence about the inside; the document."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["type"] == f"urn:bandoso:problem:{document['code']}"
    assert document["title"]
    assert document["detail"]
    assert not _INSIDE.search(response.text), response.text
    if code is not None:
        assert document["code"] == code, document
    for error in document.get("errors", []):
        assert "parameter" in error or "pointer" in error
        assert error["detail"]
    return document
