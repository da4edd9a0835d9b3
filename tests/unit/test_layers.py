"""The shipped layer files: complete, in both languages, and coherent."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import pytest

from gis.resources import config_dir
from gis.settings import Settings
from layers import schema
from layers.model import Text
from layers.registry import Catalogue, Layer

# design/interfaces.md: others call these by name.
IDS = str.split("""
admin_city admin_ward admin_district_old
cadastre_parcel cadastre_boundary_point cadastre_building cadastre_sheet
base_road base_railway base_waterway base_waterbody base_building base_contour base_spot_height base_landuse
base_place base_sheet
telecom_cable telecom_duct telecom_chamber telecom_pole telecom_mast telecom_cabinet telecom_camera
telecom_post_office
power_line power_support power_substation power_switch power_cabinet power_meter power_corridor
water_pipe water_valve water_hydrant water_meter water_facility water_dma
drainage_conduit drainage_manhole drainage_inlet drainage_outfall drainage_channel drainage_basin
drainage_facility drainage_catchment flood_spot
underground_tunnel underground_trench underground_duct underground_structure
finding finding_restricted
""")

NETWORK = str.split("""
operator material installed_year condition last_inspection underground_status depth_m depth_method
horizontal_accuracy_m vertical_accuracy_m quality_level sensitivity source_sheet source_scale survey_date
remark
""")

#: What a public city map must not show; adding to it or taking from it is a decision.
RESTRICTED = {"power_meter", "water_meter", "finding_restricted"}
CONFIDENTIAL = {
    ("cadastre_parcel", "holder_ref"),
    ("cadastre_parcel", "certificate_no"),
    ("telecom_camera", "stream_ref"),
    ("telecom_camera", "view_direction_deg"),
    ("power_meter", "customer_code"),
    ("water_meter", "customer_code"),
}

VIETNAMESE = set("ăâđêôơưáàảãạấầẩẫậắằẳẵặéèẻẽẹếềểễệíìỉĩịóòỏõọốồổỗộớờởỡợúùủũụứừửữựýỳỷỹỵ")


@pytest.fixture(scope="module")
def shipped() -> Catalogue:
    settings = Settings.from_env({})
    return settings.load_catalogue(settings.load_city())


def texts(catalogue: Catalogue) -> Iterator[tuple[str, Text]]:
    for sector in catalogue.sectors:
        yield f"sector {sector.id}", sector.title
    for name, values in catalogue.domains.items():
        for value in values:
            yield f"{name}={value.value}", value.title
    for layer in catalogue.layers.values():
        yield layer.id, layer.title
        for f in layer.fields:
            yield f"{layer.id}.{f.name}", f.title
            if f.description:
                yield f"{layer.id}.{f.name} description", f.description


def test_every_layer_of_the_interface_is_defined(shipped: Catalogue) -> None:
    assert sorted(shipped.layers) == sorted(IDS)


def test_layer_ids_begin_with_their_sector(shipped: Catalogue) -> None:
    for layer in shipped.layers.values():
        if layer.id not in ("flood_spot", "finding", "finding_restricted"):
            assert layer.id.startswith(layer.sector.id + "_")


def test_every_network_layer_has_the_common_attributes(shipped: Catalogue) -> None:
    networks = [x for x in shipped.layers.values() if "network" in x.definition.groups]
    assert len(networks) >= 30
    for layer in networks:
        assert [f.name for f in layer.own_fields][: len(NETWORK)] == NETWORK
        assert layer.definition.z == "optional" or layer.id == "telecom_post_office"


def test_parcels_have_the_fields_of_the_interface(shipped: Catalogue) -> None:
    layer = shipped.layers["cadastre_parcel"]
    wanted = "commune_code legacy_commune_code sheet_no parcel_no land_use legal_area_m2 map_scale address"
    assert set(wanted.split()) <= {f.name for f in layer.fields}
    codes = {str(v.value): v.title.vi for v in layer.domains["land_use"]}
    assert codes["ODT"] == "Đất ở tại đô thị"
    common = (
        "LUC LUK LUN CLN CHN HNK RSX RPH RDD NTS LMU NKH ONT ODT TSC DGD DYT SKC SKK TMD DGT DTL DNL DBV DVH "
        "DKV TON TIN NTD SMN PNK BCS DCS NCS"
    )
    assert set(common.split()) <= set(codes)


def test_texts_are_composed_and_vietnamese_where_they_say_so(shipped: Catalogue) -> None:
    for place, text in texts(shipped):
        for words in (text.vi, text.en):
            assert words == words.strip() == unicodedata.normalize("NFC", words), place
            assert "�" not in words and "?" not in words, place
        assert not set(text.en.lower()) & VIETNAMESE, f"{place}: English has Vietnamese letters"
    fields = {f.title.vi for x in shipped.layers.values() for f in x.fields}
    assert {t for t in fields if not set(t.lower()) & VIETNAMESE} <= {"Pha"}


def test_units_stand_in_names_and_are_repeated(shipped: Catalogue) -> None:
    suffixes = {"_m": "m", "_mm": "mm", "_m2": "m2", "_m3": "m3", "_kv": "kV", "_kva": "kVA", "_km2": "km2"}
    for layer in shipped.layers.values():
        for f in layer.fields:
            tail = "_" + f.name.rsplit("_", 1)[-1]
            if f.type in ("number", "integer") and tail in suffixes:
                assert f.unit == suffixes[tail], f"{layer.id}.{f.name}"
            assert f.unit is None or f.type in ("number", "integer")


def test_what_is_not_public(shipped: Catalogue) -> None:
    assert {x.id for x in shipped.layers.values() if not x.is_public} == RESTRICTED
    found = {(x.id, f.name) for x in shipped.layers.values() for f in x.fields if f.access != "public"}
    assert found == CONFIDENTIAL


def test_nearly_everything_is_optional(shipped: Catalogue) -> None:
    """Real deliveries are incomplete; completeness is a check (GEN-14), not a reason to reject rows."""
    required = {
        (x.id, f.name)
        for x in shipped.layers.values()
        if x.definition.loadable
        for f in x.fields
        if f.required
    }
    assert required == {(x, "name") for x in ("admin_city", "admin_ward", "admin_district_old")}


def zooms(layer: Layer) -> range:
    return range(layer.definition.tiles.min_zoom, layer.definition.tiles.max_zoom + 1)


def test_tiles_hold_what_their_style_needs(shipped: Catalogue) -> None:
    """The listed attributes suffice: tile_fields() has nothing to add for the shipped layers."""
    for layer in shipped.layers.values():
        listed = layer.definition.tiles.attributes
        for zoom in zooms(layer):
            have = {n for since, names in listed.items() if since <= zoom for n in names}
            if layer.definition.tiles.level(zoom) is None:
                assert set(layer.tile_fields(zoom)) == have, (layer.id, zoom)
                continue
            style = layer.definition.style
            needed = {c.field for c in (style.classes, style.far and style.far.classes) if c}
            assert needed <= set(layer.tile_fields(zoom)) <= have, (layer.id, zoom)


def test_every_feature_is_in_tiles_at_the_last_zoom(shipped: Catalogue) -> None:
    for layer in shipped.layers.values():
        assert layer.tile_filter(layer.definition.tiles.max_zoom) is None, layer.id


def test_tile_filter_names_the_shorter_truth(shipped: Catalogue) -> None:
    road, sheet = shipped.layers["base_road"], shipped.layers["base_sheet"]
    early = road.tile_filter(7)
    assert early is not None and not early.others and set(early.values) == {"motorway", "trunk"}
    late = road.tile_filter(14)
    assert late is not None and late.others and late.values == ("footway",)
    coarse = sheet.tile_filter(10)
    assert coarse is not None and coarse.others and coarse.values == (2000.0,)


def test_drawing_order_puts_no_two_layers_level(shipped: Catalogue) -> None:
    orders = [x.definition.style.order for x in shipped.layers.values()]
    assert len(orders) == len(set(orders))


def test_icons_exist(shipped: Catalogue) -> None:
    folder = config_dir().parent / "gis" / "web" / "icons"
    if not any(folder.glob("*.svg")):
        pytest.skip("the icons are not here")
    named = set()
    for layer in shipped.layers.values():
        style = layer.definition.style
        named |= {style.icon} - {None} | set(style.classes.icons.values() if style.classes else ())
    assert {n for n in named if not (folder / f"{n}.svg").is_file()} == set()


def test_titles_of_a_layer_are_told_apart(shipped: Catalogue) -> None:
    for layer in shipped.layers.values():
        for language in ("vi", "en"):
            titles = [getattr(f.title, language) for f in layer.fields]
            assert len(titles) == len(set(titles)), (layer.id, sorted(titles))


def test_the_schema_file_is_current() -> None:
    assert schema.PATH.read_text(encoding="utf-8") == schema.schema(), "run python -m layers.schema"
