"""The OpenAPI document's part of accounts."""

from __future__ import annotations

from typing import Any, Final

from gis.api.accounts.bodies import AccountBody, ChangeBody, GrantBody, PasswordBody, TokenBody
from gis.api.ogc.openapi_parts import answer, ref, schema_ref

_LOGIN: Final[list[dict[str, list[str]]]] = [{"basic": []}, {"bearer": []}]
_TEXT: Final = {"type": "string"}
_NULL_TEXT: Final = {"type": "string", "nullable": True}
_TIME: Final = {"type": "string", "format": "date-time", "nullable": True}
_NUMBER: Final = {"type": "integer", "format": "int64", "minimum": 1}
_SCOPES: Final = {
    "type": "array",
    "minItems": 1,
    "maxItems": 64,
    "items": {"type": "string", "pattern": "^(read|edit|manage|(read|edit):[a-z][a-z0-9_]{0,62})$"},
}
_ROLE: Final = {"type": "string", "enum": ["viewer", "editor", "steward", "admin"]}


def _object(required: tuple[str, ...] = (), *, closed: bool = False, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        **({"required": list(required)} if required else {}),
        **({"additionalProperties": False} if closed else {}),
    }


#: A body's members by its form; a test holds that both have the same.
BODIES: Final = {
    "accountNew": AccountBody,
    "accountChange": ChangeBody,
    "grantNew": GrantBody,
    "tokenNew": TokenBody,
    "passwordChange": PasswordBody,
}


def schemas() -> dict[str, Any]:
    """Component schemas."""
    area = {
        **_object(wards={"type": "array", "items": _TEXT}, polygon={"type": "object"}),
        "nullable": True,
        "description": "Codes of wards, or a GeoJSON Polygon or MultiPolygon in CRS84",
    }
    password = {
        "nullable": True,
        "description": "A password; true: make one, and show it in the answer; null: no login by password",
        "oneOf": [{"type": "string", "minLength": 10, "maxLength": 256}, {"type": "boolean", "enum": [True]}],
    }
    name = {"type": "string", "pattern": "^[a-z0-9][a-z0-9._@-]{0,62}$"}
    grant: dict[str, Any] = {"role": _ROLE, "agency": _TEXT, "layer": _NULL_TEXT, "area": area}
    token: dict[str, Any] = {"name": _TEXT, "scopes": _SCOPES}
    about: dict[str, Any] = {"subject": _NULL_TEXT, "agency": _NULL_TEXT}
    grants = {"type": "array", "items": schema_ref("grant")}
    return {
        "grant": _object(id=_NUMBER, **grant),
        "grantNew": _object(("role", "agency"), closed=True, **grant),
        "accountNew": _object(
            ("name",),
            closed=True,
            name=name,
            password=password,
            **about,
            grants={"type": "array", "maxItems": 50, "items": schema_ref("grantNew")},
        ),
        "accountChange": _object(closed=True, disabled={"type": "boolean"}, password=password, **about),
        "account": _object(
            ("name", "grants"),
            id=_NUMBER,
            name=_TEXT,
            password={"type": "boolean", "description": "Whether it can log in by password"},
            password_once={"type": "string", "description": "The password that was made, this once"},
            disabled={"type": "boolean"},
            created_at=_TIME,
            **about,
            grants=grants,
            tokens={"type": "array", "items": schema_ref("token")},
        ),
        "token": _object(
            id=_NUMBER,
            **token,
            token={"type": "string", "description": "The secret, this once"},
            created_at=_TIME,
            expires_at=_TIME,
            revoked_at=_TIME,
            used_at=_TIME,
        ),
        "tokenNew": _object(
            closed=True,
            **token,
            days={"type": "integer", "minimum": 1, "maximum": 3660, "default": 90},
        ),
        "passwordChange": _object(("current", "new"), closed=True, current=_TEXT, new=_TEXT),
        "me": _object(
            ("name", "grants", "edit", "hidden", "steward"),
            name=_NULL_TEXT,
            agency=_NULL_TEXT,
            grants=grants,
            token={**_object(id=_NUMBER, scopes=_SCOPES), "nullable": True},
            manages={"type": "boolean", "description": "Whether /accounts is for the caller"},
            edit={
                "type": "array",
                "description": "Layers that the caller may write to",
                "items": _object(
                    layer=_TEXT,
                    agencies={"type": "array", "items": _TEXT, "description": "Of these owners; *: of all"},
                    everywhere={"type": "boolean"},
                ),
            },
            hidden={"type": "array", "items": _TEXT, "description": "Layers that show the caller more"},
            steward={
                "type": "array",
                "items": _TEXT,
                "description": "Agencies that the caller is steward or admin of; *: of all",
            },
        ),
    }


