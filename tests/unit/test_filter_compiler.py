"""The tree to SQL: typed, bound, from public fields only, each node counted."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import sql

from gis import crs
from gis.api.features.binding import Bind
from gis.api.features.filters import Compiler, FilterContext, read_filter
from gis.city import City
from gis.errors import LimitError, UsageError
from layers.registry import Catalogue


class Compile:
    """``compile(text)`` gives SQL text and values for the parcels, which have confidential fields."""

    def __init__(self, catalogue: Catalogue, city: City) -> None:
        self.layer = catalogue.layers["cadastre_parcel"]
        self.storage = city.crs.storage

    def tree(self, tree: Any) -> tuple[str, dict[str, object]]:
        bind = Bind()
        context = FilterContext(self.layer, crs.CRS84, self.storage)
        condition = Compiler(context, bind).condition(tree)
        return sql.Composed([condition]).as_string(None), bind.values

    def __call__(self, text: str, language: str = "cql2-text") -> tuple[str, dict[str, object]]:
        return self.tree(read_filter(text, language))


@pytest.fixture
def compile(catalogue: Catalogue, city: City) -> Compile:  # noqa: A001
    return Compile(catalogue, city)


def test_literals_are_bound_in_the_type_of_their_column(compile: Compile) -> None:  # noqa: A002
    text, values = compile("asset_id = 'x''; DROP TABLE y' AND version < 3 AND legal_area_m2 >= 2")
    assert "DROP" not in text
    assert text == (
        '(("asset_id" = %(p0)s::text) AND ("version" < %(p1)s::bigint) '
        'AND ("legal_area_m2" >= %(p2)s::double precision))'
    )
    assert values == {"p0": "x'; DROP TABLE y", "p1": 3, "p2": 2.0}


def test_texts_are_composed_as_they_are_stored(compile: Compile) -> None:  # noqa: A002
    _, values = compile("address = 'Nguye\u0302\u0303n'")
    assert values["p0"] == "Nguy\u1ec5n"


def test_a_list_is_one_parameter(compile: Compile) -> None:  # noqa: A002
    short, _ = compile("version IN (1, 2)")
    long, values = compile("version IN (" + ",".join(map(str, range(1000))) + ")")
    assert short == long == '("version" = ANY(%(p0)s::bigint[]))'
    assert values["p0"] == list(range(1000))


def test_both_foldings_use_the_function_that_indexes_use(compile: Compile) -> None:  # noqa: A002
    for text in ("casei(accenti(address))", "accenti(casei(address))"):
        assert compile(f"{text} LIKE 'a%'")[0].startswith('(bandoso.fold("address") LIKE')


def test_days_and_instants_meet_on_the_coarser_side(compile: Compile) -> None:  # noqa: A002
    assert "AT TIME ZONE 'UTC')::date = " in compile("updated_at = DATE('2026-01-31')")[0]
    assert compile("updated_at > TIMESTAMP('2026-01-31T00:00:00Z')")[0].endswith("::timestamptz)")


@pytest.mark.parametrize(
    "text",
    [
        "holder_ref = 'x'",
        "certificate_no IS NULL",
        "load_id = 1",
        "ctid = 1",
        "pg_sleep(10) = 1",
        "nothing = 1",
        '"asset_id"" = 1 --" = 1',
        "version = 'one'",
        "version = true",
        "asset_id = 5",
        "asset_id > 5.5",
        "address LIKE 5",
        "version LIKE 'a%'",
        "asset_id",
        "version + 'a' = 3",
        "casei(version) = 'a'",
        "geometry = geometry",
        "geometry > 1",
        "geometry BETWEEN 1 AND 2",
        "version IN (1, 'a')",
        "s_intersects(version, POINT(1 1))",
        "s_intersects(geometry)",
        "s_intersects(geometry, POINT(1 1), POINT(1 1))",
        "s_relate(geometry, POINT(1 1), '*********')",
        "t_after(version, TIMESTAMP('2020-01-01T00:00:00Z'))",
        "t_after(updated_at, INTERVAL('2020-01-01'))",
        "updated_at > TIMESTAMP('2020-13-01T00:00:00Z')",
        "updated_at > TIMESTAMP('2020-01-01T25:00:00Z')",
        "updated_at > DATE('2020-02-30')",
        "version = 1e400",
        "version = 9007199254740993",
        "version = 99999999999999999999",
        "s_intersects(geometry, POLYGON((0 0, 1 1, 0 1, 1 0, 0 0)))",
        "s_intersects(geometry, POLYGON((0 0, 1 1)))",
        "s_intersects(geometry, POLYGON((0 0, 1 0, 1 1, 0 1)))",
        "s_intersects(geometry, BBOX(2, 2, 1, 1))",
        "s_intersects(geometry, BBOX(1, 2, 3))",
        "s_intersects(geometry, LINESTRING(1 1))",
        "A_CONTAINS(address, 'a')",
        "TRUE = 1",
    ],
)
def test_wrong_filters(compile: Compile, text: str) -> None:  # noqa: A002
    with pytest.raises(UsageError) as caught:
        compile(text)
    assert caught.value.errors[0]["parameter"] == "filter"
    assert not isinstance(caught.value, LimitError)


def _meets(geometry: Any) -> dict[str, Any]:
    return {"op": "s_intersects", "args": [{"property": "geometry"}, geometry]}


@pytest.mark.parametrize(
    "tree",
    [
        {"op": "and", "args": []},
        {"op": "and", "args": [True]},
        {"op": "=", "args": [{"property": "version"}]},
        {"op": "=", "args": {"property": "version"}},
        {"op": "=", "args": [None, 1]},
        {"op": "=", "args": [[1], 1]},
        {"op": 5, "args": []},
        {"op": "in", "args": [{"property": "version"}, []]},
        {"op": "in", "args": [{"property": "version"}, 5]},
        {"op": "=", "args": [{"property": 5}, 1]},
        {"op": "=", "args": [{"property": ["version"]}, 1]},
        {"op": "=", "args": [{"property": "version"}, 2**63]},
        {"op": "=", "args": [{"property": "address"}, "\ud800"]},
        {"op": "=", "args": [{"property": "address"}, "\0"]},
        {"op": "=", "args": [{"property": "updated_at"}, {"timestamp": 5}]},
        _meets({"type": "Point", "coordinates": "ab"}),
        _meets({"type": "Point", "coordinates": [1]}),
        _meets({"type": "Point", "coordinates": [1, None]}),
        _meets({"type": "Point", "coordinates": [[1, 2]]}),
        _meets({"type": "Nope", "coordinates": [1, 2]}),
        _meets({"type": "MultiPoint", "coordinates": []}),
        _meets({"type": "Polygon", "coordinates": [[]]}),
        _meets({"type": "GeometryCollection", "geometries": 1}),
        _meets({"type": "GeometryCollection", "geometries": [5]}),
    ],
    ids=str,
)
def test_wrong_trees(compile: Compile, tree: Any) -> None:  # noqa: A002
    with pytest.raises(UsageError):
        compile.tree(tree)


def test_caps_are_counted_in_trees(compile: Compile) -> None:  # noqa: A002
    one: Any = {"op": "=", "args": [{"property": "version"}, 1]}
    deep = one
    for _ in range(32):
        deep = {"op": "not", "args": [deep]}
    many = {"op": "or", "args": [one] * 90}
    listed = {"op": "in", "args": [{"property": "version"}, list(range(1001))]}
    points = {"type": "LineString", "coordinates": [[106 + n / 1e5, 10] for n in range(1001)]}
    spatial = {"op": "s_intersects", "args": [{"property": "geometry"}, points]}
    nested: Any = {"type": "Point", "coordinates": [1, 1]}
    for _ in range(500):
        nested = {"type": "GeometryCollection", "geometries": [nested]}
    for tree in (deep, many, listed, spatial):
        with pytest.raises(LimitError):
            compile.tree(tree)
    with pytest.raises(UsageError):
        compile.tree({"op": "s_intersects", "args": [{"property": "geometry"}, nested]})


def test_a_literal_of_the_whole_world_has_an_image(compile: Compile) -> None:  # noqa: A002
    for literal in ("BBOX(-180,-90,180,90)", "POLYGON((-180 -90,180 -90,180 90,-180 90,-180 -90))"):
        text, values = compile(f"s_intersects(geometry, {literal})")
        assert text == '(ST_Intersects("geom", %(p0)s::geometry))'
        assert isinstance(values["p0"], str)
