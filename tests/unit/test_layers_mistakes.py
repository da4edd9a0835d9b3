"""Mistakes in a layer file are told by file and place, and nothing hostile passes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from layers.registry import Catalogue, CatalogueError, load_catalogue

AGENCIES = ("thkt", "sawaco", "evnhcmc", "vnpt", "stnmt", "city")


def block(**changes: object) -> dict[str, object]:
    """A sound layer, with changes."""
    field = {"name": "species", "title": {"vi": "Loài", "en": "Species"}}
    return {
        "title": {"vi": "Cây xanh", "en": "Trees"},
        "geometry": "Point",
        "owner": "thkt",
        "fields": [field],
        "style": {"colour": "#228833"},
    } | changes


def field(**more: object) -> dict[str, object]:
    return {"name": "size", "title": {"vi": "Cỡ", "en": "Size"}} | more


def far(*more: dict[str, object], **changes: object) -> dict[str, object]:
    """``tiles`` with a level of low zooms (and more of them), with changes."""
    level = {"zooms": [12, 13], "as": "points", "spacing": 16} | changes
    level = {name: value for name, value in level.items() if value is not None}
    return {
        "tiles": {"min_zoom": 12, "generalise": [level, *({"as": "points", "spacing": 9} | m for m in more)]}
    }


def read(folder: Path, layer: object = None, *, text: str | bytes | None = None, **file: object) -> Catalogue:
    content = {
        "sector": {"id": "green", "title": {"vi": "Cây xanh", "en": "Greenery"}, "order": 80},
        "layers": {"green_tree": layer or block()},
    } | file
    raw = text if text is not None else yaml.safe_dump(content, allow_unicode=True)
    (folder / "green.yml").write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    return load_catalogue([folder], AGENCIES)


def refused(folder: Path, layer: object = None, **more: object) -> str:
    with pytest.raises(CatalogueError) as caught:
        read(folder, layer, **more)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith("green.yml:") and "\n" not in message
    assert str(folder) not in message
    return message


def test_a_block_in_another_folder_is_a_layer(tmp_path: Path) -> None:
    layer = read(tmp_path).layers["green_tree"]
    assert layer.definition.style.order == 250  # the middle of the points' range
    assert [f.name for f in layer.own_fields] == ["species"]


@pytest.mark.parametrize(
    "name",
    [
        "Tree",
        "tree top",
        "1tree",
        "_tree",
        "tree_",
        "a__b",
        "a" * 49,
        "cây",
        'a"; DROP TABLE x; --',
        "a.b",
        "",
        "a\n",
    ],
)
def test_names_that_are_no_identifiers(tmp_path: Path, name: str) -> None:
    refused(tmp_path, layers={name: block()})
    refused(tmp_path, block(fields=[field(name=name)]))
    refused(tmp_path, block(owner=name))


@pytest.mark.parametrize(
    "name", ["geom", "load_id", "ctid", "tableoid", "bbox", "limit", "q", "fid", "status"]
)
def test_names_that_are_taken(tmp_path: Path, name: str) -> None:
    assert name in refused(tmp_path, block(fields=[field(name=name)]))


def test_a_name_kept_for_a_sequence(tmp_path: Path) -> None:
    assert "sequence" in refused(tmp_path, layers={"water_pipe_fid_seq": block()})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"owner": "nobody"}, "layers.green_tree.owner: no agency 'nobody'"),
        ({"geometry": "Curve"}, "layers.green_tree.geometry"),
        ({"colour": "red"}, "layers.green_tree.colour"),
        ({"style": {"colour": "red"}}, "layers.green_tree.style.colour"),
        ({"style": {"colour": "#228833", "order": 50}}, "style.order of a Point layer must be 200 to 299"),
        ({"title": {"vi": " ", "en": "x"}}, "layers.green_tree.title.vi"),
        ({"title": {"vi": "a\x07b", "en": "x"}}, "layers.green_tree.title.vi"),
        ({"title": {"vi": "Cây"}}, "layers.green_tree.title.en"),
        ({"groups": ["nothing"]}, "no group 'nothing'"),
        ({"fields": [field(domain="nothing")]}, "fields.size: no domain 'nothing'"),
        ({"fields": [field(domain="status", type="number")]}, "a domain needs type string or integer"),
        ({"fields": [field(domain="status", default="broken")]}, "default 'broken' is not in domain status"),
        ({"fields": [field(domain="status", type="integer")]}, "not of type integer"),
        ({"fields": [field(type="integer", default="many")]}, "default 'many' is not of type integer"),
        ({"fields": [field(type="integer", default=True)]}, "default True is not of type integer"),
        ({"fields": [field(type="number", default=float("nan"))]}, "is not of type number"),
        ({"fields": [field(type="number", maximum=float("inf"))]}, "must be finite"),
        ({"fields": [field(type="number", minimum=2, maximum=1)]}, "minimum 2 is greater than maximum 1"),
        ({"fields": [field(type="number", maximum=1, default=2)]}, "over the maximum"),
        ({"fields": [field(type="date", default="yesterday")]}, "is not of type date"),
        ({"fields": [field(max_length=3, default="four")]}, "longer than max_length"),
        ({"fields": [field(type="integer", max_length=3)]}, "max_length needs type string"),
        ({"fields": [field(), field(name="extent", aliases=["SIZE"])]}, "'size' also means size"),
        ({"fields": [field(aliases=["%"])]}, "no letter and no digit"),
        ({"fields": [field(), field(name="b", renamed_from="size")]}, "renamed_from size"),
        ({"keys": [["height"]]}, "keys: refers to a field 'height'"),
        ({"keys": [["species", "species"]]}, "each once"),
        ({"keys": [["asset_id"]]}, "neither fid nor asset_id"),
        ({"keys": [["species"], ["species"]]}, "is there twice"),
        ({"search": ["height"]}, "search: refers to a field 'height'"),
        ({"search": ["updated_at"]}, "neither a string nor an integer"),
        ({"temporal": ["species"]}, "neither a date nor a datetime"),
        ({"temporal": []}, "name one field, or two"),
        ({"tiles": {"min_zoom": 15, "max_zoom": 12}}, "min_zoom 15 is greater than max_zoom 12"),
        ({"tiles": {"min_zoom": 30}}, "layers.green_tree.tiles.min_zoom"),
        ({"tiles": {"attributes": {3: ["species"]}}}, "zoom 3 is not between"),
        ({"tiles": {"attributes": {14: ["height"]}}}, "refers to a field 'height'"),
        ({"tiles": {"zooms_by": {"field": "status", "zooms": {"dead": 14}}}}, "dead not in domain status"),
        ({"tiles": {"zooms_by": {"field": "version", "zooms": {"one": 14}}}}, "holds numbers"),
        (far(zooms=[9, 13]), "zoom 9 is not between"),
        (far(zooms=[13, 12]), "the first, 13, is greater than the last, 12"),
        (far({"zooms": [13, 14]}), "zoom 13 is in two levels"),
        (far(spacing=None), "``as: points`` needs a spacing"),
        (far(main=True), "main is for ``as: blocks`` alone"),
        (far(**{"as": "lines", "spacing": 0}), "``as: lines`` is not for Point"),
        (far(attributes=["height"]), "(zoom 12): refers to a field 'height'"),
        (far(rank={"height": ["a"]}), "(zoom 12): refers to a field 'height'"),
        (far(where={"status": ["dead"]}), "status 'dead' is not in domain status"),
        (far(where={"version": ["x"]}), "version 'x' is not of type integer"),
        (far() | {"access": "restricted"}, "the layer is not public"),
        ({"style": {"colour": "#228833", "far": {}}}, "style.far: is for the zooms of tiles.generalise"),
        (far() | {"style": {"colour": "#228833", "far": {}}}, "style.far: is for polygons"),
        (
            far(attributes=["species"])
            | {"style": {"colour": "#228833", "classes": {"field": "status", "values": {}}}},
            "attributes lack status, by which the style colours",
        ),
        (
            {"style": {"colour": "#228833", "classes": {"field": "status", "values": {"dead": "#000000"}}}},
            "style.classes: dead not in domain status",
        ),
        (
            {"style": {"colour": "#228833", "label": {"field": "height"}}},
            "style.label: refers to a field 'height'",
        ),
    ],
)
def test_a_mistake_is_told_by_its_place(tmp_path: Path, change: dict[str, object], words: str) -> None:
    assert words in refused(tmp_path, block(**change))


@pytest.mark.parametrize(
    "change",
    [
        {"search": ["size"]},
        {"tiles": {"attributes": {14: ["size"]}}},
        {"tiles": {"zooms_by": {"field": "size", "zooms": {"big": 14}}}},
        far(attributes=["size"]),
        far(unless={"size": ["big"]}),
        {"style": {"colour": "#228833", "label": {"field": "size"}}},
        {"style": {"colour": "#228833", "classes": {"field": "size", "values": {"big": "#000000"}}}},
    ],
)
def test_what_is_confidential_cannot_be_shown_sideways(tmp_path: Path, change: dict[str, object]) -> None:
    layer = block(fields=[field(access="confidential")], **change)
    assert "size is confidential" in refused(tmp_path, layer)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sector: ]", "line 1"),
        ("layers: {a: 1, a: 2}", "given twice"),
        ("- a\n- b", "must be a mapping"),
        ("!!python/object/apply:os.system ['true']", "line 1"),
        (b"\xff\xfe\x00", "green.yml:"),
        (b"sector: \xe9", "green.yml:"),
        ("a: &a [*a]", "green.yml:"),
        ("[" * 50_000, "green.yml:"),
        ("when: 2024-13-45", "green.yml:"),
        ("? [a]\n: b", "green.yml:"),
        ("unknown: 1", "unknown: Extra inputs"),
        ("layers: {green_tree: 1}", "layers.green_tree"),
    ],
)
def test_files_that_are_no_layer_files(tmp_path: Path, text: str | bytes, words: str) -> None:
    assert words in refused(tmp_path, text=text)


def test_domain_values_have_to_be_quoted_where_yaml_guesses(tmp_path: Path) -> None:
    """``no`` is false in YAML 1.1: a domain must not silently hold something else than was written."""
    domains = {"answer": [{"value": False, "title": {"vi": "Không", "en": "No"}}]}
    assert "domains.answer.0.value" in refused(tmp_path, domains=domains)


def test_shipped_definitions_cannot_be_overwritten(tmp_path: Path) -> None:
    assert "layers.water_pipe is defined twice" in refused(tmp_path, layers={"water_pipe": block()})
    assert "group network is defined twice" in refused(tmp_path, groups={"network": []})
    values = [{"value": "a", "title": {"vi": "Á", "en": "A"}}]
    assert "domain status is defined twice" in refused(tmp_path, domains={"status": values})
    sector = {"id": "water", "title": {"vi": "Khác", "en": "Other"}, "order": 1}
    assert "sector water is defined twice" in refused(tmp_path, sector=sector)


def test_layers_need_a_sector(tmp_path: Path) -> None:
    text = yaml.safe_dump({"layers": {"green_tree": block()}}, allow_unicode=True)
    assert "need a sector" in refused(tmp_path, text=text)


def test_the_example_of_the_documentation_is_a_layer(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "layer-authors.md").read_text(encoding="utf-8")
    example = text.split("```yaml\n")[1].split("```")[0]
    layer = read(tmp_path, text=example).layers["green_tree"]
    assert layer.tile_fields(18) == ("health", "species")
