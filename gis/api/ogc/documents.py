"""Documents of the API as bytes, made once for what they depend on and kept while that holds."""

from __future__ import annotations

import asyncio
import gzip
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from gis.api.compress import accepts_gzip, with_suffix
from gis.api.headers import DOCUMENT_CSP
from gis.api.negotiate import etag_of, has_current

#: Documents kept by one process. A city has about 50 layers in two languages and two formats.
MOST = 600
MOST_BYTES = 32_000_000


@dataclass(frozen=True)
class Document:
    """A body, plain and (when long enough) gzipped, with its strong ETag."""

    body: bytes
    packed: bytes | None
    media_type: str
    language: str
    etag: str

    @classmethod
    def of(cls, body: bytes, media_type: str, language: str) -> Document:
        """Hash and compress a body."""
        packed = gzip.compress(body, 6, mtime=0) if len(body) > 1000 else None
        return cls(body, packed, media_type, language, etag_of(body))

    def respond(self, request: Request) -> Response:
        """200 with the body in the form that the client takes, or 304."""
        # The compress middleware takes the suffix off If-None-Match, and adds it again to a 304.
        headers = {
            "ETag": self.etag,
            "Content-Language": self.language,
            "Cache-Control": "no-cache",
            "Vary": "Accept, Accept-Language, Accept-Encoding",
        }
        if self.media_type.startswith("text/html"):
            headers["Content-Security-Policy"] = DOCUMENT_CSP
        if has_current(request, self.etag):
            return Response(status_code=304, headers=headers)
        body = self.body
        if self.packed is not None and accepts_gzip(request.headers):
            body = self.packed
            headers["Content-Encoding"] = "gzip"
            headers["ETag"] = with_suffix(self.etag)
        return Response(body, headers={**headers, "Content-Type": self.media_type})


class Documents:
    """A bounded cache that makes each document once, in a thread, however many ask for it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Document] = OrderedDict()
        self._making: dict[Hashable, asyncio.Task[Document]] = {}
        self._bytes = 0

    async def get(self, key: Hashable, make: Callable[[], Document]) -> Document:
        """The document of this key; ``make`` is called in a thread when there is none."""
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        task = self._making.get(key)
        if task is None:
            task = asyncio.create_task(self._make(key, make))
            self._making[key] = task
        return await asyncio.shield(task)  # one client that leaves does not stop it for the others

    async def _make(self, key: Hashable, make: Callable[[], Document]) -> Document:
        try:
            document = await asyncio.to_thread(make)
        finally:
            self._making.pop(key, None)
        self._kept[key] = document
        self._bytes += _size(document)
        while len(self._kept) > MOST or (self._bytes > MOST_BYTES and len(self._kept) > 1):
            _key, gone = self._kept.popitem(last=False)
            self._bytes -= _size(gone)
        return document


def _size(document: Document) -> int:
    return len(document.body) + len(document.packed or b"")
