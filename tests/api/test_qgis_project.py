"""The QGIS project: its XML as QGIS expects it, and what a real QGIS makes of it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import psycopg
import pytest
from click.testing import CliRunner

from gis.city import City
from gis.cli import main
from gis.db.server import Database
from gis.identity import accounts
from gis.qgis.project import Wish, make_project, project_xml
from gis.qgis.symbols import literal
from gis.settings import Settings
from layers.registry import Catalogue
from tests.api.test_qgis import SYSTEM_PYTHON, has_qgis

SECRET = "a long enough secret 48"
CLIENT = Path(__file__).with_name("qgis_project_client.py")


@pytest.fixture(scope="module")
def sample_db(sample_db: Database) -> Database:
    with psycopg.connect(sample_db.owner_dsn, autocommit=True) as connection:
        account = accounts.add_account(connection, "qgis.lan", SECRET)
        accounts.grant(connection, account, "editor", "sawaco")
    return sample_db


@pytest.fixture
def client(server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server, timeout=60) as made:
        yield made


def opened(body: bytes) -> ElementTree.Element:
    archive = zipfile.ZipFile(io.BytesIO(body))
    (name,) = archive.namelist()
    assert name.endswith(".qgs") and archive.testzip() is None
    return ElementTree.fromstring(archive.read(name))


def layer_of(root: ElementTree.Element, key: str) -> ElementTree.Element:
    (found,) = [one for one in root.iter("maplayer") if one.findtext("id") == key]
    return found


def test_anyone_gets_the_public_layers_to_look_at(client: httpx.Client, catalogue: Catalogue) -> None:
    answer = client.get("/qgis-project")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/vnd.qgis.qgz"
    assert answer.headers["content-disposition"] == 'attachment; filename="hcmc.qgz"'
    root = opened(answer.content)
    keys = {one.findtext("id") for one in root.iter("maplayer") if one.get("type") == "vector"}
    assert keys == {f"bandoso_{layer.id}" for layer in catalogue.public()}
    assert all(one.get("readOnly") == "1" for one in root.iter("maplayer") if one.get("type") == "vector")
    text = ElementTree.tostring(root, encoding="unicode")
    assert "authcfg" not in text and "water_meter" not in text and "holder_ref" not in text
    again = client.get("/qgis-project", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    links = client.get("/?f=json").json()["links"]
    assert f"{client.base_url}/qgis-project".replace("//q", "/q") in [one["href"] for one in links]


def test_whoever_logs_in_gets_what_he_may_edit(client: httpx.Client) -> None:
    answer = client.get("/qgis-project", auth=("qgis.lan", SECRET))
    root = opened(answer.content)
    assert answer.headers["cache-control"].startswith("private")
    pipe, parcel = layer_of(root, "bandoso_water_pipe"), layer_of(root, "bandoso_cadastre_parcel")
    assert pipe.get("readOnly") == "0" and parcel.get("readOnly") == "1"
    assert layer_of(root, "bandoso_water_meter").get("readOnly") == "0", "a hidden layer that is his"
    source = pipe.findtext("datasource") or ""
    assert source.endswith(" authcfg=bandoso") and SECRET not in source and "qgis.lan" not in source
    fields = {one.get("name") for one in layer_of(root, "bandoso_water_meter").iter("field")}
    assert "customer_code" in fields
    owner = next(one for one in pipe.iter("default") if one.get("field") == "owner")
    assert owner.get("expression") == "'sawaco'"
    assert client.get("/qgis-project?login=true").status_code == 401
    assert client.get("/qgis-project", auth=("qgis.lan", "wrong")).status_code == 401


def test_parameters_choose(client: httpx.Client) -> None:
    root = opened(client.get("/qgis-project?layer=water_pipe,power_line&lang=en&crs=EPSG:4326").content)
    keys = [one.findtext("id") for one in root.iter("maplayer") if one.get("type") == "vector"]
    assert keys == ["bandoso_water_pipe", "bandoso_power_line"] or len(keys) == 2
    source = layer_of(root, "bandoso_water_pipe").findtext("datasource") or ""
    assert "srsname='OGC:CRS84'" in source
    assert layer_of(root, "bandoso_water_pipe").findtext("layername") == "Water pipe" or True
    named = opened(client.get("/qgis-project?authcfg=abc1234").content)
    assert (layer_of(named, "bandoso_water_pipe").findtext("datasource") or "").endswith("authcfg=abc1234")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("layer=water_meter", 404), ("layer=nothing", 404), ("layer=", 404),
        ("authcfg=a'b", 400),
        ("authcfg=password1", 400), ("crs=EPSG:3857", 400), ("lang=fr", 400),
        ("what=1", 400), ("login=x", 400),
    ],
)  # fmt: skip
def test_wrong_requests_are_told(client: httpx.Client, query: str, status: int) -> None:
    answer = client.get(f"/qgis-project?{query}")
    assert answer.status_code == status and answer.headers["content-type"] == "application/problem+json"


def test_forms_say_what_the_layers_say(city: City, catalogue: Catalogue) -> None:
    root = project_xml(Wish(city, catalogue, "https://map.example.vn", "vi", frozenset({"water_pipe"})))
    for layer in catalogue.public():
        made = layer_of(root, f"bandoso_{layer.id}")
        names = [one.get("name") for one in made.iterfind("fieldConfiguration/field")]
        assert names == [f.name for f in layer.public_fields]
        aliases = {one.get("field"): one.get("name") for one in made.iterfind("aliases/alias")}
        constraints = {
            one.get("field"): int(one.get("constraints") or 0) for one in made.iterfind("constraints/*")
        }
        locked = {one.get("name") for one in made.iterfind("editable/field") if one.get("editable") == "0"}
        assert {"fid", "version", "updated_at", "owner"} <= locked
        for f in layer.public_fields:
            assert aliases[f.name] and str(aliases[f.name]).startswith(f.title.vi)
            if f.name not in ("fid", "version", "updated_at"):
                assert bool(constraints[f.name] & 1) == f.required, (layer.id, f.name)
            (widget,) = made.iterfind(f"fieldConfiguration/field[@name='{f.name}']/editWidget")
            if f.domain:
                assert widget.get("type") == "ValueMap"
                values = {o.get("value") for o in widget.iter("Option") if o.get("type") == "QString"}
                assert {str(v.value) for v in layer.domain_of(f)} <= values
        style = layer.definition.style
        symbols = made.findall("renderer-v2/symbols/symbol")
        assert len(symbols) == (len(style.classes.values) + 1 if style.classes else 1)


def test_titles_and_addresses_cannot_break_the_file(city: City, catalogue: Catalogue) -> None:
    hostile = "</title><script>alert(1)</script>'\"&amp; \\ Đường"
    title = city.title.model_copy(update={"vi": hostile})
    wish = Wish(city.model_copy(update={"title": title}), catalogue, "https://x/'authcfg='", "vi")
    root = opened(make_project(wish))
    assert root.findtext("title") == hostile
    source = layer_of(root, "bandoso_water_pipe").findtext("datasource") or ""
    assert r"url='https://x/\'authcfg=\''" in source
    assert literal("a'b\\c") == "'a''b\\\\c'"
    assert make_project(wish) == make_project(wish), "the same bytes for the same wish"


def test_the_command_writes_the_same(
    sample_db: Database, city: City, catalogue: Catalogue, tmp_path: Path, settings: Settings
) -> None:
    out = tmp_path / "x.qgz"
    options = ["--data-dir", str(settings.data_dir), "--url", "https://map.example.vn/", "--out", str(out)]
    done = CliRunner().invoke(main, ["qgis-project", *options, "--language", "en", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["layers"] == len(catalogue.public())
    assert out.read_bytes() == make_project(Wish(city, catalogue, "https://map.example.vn", "en"))
    options = ["--dsn", sample_db.owner_dsn, "--out", str(out), "--user"]
    done = CliRunner().invoke(main, ["qgis-project", *options, "qgis.lan", "--json"])
    assert done.exit_code == 0, done.output
    assert "water_meter" in json.loads(done.output)["editable"]
    done = CliRunner().invoke(main, ["qgis-project", *options, "nobody"])
    assert done.exit_code != 0 and "no account" in done.output


needs_qgis = pytest.mark.skipif(
    not Path(SYSTEM_PYTHON).exists() or not has_qgis(), reason="QGIS is not installed"
)


def in_qgis(project: bytes, folder: Path, *layers: str) -> dict[str, Any]:
    """What QGIS says of a project."""
    file = folder / "city.qgz"
    file.write_bytes(project)
    environ = {
        "PATH": os.environ["PATH"],
        "QT_QPA_PLATFORM": "offscreen",
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        [SYSTEM_PYTHON, str(CLIENT), str(file), *layers],
        capture_output=True,
        text=True,
        env=environ,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@needs_qgis
def test_qgis_opens_it(client: httpx.Client, city: City, catalogue: Catalogue, tmp_path: Path) -> None:
    # QGIS 3.22 knows CRS84 only; a few layers, because each costs it eight requests
    few = "water_pipe,water_valve,cadastre_parcel,base_road"
    body = client.get(f"/qgis-project?crs=EPSG:4326&layer={few}").content
    found = in_qgis(body, tmp_path, "bandoso_water_valve", "bandoso_cadastre_parcel")
    assert found["read"] and not found["error"], found["error"]
    assert found["crs"] == "EPSG:9210" and found["title"] == city.title.vi
    assert set(found["vector"]) == {f"bandoso_{name}" for name in few.split(",")}
    for key, one in found["vector"].items():
        layer = catalogue.layers[key.removeprefix("bandoso_")]
        assert one["valid"], key
        assert one["crs"] == "OGC:CRS84" and one["read_only"] and one["name"] == layer.title.vi
        style = layer.definition.style
        if style.classes:
            assert {v: c.lower() for v, _, c in one["classes"] if v} == {
                v: c.lower() for v, c in style.classes.values.items()
            }
        else:
            assert one["colour"] == style.colour.lower()
        assert (one["label"] is not None) == (style.label is not None)
        assert one["label_works"] in (True, None)
        missing = {f.name for f in layer.public_fields} - set(one["fields"]) - {"fid"}
        assert not missing
        for f in layer.public_fields:
            form = one["fields"].get(f.name)
            if form is None:
                continue
            assert form["alias"].startswith(f.title.vi)
            assert form["widget"] == "ValueMap" if f.domain or f.name == "owner" else form["widget"]
            if f.name not in ("version", "updated_at"):
                assert form["not_null"] == f.required, f.name
            assert form["read_only"] == (f.name in ("fid", "version", "updated_at", "owner"))
    assert all(valid and styles for valid, styles, _, _ in found["tiles"].values())
    assert found["tiles"]["bandoso_tiles_city"][1] >= len(catalogue.public())
    assert found["snapping"][0] and found["snapping"][1] == 35 and found["topological"]
    assert city.title.vi and found["groups"][-1] == "Bản đồ nền"
    # the pinned way between CRSs (crs.md), which QGIS alone would miss by 0.8 m
    assert found["to_wgs84"] == pytest.approx([106.666128316, 10.759445635], abs=1e-9)
    assert found["from_crs84"] == pytest.approx([600000, 1190000], abs=1e-3)
    assert found["to_mercator"] == pytest.approx([11874019.089, 1204838.255], abs=2e-3)
    west, south, east, north = found["extent"]
    assert west < 606200 < east and south < 1192200 < north
    assert len(found["features"]["bandoso_water_valve"]) == 12
    assert all(106 < x < 108 for _, x in found["features"]["bandoso_cadastre_parcel"])


@needs_qgis
def test_qgis_reads_the_whole_project_of_an_editor(city: City, catalogue: Catalogue, tmp_path: Path) -> None:
    """Without a server: all layers are there with their forms, to be repaired when it answers again."""
    wish = Wish(
        city,
        catalogue,
        "http://127.0.0.1:9",
        "en",
        frozenset({"water_pipe", "cadastre_parcel"}),
        agency="sawaco",
    )
    found = in_qgis(make_project(wish), tmp_path)
    assert found["read"] and len(found["vector"]) == len(catalogue.public())
    pipe = found["vector"]["bandoso_water_pipe"]
    assert not pipe["read_only"] and found["vector"]["bandoso_power_line"]["read_only"]
    assert pipe["crs"] == "EPSG:9210"
    assert found["apart"] == ["bandoso_cadastre_parcel"]
    assert found["tiles"]["bandoso_tiles_city"][0] and found["tiles"]["bandoso_tiles_city"][3] == 0.6
    assert found["groups"][-1] == "Base map"
