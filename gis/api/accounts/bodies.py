"""What requests about accounts may hold. Mistakes are told with JSON pointers."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from starlette.requests import Request

from gis.api.guard import read_json
from gis.api.problems import Refusal
from gis.api.state import State
from gis.errors import UsageError
from gis.identity import accounts, areas, passwords, tokens
from gis.identity.areas import Area

MOST_BYTES = 2_000_000
MOST_GRANTS = 50


class Body(BaseModel):
    """Strict base: an unknown member is a mistake."""

    model_config = ConfigDict(extra="forbid", strict=True)


class AreaBody(Body):
    wards: list[str] | None = Field(default=None, min_length=1, max_length=1000)
    polygon: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one(self) -> AreaBody:
        if (self.wards is None) == (self.polygon is None):
            raise ValueError("an area has either wards or a polygon")
        return self


class GrantBody(Body):
    role: Literal["viewer", "editor", "steward", "admin"]
    agency: str = Field(min_length=1, max_length=63)
    layer: str | None = Field(default=None, min_length=1, max_length=63)
    area: AreaBody | None = None


class Secret(Body):
    #: a password; null: no login by password; true: make one, and show it in the answer
    password: str | Literal[True] | None = None

    @field_validator("password")
    @classmethod
    def _good(cls, value: str | Literal[True] | None) -> str | Literal[True] | None:
        return passwords.check(value) if isinstance(value, str) else value


class Subject(Secret):
    subject: str | None = Field(default=None, min_length=3, max_length=600)
    agency: str | None = Field(default=None, min_length=1, max_length=63)

    @field_validator("subject")
    @classmethod
    def _printable(cls, value: str | None) -> str | None:
        if value is not None and not value.isprintable():
            raise ValueError("a subject has printable characters")
        return value


class AccountBody(Subject):
    name: str
    grants: list[GrantBody] = Field(default=[], max_length=MOST_GRANTS)

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        return accounts.checked_name(value)


class ChangeBody(Subject):
    disabled: bool = False


class TokenBody(Body):
    name: str = "token"
    scopes: list[str] = Field(default=list(tokens.DEFAULT_SCOPES), max_length=tokens.MOST_SCOPES)
    days: int = tokens.DEFAULT_DAYS

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        return accounts.checked_label(value)

    @field_validator("scopes")
    @classmethod
    def _scopes(cls, value: list[str]) -> list[str]:
        return tokens.checked_scopes(value)

    @field_validator("days")
    @classmethod
    def _days(cls, value: int) -> int:
        return tokens.checked_days(value)


class PasswordBody(Body):
    current: str = Field(max_length=1000)
    new: str

    @field_validator("new")
    @classmethod
    def _good(cls, value: str) -> str:
        return passwords.check(value)


async def read[T: Body](request: Request, form: type[T], *media_types: str) -> T:
    """The body of a request. Raises Refusal (400, 415)."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind not in ("application/json", *media_types):
        raise Refusal(415, "media-type", "the body is JSON", hint="send Content-Type: application/json")
    content = await read_json(request, max_bytes=MOST_BYTES)
    try:
        return form.model_validate(content)
    except ValidationError as error:
        found = [
            {"pointer": _pointer(one["loc"]), "detail": _words(one)}
            for one in error.errors(include_url=False, include_input=False)[:20]
        ]
    except UsageError as error:  # of our own checks, which know a code and a hint
        raise Refusal(400, error.code, error.message, hint=error.hint) from None
    raise Refusal(400, "invalid-body", found[0]["detail"], hint="see /api for the members", errors=found)


def _pointer(places: tuple[int | str, ...]) -> str:
    return "".join(
        "/" + str(one)[:100].replace("~", "~0").replace("/", "~1")
        for one in places
        if one not in ("str", "literal[True]")  # how pydantic tells the members of a union apart
    )


def _words(error: Any) -> str:
    words = str(error["msg"]).removeprefix("Value error, ")[:200]
    return words if error["loc"] else f"the body: {words}"


async def area_of(state: State, given: AreaBody | None) -> Area | None:
    """The area in the storage CRS. Raises UsageError."""
    if given is None:
        return None
    if given.polygon is not None:
        return await asyncio.to_thread(areas.of_geojson, given.polygon, state.city.crs.storage)
    assert given.wards is not None
    wanted = sorted({code.strip() for code in given.wards})
    if "admin_ward" not in state.known.layers or any("\0" in code for code in wanted):
        raise UsageError("there are no such wards", code="invalid-area")
    async with state.readers.connection() as connection:
        cursor = await connection.execute(areas.WARDS, (wanted,))
        row = await cursor.fetchone()
    assert row is not None
    return areas.from_wards(wanted, *row)
