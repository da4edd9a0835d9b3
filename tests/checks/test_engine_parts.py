"""Parts of the engine: windows from data, the database as a source, identity of findings, the command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import psycopg
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from gis.checks import dbrepeated
from gis.checks.blocks import corners, cut, divided
from gis.checks.dbsource import DatabaseSource
from gis.checks.encode import Encoder
from gis.checks.features import Features
from gis.checks.model import FeatureRef, Finding
from gis.checks.source import EVERYWHERE, NOWHERE, Box, MemorySource
from gis.checks.store import Store, nearest_pairs
from gis.checks.window import Setting
from gis.city import City
from gis.db.server import Database
from gis.demo.plan import make_plan
from gis.demo.write import write
from layers.registry import Catalogue

ROOT = Path(__file__).resolve().parents[2]

# --- windows ----------------------------------------------------------------------------------------

coordinates = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.floats(0.5, 20.0)), min_size=1, max_size=200
)


@settings(max_examples=200, deadline=None)
@given(points=coordinates, target=st.floats(1.0, 500.0))
def test_windows_cover_everything_once(points: list[tuple[int, int, float]], target: float) -> None:
    table = np.array(points, dtype=np.float64)
    xy, weight = table[:, :2], table[:, 2]
    blocks = cut(xy, weight, EVERYWHERE, target)
    assert sum(block.weight for block in blocks) == pytest.approx(weight.sum())
    places = np.vstack([xy, [[-1e9, -1e9], [1e9, 1e9], [-1e9, 1e9], [12.3, 7.7]]])
    owners = np.zeros(len(places), int)
    for block in blocks:
        minx, miny, maxx, maxy = block.box
        inside = (
            (places[:, 0] >= minx) & (places[:, 0] < maxx) & (places[:, 1] >= miny) & (places[:, 1] < maxy)
        )
        owners += inside
        # Too heavy is only what lies in one place.
        mine = inside[: len(xy)]
        if weight[mine].sum() > max(3 * target, 60.0):
            assert len(np.unique(xy[mine], axis=0)) <= 2 or weight[mine].max() > target
    assert (owners == 1).all()


def test_coincident_features_end_in_one_window() -> None:
    xy = np.vstack([np.full((10_000, 2), 5.0), np.random.default_rng(1).uniform(0, 1000, (10_000, 2))])
    blocks = cut(xy, np.ones(len(xy)), EVERYWHERE, 500.0)
    assert max(block.weight for block in blocks) >= 10_000
    assert sorted(block.weight for block in blocks)[-2] < 1_000


def test_a_dense_quarter_gets_small_windows() -> None:
    random = np.random.default_rng(1)
    xy = np.vstack([random.uniform(0, 100, (9_000, 2)), random.uniform(0, 100_000, (1_000, 2))])
    blocks = cut(xy, np.ones(len(xy)), EVERYWHERE, 500.0)
    weights = [block.weight for block in blocks]
    assert 15 <= len(blocks) <= 25
    assert max(weights) < 1.6 * min(weights) + 1


# --- the database as a source -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def filled(module_db: Database, city: City, catalogue: Catalogue) -> Database:
    write(module_db.owner_dsn, make_plan(1_500, 1), city, catalogue, lambda _done, _total: None, defects=True)
    return module_db


@pytest.fixture(scope="module")
def setting(city: City, catalogue: Catalogue) -> Setting:
    return Setting(city, catalogue, date(2026, 1, 1))


@pytest.fixture
def connection(filled: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(filled.owner_dsn) as opened:
        yield opened
        opened.rollback()


@pytest.fixture
def source(connection: psycopg.Connection, setting: Setting) -> DatabaseSource:
    return DatabaseSource(connection, setting.catalogue, setting.city.crs.storage)


COLUMNS = {
    "cadastre_parcel": (
        "commune_code", "parcel_no", "legal_area_m2", "survey_date", "updated_at", "asset_id", "fid",
    ),
    "water_pipe": ("diameter_mm", "installed_year", "material", "last_inspection", "status"),
    "admin_ward": ("commune_code", "name"),
    "power_meter": ("customer_code", "owner"),
}  # fmt: skip


@pytest.mark.parametrize("layer", COLUMNS)
def test_the_database_reads_as_memory_does(source: DatabaseSource, catalogue: Catalogue, layer: str) -> None:
    columns = COLUMNS[layer]
    everything = source.features(layer, EVERYWHERE, columns)
    assert len(everything) == source.count(layer) > 0
    own = {name: everything[name] for name in columns if name not in ("fid", "asset_id", "owner")}
    memory = MemorySource(catalogue, {layer: Features(
        everything.layer, everything.fid, everything.asset_id, everything.owner, everything.geometry, own
    )})  # fmt: skip
    minx, miny = np.nanmin(everything.boxes[:, :2], axis=0)
    maxy = np.nanmax(everything.boxes[:, 3])
    middle = float(everything.boxes[len(everything) // 2, 2])
    boxes: list[Box] = [
        EVERYWHERE,
        NOWHERE,
        (-np.inf, -np.inf, middle, np.inf),
        (middle, float(miny), middle, float(maxy)),
        (float(minx), float(miny), float(minx), float(miny)),
        (middle, -np.inf, np.inf, float(miny + maxy) / 2),
        (0.0, 0.0, 1.0, 1.0),
    ]
    for box in boxes:
        for geometry in (True, False):
            same(
                source.features(layer, box, columns, geometry=geometry),
                memory.features(layer, box, columns, geometry=geometry),
                geometry=geometry,
            )
    parts = list(source.stream(layer, columns, size=97))
    assert all(len(part) for part in parts)
    assert np.concatenate([part.fid for part in parts]).tolist() == everything.fid.tolist()
    some = everything.fid[::5].tolist()
    same(source.pick(layer, [*some, 10**9], columns), memory.pick(layer, some, columns))


def same(one: Features, other: Features, *, geometry: bool = True) -> None:
    assert one.fid.tolist() == other.fid.tolist()
    assert one.asset_id.tolist() == other.asset_id.tolist()
    assert one.owner.tolist() == other.owner.tolist()
    assert one.columns.keys() == other.columns.keys()
    for name, values in one.columns.items():
        assert values.dtype == other[name].dtype, name
        np.testing.assert_array_equal(values, other[name])
    if geometry and len(one):
        assert shapely.equals_exact(one.geometry, other.geometry).all()
        assert (shapely.get_srid(one.geometry) == 0).all()


def test_repeated_values_are_found_whole_and_among_some(
    source: DatabaseSource, connection: psycopg.Connection
) -> None:
    for change in (
        "material = NULL, diameter_mm = 500, installed_year = 2000",
        "diameter_mm = 1000 WHERE fid IN (SELECT fid FROM layer.water_pipe ORDER BY fid LIMIT 3)",
        "installed_year = NULL WHERE fid IN (SELECT fid FROM layer.water_pipe ORDER BY fid DESC LIMIT 5)",
    ):
        connection.execute(f"UPDATE layer.water_pipe SET {change}".encode())
    columns = ("material", "diameter_mm", "installed_year")

    def repeated(*values: object, **others: object) -> list[Features]:
        found = list(source.repeated("water_pipe", columns, *values, **others))  # type: ignore[arg-type]
        assert not any(one.goes_on for one in found)
        return [one.features for one in found]

    groups = repeated()
    rows = source.count("water_pipe")
    assert sorted(len(group) for group in groups) == [3, rows - 3 - 5]
    for group in groups:
        assert group.asset_id.tolist() == sorted(group.asset_id.tolist())
        assert group["material"].tolist() == [None] * len(group)
    assert repeated(held=("material",)) == []
    among = repeated([(None, 1000.0, 2000.0), (None, 7.0, 2000.0)], more=("status",))
    assert [len(group) for group in among] == [3]
    assert [len(group["status"]) for group in among] == [3]
    # many are looked up by one statement: those of each pattern of nulls
    many = [(None, 1000.0 + n, 2000.0) for n in range(20)] + [("hdpe", 500.0, 1990.0 + n) for n in range(20)]
    assert [one.asset_id.tolist() for one in repeated(many)] == [one.asset_id.tolist() for one in among]
    same(repeated(many)[0], repeated([(None, 1000.0, 2000.0)])[0])
    assert repeated(many, held=("material",)) == []
    assert repeated([(None, 500.0, np.nan)]) == []
    assert repeated([]) == []


def test_a_window_that_holds_too_much_is_divided(connection: psycopg.Connection, setting: Setting) -> None:
    srid = setting.city.crs.storage
    layers = ("cadastre_parcel", "water_pipe")
    xy, weight = corners(connection, setting.catalogue, layers, srid)
    low, high = np.quantile(xy, [0.2, 0.8], axis=0)
    box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    inside = ((xy >= low) & (xy < high)).all(axis=1)
    total = float(weight[inside].sum())
    args = (connection, setting.catalogue, layers, srid, box)
    assert [block.box for block in divided(*args, 1.5 * total)] == [box]
    parts = divided(*args, total / 4)
    held = [weight[((xy >= part.box[:2]) & (xy < part.box[2:])).all(axis=1)].sum() for part in parts]
    assert len(parts) >= 4
    assert sum(held) == pytest.approx(total)
    assert max(held) <= total / 4 * 1.1


def test_groups_larger_than_memory_come_in_parts(
    source: DatabaseSource, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = ("commune_code", "parcel_no")
    connection.execute(
        "UPDATE layer.cadastre_parcel SET parcel_no = fid % 5, commune_code = fid % 2, sheet_no = fid"
    )
    whole = {
        tuple(one.features[name][0] for name in columns): one.features.fid.tolist()
        for one in source.repeated("cadastre_parcel", columns)
    }
    assert len(whole) == 10
    assert all(len(fids) > 100 for fids in whole.values())
    monkeypatch.setattr(dbrepeated, "PORTION", 41)
    parts: dict[object, list[int]] = {}
    for one in source.repeated("cadastre_parcel", columns):
        assert len(one.features) <= 2 * 41
        key = tuple(one.features[name][0] for name in columns)
        assert one.goes_on == (key in parts)
        parts.setdefault(key, []).extend(one.features.fid.tolist())
    assert parts == whole
    # What a unique index keeps apart is not looked at at all.
    before = scans(connection, "cadastre_parcel")
    assert list(source.repeated("cadastre_parcel", ("commune_code", "asset_id"))) == []
    assert scans(connection, "cadastre_parcel") == before
    assert list(source.repeated("cadastre_parcel", ("commune_code", "sheet_no"))) == []
    assert scans(connection, "cadastre_parcel") > before


def scans(connection: psycopg.Connection, layer: str) -> int:
    """How often this transaction has read the layer's table or one of its indexes."""
    row = connection.execute(
        "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_xact_all_tables WHERE relid = %s::regclass",
        [f"layer.{layer}"],
    ).fetchone()
    assert row
    return int(row[0])


