"""A small city of secrets: layers that hide things, rows of three agencies, and accounts of every kind.

Two agencies (vnpt, viettel) work on the same layers, ``city`` is the shared warehouse, ``sawaco`` has nothing
to do with them. Every text that is stored is a marker: a word that is nowhere else, so that a body can be
searched for whatever it should not hold. What each account sees and may write stands here as a table of its
own, written down from the issue and derived from nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psycopg
import shapely
import yaml

from gis.city import City
from gis.identity.accounts import add_account, grant, make_token
from gis.identity.areas import Area
from layers.registry import Catalogue, load_catalogue

OWNERS = ("vnpt", "viettel", "city")
#: Public; restricted; public with a confidential attribute; public without history.
LAYERS = ("trial_open", "trial_shut", "trial_mixed", "trial_plain")
#: Where the rows of each owner are, EPSG:9210; a kilometre apart.
PLACES = {"vnpt": (603000.0, 1192000.0), "viettel": (604000.0, 1193000.0), "city": (605000.0, 1194000.0)}
PASSWORD = "correct horse battery staple"
#: Area of responsibility of the account vnpt_area: 200 m around the place of vnpt.
AREA = shapely.box(602800, 1191800, 603200, 1192200)


def marker(layer: str, owner: str, kind: str) -> str:
    """The word of an attribute: ``kind`` pub (name), sec (secret) or aid (asset_id)."""
    return f"mk{kind}{layer.removeprefix('trial_')}x{owner}"


def gone(layer: str, owner: str, kind: str) -> str:
    """The word that a row had in an earlier version, when it was that owner's."""
    return f"mkold{kind}{layer.removeprefix('trial_')}x{owner}"


_MARKERS = {
    word(layer, owner, kind)
    for word in (marker, gone)
    for layer in LAYERS
    for owner in OWNERS
    for kind in ("pub", "sec", "aid")
}


def markers_in(body: bytes) -> set[str]:
    """All markers of a body, whatever its format; none of them is a part of another."""
    return {word for word in _MARKERS if word.encode() in body}


def write_layers(folder: Path) -> None:
    """The layer file of the trial, for a folder of layer files."""
    sector = yaml.safe_load((Path(__file__).parents[1] / "layers" / "telecom.yml").read_text())["sector"]
    name = {"name": "name", "title": {"vi": "Tên", "en": "Name"}, "max_length": 100}
    secret = {"name": "secret", "title": {"vi": "Mật", "en": "Secret"}, "max_length": 100}
    block = {
        "geometry": "Point",
        "owner": "vnpt",
        "search": ["asset_id", "name"],
        "tiles": {"min_zoom": 12, "attributes": {12: ["name", "asset_id", "owner"]}},
        "style": {"colour": "#228833"},
        "checks": {},
    }

    def titled(layer: str) -> dict[str, dict[str, str]]:
        return {"title": {"vi": f"Lớp {layer}", "en": f"Layer {layer}"}}

    hidden = {**secret, "access": "confidential"}
    layers = {
        "trial_open": {**block, "fields": [name]},
        "trial_shut": {**block, "fields": [name, secret], "access": "restricted"},
        "trial_mixed": {**block, "fields": [name, hidden]},
        "trial_plain": {**block, "fields": [name], "history": False},
    }
    content = {"sector": sector, "layers": {i: {**titled(i), **one} for i, one in layers.items()}}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trial.yml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")


def catalogue_with(folder: Path, city: City) -> Catalogue:
    """The shipped catalogue and the trial's layers."""
    write_layers(folder)
    return load_catalogue([folder], city.agency_ids)


@dataclass(frozen=True)
class Rows:
    """fid of (layer, owner), and of the rows that were viettel's once and are vnpt's now, by layer."""

    fids: dict[tuple[str, str], int] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)


def fill(connection: psycopg.Connection) -> tuple[Rows, datetime]:
    """A row of each owner in each layer, and one that changes its owner; the time before it did."""
    rows = Rows()
    for layer in LAYERS:
        hides = layer in ("trial_shut", "trial_mixed")
        for owner in OWNERS:
            rows.fids[layer, owner] = _insert(connection, layer, owner, hides, marker)
        former = _insert(connection, layer, "viettel", hides, gone)
        rows.moved[layer] = former
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row
    moment = row[0]
    for layer, former in rows.moved.items():
        hides = layer in ("trial_shut", "trial_mixed")
        secret = ", secret = NULL" if hides else ""
        x, y = PLACES["vnpt"]
        connection.execute(
            f"UPDATE layer.{layer} SET owner = 'vnpt', asset_id = %s, name = NULL{secret},"
            " geom = ST_SetSRID(ST_MakePoint(%s, %s), 9210) WHERE fid = %s".encode(),
            (f"{layer}-moved", x + 5, y + 5, former),
        )
    connection.execute("ANALYZE")
    return rows, moment


def _insert(connection: psycopg.Connection, layer: str, owner: str, hides: bool, word: object) -> int:
    assert callable(word)
    x, y = PLACES[owner]
    columns, values = (
        ["asset_id", "owner", "name"],
        [word(layer, owner, "aid"), owner, word(layer, owner, "pub")],
    )
    if hides:
        columns.append("secret")
        values.append(word(layer, owner, "sec"))
    query = (
        f"INSERT INTO layer.{layer} ({', '.join(columns)}, geom)"
        f" VALUES ({', '.join(['%s'] * len(columns))}, ST_SetSRID(ST_MakePoint(%s, %s), 9210)) RETURNING fid"
    )
    row = connection.execute(query.encode(), (*values, x, y)).fetchone()
    assert row
    return int(row[0])


ALL = frozenset(OWNERS)
NOBODY: frozenset[str] = frozenset()