def parameters() -> dict[str, Any]:
    """Component parameters."""

    def path(name: str, schema: Any) -> dict[str, Any]:
        return {"name": name, "in": "path", "required": True, "schema": schema}

    return {
        "accountName": path("accountName", {"type": "string", "minLength": 1, "maxLength": 63}),
        "grantId": path("grantId", _NUMBER),
        "tokenId": path("tokenId", _NUMBER),
    }


def paths() -> dict[str, Any]:
    """Path items."""
    account, name = {"200": _shown("account")}, ("accountName",)
    gone = {"204": {"description": "Done"}}
    return {
        "/me": {"get": _operation("me", "Who asks, and what he may do", (), {"200": _shown("me")})},
        "/me/tokens": {
            "get": _operation("me.tokens", "One's API tokens", (), {"200": _list("tokens", "token")}),
            "post": _operation("me.token.add", "A new API token", (), {"201": _shown("token")}, "tokenNew"),
        },
        "/me/tokens/{tokenId}": {"delete": _operation("me.token.end", "Revoke a token", ("tokenId",), gone)},
        "/me/password": {
            "put": _operation("me.password", "Change one's password", (), gone, "passwordChange")
        },
        "/accounts": {
            "get": _operation("accounts", "Accounts", (), {"200": _list("accounts", "account")}),
            "post": _operation("account.add", "New account", (), {"201": _shown("account")}, "accountNew"),
        },
        "/accounts/{accountName}": {
            "get": _operation("account", "An account", name, account),
            "patch": _operation("account.change", "Change an account", name, account, "accountChange"),
            "delete": _operation("account.remove", "Remove an account", name, gone),
        },
        "/accounts/{accountName}/grants": {
            "get": _operation("grants", "What it may do", name, {"200": _list("grants", "grant")}),
            "post": _operation("grant.add", "Give a role", name, {"201": _shown("grant")}, "grantNew"),
        },
        "/accounts/{accountName}/grants/{grantId}": {
            "get": _operation("grant", "A grant", (*name, "grantId"), {"200": _shown("grant")}),
            "delete": _operation("grant.remove", "Take a role away", (*name, "grantId"), gone),
        },
        "/accounts/{accountName}/tokens": {
            "get": _operation("tokens", "Its API tokens", name, {"200": _list("tokens", "token")}),
            "post": _operation("token.add", "A new API token", name, {"201": _shown("token")}, "tokenNew"),
        },
        "/accounts/{accountName}/tokens/{tokenId}": {
            "delete": _operation("token.end", "Revoke a token", (*name, "tokenId"), gone)
        },
    }


def _shown(schema: str) -> dict[str, Any]:
    return answer("OK", {"application/json": {"schema": schema_ref(schema)}})


def _list(member: str, schema: str) -> dict[str, Any]:
    listed: dict[str, Any] = {member: {"type": "array", "items": schema_ref(schema)}}
    return answer("OK", {"application/json": {"schema": _object((member,), **listed)}})


def _operation(
    operation: str, summary: str, names: tuple[str, ...], good: dict[str, Any], body: str | None = None
) -> dict[str, Any]:
    codes = ("400", "401", "403", "404", "409", "429", "503", *(("415",) if body else ()))
    made: dict[str, Any] = {
        "operationId": operation,
        "summary": summary,
        "tags": ["accounts"],
        "security": [{}, *_LOGIN] if operation == "me" else _LOGIN,
        "parameters": [ref("parameters", one) for one in names],
        "responses": {
            **good,
            **{code: ref("responses", code) for code in codes},
            "default": ref("responses", "default"),
        },
    }
    if body is not None:
        content = {"application/json": {"schema": schema_ref(body)}}
        made["requestBody"] = {"required": True, "content": content}
    return made
