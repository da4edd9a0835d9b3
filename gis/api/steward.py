"""The steward's secret: who shows it may check everything, store findings and see all jobs.

There are no users yet (issue 4 brings them and replaces this module). The secret is a file in the data
folder, made at the first start, readable for the user that runs bandoso alone. It is sent as
``Authorization: Bearer <secret>``; the file is read again when it changes, so replacing it needs no restart.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
from pathlib import Path

from starlette.requests import Request

from gis.api.problems import Refusal
from gis.errors import ConfigError
from gis.settings import Settings

LOG = logging.getLogger("bandoso.api")

FILE = "steward.token"
#: A shorter secret, written by hand, is not taken for one.
LEAST = 24

_read: dict[Path, tuple[tuple[int, int], bytes]] = {}


def token_file(settings: Settings) -> Path:
    """Where the secret is."""
    return settings.data_dir / FILE


def ensure(settings: Settings) -> Path:
    """Make the secret if there is none; its file. Raises ConfigError where it cannot be kept."""
    path = token_file(settings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
                LOG.warning("the steward's secret was readable for others; make a new one if that matters")
            return path
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    except OSError as error:
        raise ConfigError(
            f"the steward's secret cannot be kept in the data folder ({(error.strerror or '').lower()})",
            hint="the data folder must be writable for the user that runs bandoso",
        ) from error
    return path


def is_steward(request: Request, settings: Settings) -> bool:
    """Whether the request shows the secret; False: it shows none. Raises Refusal (401) for a wrong one."""
    header = request.headers.get("authorization")
    if header is None:
        return False
    scheme, _, given = header.partition(" ")
    expected = _expected(token_file(settings))
    digest = hashlib.sha256(given.strip().encode("utf-8", "surrogateescape")).digest()
    if scheme.lower() != "bearer" or expected is None or not hmac.compare_digest(digest, expected):
        raise Refusal(
            401,
            "wrong-secret",
            "the secret of the Authorization header is not the steward's",
            hint="send Authorization: Bearer and the content of steward.token, or no such header",
            headers={"WWW-Authenticate": 'Bearer realm="bandoso", error="invalid_token"'},
        )
    return True


def _expected(path: Path) -> bytes | None:
    """SHA-256 of the secret in the file; None if there is none that could be one."""
    try:
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_ino)
        kept = _read.get(path)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    if len(text) < LEAST:
        return None
    digest = hashlib.sha256(text.encode()).digest()
    _read[path] = (stamp, digest)
    return digest