def _only(*owners: str) -> frozenset[str]:
    return frozenset(owners)


@dataclass(frozen=True)
class Caller:
    """An account and what it shows. ``grants``: (role, agency, layer or None); ``scopes`` None: a password.

    What it should get: ``shut``, ``mixed`` (owners whose rows of trial_shut, and whose secrets of
    trial_mixed, it sees), ``writes`` (layer -> owners whose features it may write); ``known`` False: it is
    refused with 401.
    """

    name: str
    grants: tuple[tuple[str, str, str | None], ...] = ()
    scopes: tuple[str, ...] | None = ("read", "edit", "manage")
    shut: frozenset[str] = NOBODY
    mixed: frozenset[str] = NOBODY
    writes: dict[str, frozenset[str]] = field(default_factory=dict)
    known: bool = True
    area: bool = False

    @property
    def findings(self) -> bool:
        """Whether findings about what is hidden are a collection for him: not by a token for one layer."""
        reads = self.scopes is None or "read" in self.scopes
        # sawaco has restricted layers of its own
        return bool(self.shut or self.mixed or self.name == "sawaco_steward") and reads


def _everywhere(owners: frozenset[str]) -> dict[str, frozenset[str]]:
    return dict.fromkeys(LAYERS, owners)


_VNPT, _VIETTEL, _CITY = _only("vnpt"), _only("viettel"), _only("city")
_OWN = {"shut": _VNPT, "mixed": _VNPT}

CALLERS: dict[str, Caller] = {
    one.name: one
    for one in (
        Caller("anonymous", scopes=None),
        Caller("vnpt_viewer", (("viewer", "vnpt", None),), **_OWN),
        Caller("vnpt_editor", (("editor", "vnpt", None),), **_OWN, writes=_everywhere(_VNPT)),
        Caller("vnpt_steward", (("steward", "vnpt", None),), **_OWN, writes=_everywhere(_VNPT)),
        Caller("vnpt_admin", (("admin", "vnpt", None),), None, **_OWN, writes=_everywhere(_VNPT)),
        Caller("vnpt_area", (("editor", "vnpt", None),), **_OWN, writes=_everywhere(_VNPT), area=True),
        Caller(
            "viettel_editor",
            (("editor", "viettel", None),),
            shut=_VIETTEL,
            mixed=_VIETTEL,
            writes=_everywhere(_VIETTEL),
        ),
        Caller(
            "both_editor",
            (("viewer", "vnpt", None), ("editor", "viettel", "trial_shut")),
            shut=_only("vnpt", "viettel"),
            mixed=_VNPT,
            writes={"trial_shut": _VIETTEL},
        ),
        Caller("city_viewer", (("viewer", "city", None),), shut=_CITY, mixed=_CITY),
        Caller(
            "city_editor", (("editor", "city", None),), shut=_CITY, mixed=_CITY, writes=_everywhere(_CITY)
        ),
        Caller("city_steward", (("steward", "city", None),), shut=ALL, mixed=ALL, writes=_everywhere(ALL)),
        Caller("city_admin", (("admin", "city", None),), shut=ALL, mixed=ALL, writes=_everywhere(ALL)),
        # an agency whose layers these are not
        Caller("sawaco_steward", (("steward", "sawaco", None),)),
        Caller("nothing_granted"),
        # one layer of the agency
        Caller("vnpt_shut", (("editor", "vnpt", "trial_shut"),), shut=_VNPT, writes={"trial_shut": _VNPT}),
        # tokens that were made for less than their account may
        Caller("read_token", (("editor", "vnpt", None),), ("read",), **_OWN),
        Caller("edit_token", (("editor", "vnpt", None),), ("edit",), writes=_everywhere(_VNPT)),
        Caller("read_shut_token", (("steward", "city", None),), ("read:trial_shut",), shut=ALL),
        Caller(
            "edit_mixed_token",
            (("editor", "vnpt", None),),
            ("read", "edit:trial_mixed"),
            **_OWN,
            writes={"trial_mixed": _VNPT},
        ),
        # who has to be refused
        Caller("disabled", (("steward", "city", None),), known=False),
        Caller("expired", (("steward", "city", None),), known=False),
        Caller("revoked", (("steward", "city", None),), known=False),
    )
}


@dataclass(frozen=True)
class Account:
    """A caller in the database."""

    caller: Caller
    id: int = 0
    token: int | None = None
    secret: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What it shows."""
        if self.caller.name == "anonymous":
            return {}
        if self.caller.scopes is None:
            import base64

            pair = base64.b64encode(f"{self.caller.name}:{PASSWORD}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        return {"Authorization": f"Bearer {self.secret}"}


def enrol(connection: psycopg.Connection, callers: Iterable[Caller] = CALLERS.values()) -> dict[str, Account]:
    """The accounts of the callers."""
    made: dict[str, Account] = {}
    for caller in callers:
        if caller.name == "anonymous":
            made[caller.name] = Account(caller)
            continue
        account = add_account(connection, caller.name, PASSWORD if caller.scopes is None else None)
        for role, agency, layer in caller.grants:
            grant(connection, account, role, agency, layer, Area(AREA, 9210, {}) if caller.area else None)
        token, secret = None, ""
        if caller.scopes is not None:
            secret, token = make_token(connection, account, "test", caller.scopes, 30)
        made[caller.name] = Account(caller, account, token, secret)
    if "disabled" in made:
        connection.execute("UPDATE bandoso.account SET disabled = true WHERE id = %s", [made["disabled"].id])
    for name, column in (("expired", "expires_at"), ("revoked", "revoked_at")):
        if name in made:
            connection.execute(
                f"UPDATE bandoso.token SET {column} = now() - interval '1 second' WHERE id = %s".encode(),
                [made[name].token],
            )
    return made
