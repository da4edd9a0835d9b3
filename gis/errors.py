"""Every error that users meet, with its HTTP status and exit code.

::

    BandosoError
    ├── UsageError            a wrong call or parameter                       400, exit 2
    │   └── LimitError        right in form, but over a stated limit          400, exit 2
    ├── NotFoundError         no such layer, feature, tile, file              404, exit 2
    ├── ConfigError           city.yml or a layer's YAML is wrong             500, exit 3
    ├── DatabaseError         PostGIS cannot be started, reached or is busy   503, exit 4
    ├── MigrationRefused      a layer's change would lose data                409, exit 5
    └── LoadRefused           a delivery cannot be what it says it is         422, exit 6

Messages are one sentence for the person who caused the error; ``hint`` is the next step. Neither
holds SQL, a path of the server, a host or a role.
"""

from __future__ import annotations

from typing import ClassVar


class BandosoError(Exception):
    """Base of all errors that are shown to users.

    ``code`` is stable and machine-readable; ``errors`` holds details with JSON pointers or parameter
    names, each ``{"pointer" | "parameter": ..., "detail": ...}``.
    """

    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    default_code: ClassVar[str] = "internal"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint
        self.errors = errors or []


class UsageError(BandosoError):
    """The call or one of its parameters is wrong."""

    status = 400
    exit_code = 2
    default_code = "invalid-parameter"


class LimitError(UsageError):
    """The call is right in form, but over a stated limit."""

    default_code = "over-limit"


class NotFoundError(BandosoError):
    """There is no such layer, feature, tile or file (or the caller may not know of it)."""

    status = 404
    exit_code = 2
    default_code = "not-found"


class ConfigError(BandosoError):
    """A configuration or layer file is wrong; the message names the file and the place in it."""

    exit_code = 3
    default_code = "configuration"


class DatabaseError(BandosoError):
    """PostGIS cannot be started or reached, or is too busy."""

    status = 503
    exit_code = 4
    default_code = "database-unavailable"


class MigrationRefused(BandosoError):  # noqa: N818 - a refusal is what it is
    """A change of a layer's definition would lose data and was not carried out."""

    status = 409
    exit_code = 5
    default_code = "migration-refused"


class LoadRefused(BandosoError):  # noqa: N818
    """A delivery was refused as a whole; nothing was changed."""

    status = 422
    exit_code = 6
    default_code = "load-refused"
