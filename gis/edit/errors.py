"""Why an edit was not made. Nothing of it is stored then.

::

    BandosoError
    ├── EditError
    │   ├── Invalid      the content is not what the layer takes: every mistake with its JSON pointer     422
    │   ├── Rejected     it breaks rules of the checks that an edit may not break                        422
    │   ├── Forbidden    the caller may not do this (which: owner, layer, area or token)                  403
    │   ├── Conflict     somebody else changed it since                                            409 or 412
    │   ├── Duplicate    another feature has this key                                                     409
    │   └── Uncertain    the connection broke while it was stored: it may or may not be                   503
    ├── NotFoundError    there is no such layer, or the caller may not know of it                         404
    │   └── Missing      there is no such feature, or the caller may not know of it                       404
    └── DatabaseError    the data is being changed by somebody else at the moment                         503
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gis.checks.model import Finding
from gis.edit.model import FeatureChange
from gis.errors import BandosoError, DatabaseError, NotFoundError


class EditError(BandosoError):
    """An edit was refused."""

    status = 422
    exit_code = 6
    default_code = "edit-refused"


#: Mistakes that an answer lists.
MOST_ERRORS = 200


class Invalid(EditError):  # noqa: N818 - a refusal is what it is
    """The content is not what the layer takes. ``errors``: every mistake, ``{"pointer", "detail"}``."""

    default_code = "invalid-feature"

    def __init__(self, errors: list[dict[str, str]], message: str | None = None, **options: Any) -> None:
        several = "" if len(errors) == 1 else f" (and {len(errors) - 1} more)"
        said = errors[0]["detail"] if errors else "the content is not what the layer takes"
        super().__init__(message or f"{said}{several}", errors=errors[:MOST_ERRORS], **options)


class Forbidden(EditError):  # noqa: N818
    """The caller may not do this."""

    status = 403
    default_code = "forbidden"


@dataclass(frozen=True, slots=True)
class Clash:
    """A change that is based on another version than the one that stands (``found``; None: it is gone)."""

    change: FeatureChange
    found: int | None


class Conflict(EditError):  # noqa: N818
    """Somebody else changed these features since; all of them, not only the first."""

    status = 409
    default_code = "conflict"

    def __init__(self, clashes: Sequence[Clash]) -> None:
        gone = sum(1 for clash in clashes if clash.found is None)
        many = f"{len(clashes)} features were" if len(clashes) != 1 else "the feature was"
        how = "taken away" if gone == len(clashes) else "changed"
        super().__init__(
            f"{many} {how} by somebody else since you read",
            hint="read again, and make the change anew",
            errors=[
                {"pointer": clash.change.pointer, "detail": _clash(clash)}
                for clash in clashes
                if clash.change.pointer
            ],
        )
        self.clashes = tuple(clashes)


def _clash(clash: Clash) -> str:
    expected = getattr(clash.change, "expected", None)
    stands = "it is gone" if clash.found is None else f"version {clash.found} stands"
    return f"based on version {expected}, but {stands}"


class Missing(NotFoundError):  # noqa: N818
    """Features that are to be changed are not there, or the caller may not know of them."""

    def __init__(self, changes: Sequence[FeatureChange]) -> None:
        many = len(changes) > 1
        super().__init__(
            f"{len(changes)} features are not there" if many else "there is no such feature",
            errors=[{"pointer": c.pointer, "detail": "no such feature"} for c in changes if c.pointer],
        )
        self.changes = tuple(changes)


class Duplicate(EditError):  # noqa: N818
    """Another feature has this key."""

    status = 409
    default_code = "duplicate-key"


class Rejected(EditError):  # noqa: N818
    """The checks refuse it. ``findings``: what is wrong and where (gis.checks.model.Finding)."""

    default_code = "rejected"

    def __init__(self, findings: Sequence[Finding], warnings: Sequence[Finding] = ()) -> None:
        count = len(findings)
        super().__init__(
            f"the edit would break {count} rule{'s' if count != 1 else ''} of the checks; nothing was stored",
            hint="see findings for what is wrong, and where",
        )
        self.findings = tuple(findings)
        self.warnings = tuple(warnings)
        #: What a dry run of an operation worked out, for whoever mends it with further changes.
        self.told: dict[str, Any] = {}


class Uncertain(DatabaseError):  # noqa: N818
    """The connection broke while the changes were being stored."""

    default_code = "outcome-unknown"

    def __init__(self) -> None:
        super().__init__(
            "the connection to the database broke while the changes were being stored",
            hint="read the features again to see whether they were stored, before you repeat the request",
        )
