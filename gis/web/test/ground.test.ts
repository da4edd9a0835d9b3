import assert from "node:assert/strict";
import { test } from "node:test";
import type { StyleSpecification } from "maplibre-gl";
import { inTwo, tilesOf } from "../src/ground.ts";

const layer = (id: string, source = "city"): StyleSpecification["layers"][number] => ({
  id: `${id}-line`,
  type: "line",
  source,
  "source-layer": id,
  metadata: { "bandoso:layer": id },
});
const style = (ground: unknown, ...ids: string[]): StyleSpecification => ({
  version: 8,
  metadata: { "bandoso:ground": ground },
  sources: {
    city: { type: "vector", tiles: ["https://a/tiles/{z}/{y}/{x}"], minzoom: 4, maxzoom: 18 },
    photo: { type: "raster", tiles: ["https://a/photo/{z}/{y}/{x}"] },
  },
  layers: [{ id: "background", type: "background" }, ...ids.map((id) => layer(id))],
});

test("the ground has a source of its own, before all others", () => {
  const two = inTwo(style(["base_road", "base_rail"], "water_pipe", "base_road", "water_valve"));
  assert.deepEqual(Object.keys(two.sources), ["ground", "city", "photo"]);
  const [ground, city] = [two.sources["ground"], two.sources["city"]];
  assert.ok(ground?.type === "vector" && city?.type === "vector");
  assert.deepEqual(ground.tiles, ["https://a/tiles/{z}/{y}/{x}?collections=base_road"]);
  assert.deepEqual(city.tiles, ["https://a/tiles/{z}/{y}/{x}?collections=water_pipe,water_valve"]);
  assert.equal(ground.maxzoom, 18);
  const sources = two.layers.map((one) => ("source" in one ? one.source : null));
  assert.deepEqual(sources, [null, "city", "ground", "city"]);
});

test("a style whose server names no ground, or nothing else, stays as it is", () => {
  for (const one of [
    style(undefined, "water_pipe"),
    style([], "water_pipe"),
    style(["base_road"], "base_road"),
    style(["base_road"], "water_pipe"),
    style("base_road", "water_pipe", "base_road"),
  ]) {
    assert.equal(inTwo(one), one);
  }
});

test("tiles of a view, the middle one first", () => {
  // Thu Thiem; the tile as tiles.grid.tile_at says it
  const view = { lon: 106.7218, lat: 10.778, zoom: 16.4 };
  const tiles = tilesOf(view, 1280, 800, [4, 18]);
  assert.deepEqual(tiles[0], [16, 52196, 30794]);
  assert.ok(tiles.every(([z]) => z === 16) && tiles.length >= 4 && tiles.length <= 9);
  assert.equal(new Set(tiles.map(String)).size, tiles.length);
  assert.equal(tilesOf({ ...view, zoom: 21 }, 1280, 800, [4, 18])[0]?.[0], 18);
  assert.deepEqual(tilesOf({ ...view, zoom: 3 }, 1280, 800, [4, 18]), []);
  assert.deepEqual(tilesOf({ lon: 0, lat: 0, zoom: 0 }, 5000, 5000, [0, 18]), [[0, 0, 0]]);
  assert.equal(tilesOf({ ...view, zoom: 16 }, 20_000, 20_000, [4, 18]).length, 20);
});