# --- identity -----------------------------------------------------------------------------------------


def crossing(x: float, value: float = 0.5, *assets: str) -> Finding:
    """A finding about two pipes at a place."""
    refs = tuple(FeatureRef("water_pipe", n + 1, a, "sawaco") for n, a in enumerate(assets or ("A", "B")))
    place = shapely.Point(606000 + x, 1191000)
    return Finding("NET-05", "W", refs, place, (606000.0, 1191000.0), value, 0.1, "m")


class Ledger:
    """Findings stored one run after the other, in one transaction."""

    def __init__(
        self, connection: psycopg.Connection, setting: Setting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.connection, self.setting = connection, setting
        # Which words a message wants is the rules' business.
        monkeypatch.setattr("gis.checks.encode.message", lambda found, language: f"{found.rule} {language}")
        self.store, self.encoder = Store(connection, setting.catalogue), Encoder(setting)
        self.runs = 0

    def run(self, *found: Finding, today: date = date(2026, 1, 1)) -> dict[str, float]:
        """Ids with the x (m) of the places they have after a run; negative for mended ones."""
        self.runs += 1
        self.store.begin()
        if found:
            self.store.stage(self.encoder.rows(1, [("T", one) for one in found]))
        self.store.look_everywhere(["T"], ["T"])
        self.store.judge(today, large=False)
        self.store.write(self.runs, datetime.now(UTC))
        rows = self.connection.execute(
            "SELECT asset_id, ST_XMin(geom) - 606000, state FROM layer.finding ORDER BY 1"
        ).fetchall()
        return {name: (-1.0 if state == "mended" else round(x, 3)) for name, x, state in rows}


@pytest.fixture
def ledger(connection: psycopg.Connection, setting: Setting, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    return Ledger(connection, setting, monkeypatch)


def test_findings_of_one_pair_are_told_apart_by_place(ledger: Ledger) -> None:
    first = ledger.run(crossing(10), crossing(50), crossing(90))
    one, two, three = sorted(first, key=lambda name: first[name])
    assert (two, three) == (f"{one}-2", f"{one}-3")
    assert ledger.run(crossing(90), crossing(10), crossing(50)) == first
    # Moved a little, in whatever order they come: each stays who it is.
    assert ledger.run(crossing(92), crossing(12), crossing(52)) == {one: 12, two: 52, three: 92}
    # The middle one goes, and a new one comes elsewhere: as the nearest that is left.
    assert ledger.run(crossing(12), crossing(92)) == {one: 12, two: -1, three: 92}
    assert ledger.run(crossing(12), crossing(92), crossing(70)) == {one: 12, two: 70, three: 92}
    assert ledger.run(crossing(12), crossing(92), crossing(70), crossing(400))[f"{one}-4"] == 400


def test_identity_is_of_features_not_of_their_order_or_number(ledger: Ledger) -> None:
    first = ledger.run(crossing(10, 0.5, "A", "B"))
    turned = replace(crossing(10), features=tuple(reversed(crossing(10).features)))
    assert ledger.run(turned) == first
    assert len(ledger.run(crossing(10, 0.5, "A", "C"))) == 2
    assert len(ledger.run(replace(crossing(10), network="other"))) == 3


def test_only_what_changed_is_written(ledger: Ledger) -> None:
    ledger.run(crossing(10), crossing(20, 0.5, "C", "D"))
    query = "SELECT features, version, value FROM layer.finding ORDER BY value, features"
    before = ledger.connection.execute(query).fetchall()
    ledger.run(crossing(10), crossing(20, 0.7, "C", "D"))
    after = ledger.connection.execute(query).fetchall()
    assert [row[1:] for row in before] == [(1, 0.5), (1, 0.5)]
    assert [row[1:] for row in after] == [(1, 0.5), (2, 0.7)]


def test_a_finding_that_becomes_restricted_moves_and_stays_the_same(ledger: Ledger) -> None:
    [name] = ledger.run(crossing(10))
    ledger.connection.execute("UPDATE layer.finding SET state = 'accepted', accepted_reason = 'so be it'")
    ledger.run(replace(crossing(10), restricted=True))
    rows = ledger.connection.execute(
        "SELECT asset_id, state, accepted_reason FROM layer.finding_restricted"
    ).fetchall()
    assert rows == [(name, "accepted", "so be it")]
    assert ledger.connection.execute("SELECT count(*) FROM layer.finding").fetchone() == (0,)
    assert list(ledger.run(crossing(10))) == [name]
    assert ledger.connection.execute("SELECT count(*) FROM layer.finding_restricted").fetchone() == (0,)


@pytest.mark.parametrize(
    "where",
    [
        shapely.Point(),
        shapely.Point(np.nan, 1.0),
        shapely.Point(1e9, 1e9),
        shapely.LinearRing([(606000, 1191000), (606001, 1191000), (606000, 1191001)]),
        shapely.GeometryCollection(
            [shapely.Point(606000, 1191000), shapely.LineString([(606000, 1191000), (606001, 1191000)])]
        ),
        shapely.GeometryCollection(),
        shapely.LineString([(606000, 1191000, 3), (606001, 1191000, 4)]),
        shapely.LineString(np.column_stack([np.linspace(606000, 606001, 60_000), np.full(60_000, 1e6)])),
    ],
    ids=lambda shape: shape.geom_type,
)  # fmt: skip
def test_whatever_a_rule_shows_can_be_stored(ledger: Ledger, where: shapely.Geometry) -> None:
    odd = replace(
        crossing(0),
        where=where,
        value=float("nan"),
        anchor=(float("nan"), float("nan")),
        words={"text": "tab\there\nand \\ slash \x00", "number": np.float64(2)},
        features=tuple(FeatureRef("water_pipe", n, f'Ống "{n}"\t\\', "nobody") for n in range(500)),
    )
    ledger.run(odd)
    row = ledger.connection.execute("SELECT features, value, owner FROM layer.finding").fetchone()
    assert row is not None and row[1] is None
    assert 0 < len(json.loads(row[0])) < 500
    assert row[2] in ledger.setting.city.agency_ids
    about = ledger.connection.execute("SELECT cardinality(about), ax FROM bandoso.finding_key").fetchone()
    assert about == (500, None)


def test_nearest_pairs_take_the_nearest_first() -> None:
    new = [(1, 0.0, 0.0), (2, 10.0, 0.0), (3, 11.0, 0.0)]
    old = [("a", 10.4, 0.0), ("b", 1.0, 0.0)]
    assert sorted(nearest_pairs(new, old)) == [(1, "b"), (2, "a")]


# --- the command ------------------------------------------------------------------------------------


def command(db: Database, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gis.cli", "check", "--dsn", db.owner_dsn, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


def test_check_says_what_it_found_by_exit_and_json(filled: Database, tmp_path: Path) -> None:
    report = tmp_path / "found.json"
    done = command(filled, "base_road", "--rule", "gen-05", "--json", "--report", str(report))
    assert done.returncode == 1, done.stderr
    summary = json.loads(done.stdout)["summary"]
    assert summary["errors"] == summary["new"] == len(json.loads(report.read_text())["findings"]) > 0
    text = command(filled, "base_road", "--rule", "GEN-05", "--no-store", "--workers", "0")
    assert text.returncode == 1
    assert "GEN-05" in text.stdout and f"{summary['errors']} error" in text.stdout
    clean = command(filled, "base_railway", "--rule", "GEN-05", "--workers", "0")
    assert clean.returncode == 0 and "nothing found" in clean.stdout
    elsewhere = command(filled, "--rule", "GEN-05", "--bbox", "106.60,10.70,106.61,10.71", "--workers", "0")
    assert elsewhere.returncode == 0, elsewhere.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cadastre_parcle"], "did you mean cadastre_parcel"),
        (["--rule", "GEN-55"], "did you mean GEN-05"),
        (["base_road", "--rule", "CAD-06"], "the layer files ask for no such check"),
        (["--bbox", "1,2,3"], "four numbers"),
        (["--sheet", "nowhere"], "is not the name of a map sheet"),
        (["--bbox", "106,10,107,11", "--sheet", "C-48-34-(119-a)"], "do not go together"),
        (["--report", "found.docx"], "a report is a file that ends in"),
        (["--rule", "GEN-05", "--scheduler", "tcp://127.0.0.1:9"], "Dask"),
    ],
)
def test_what_cannot_run_says_so_and_exits_2(filled: Database, arguments: list[str], said: str) -> None:
    done = command(filled, *arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
