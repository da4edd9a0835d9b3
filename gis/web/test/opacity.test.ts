import assert from "node:assert/strict";
import { test } from "node:test";
import type { LayerSpecification } from "maplibre-gl";
import { fadedProperties, scaleOpacity } from "../src/opacity.ts";

test("numbers, defaults and plain expressions are multiplied", () => {
  assert.equal(scaleOpacity(0.8, 0.5), 0.4);
  assert.equal(scaleOpacity(undefined, 0.5), 0.5);
  assert.deepEqual(scaleOpacity(["get", "o"], 0.5), ["*", ["get", "o"], 0.5]);
});

test("zoom expressions keep their stops and are multiplied at their outputs", () => {
  assert.deepEqual(scaleOpacity(["interpolate", ["linear"], ["zoom"], 10, 0, 14, 1], 0.5), [
    "interpolate", ["linear"], ["zoom"], 10, 0, 14, 0.5,
  ]);
  assert.deepEqual(scaleOpacity(["step", ["zoom"], 0.2, 12, ["case", true, 1, 0.4]], 0.5), [
    "step", ["zoom"], 0.1, 12, ["*", ["case", true, 1, 0.4], 0.5],
  ]);
});

test("every kind of layer fades with all its opacities", () => {
  const symbol = { id: "a", type: "symbol", source: "s", paint: { "icon-opacity": 0.5 } } as LayerSpecification;
  assert.deepEqual(fadedProperties(symbol, 0.5), [["icon-opacity", 0.25], ["text-opacity", 0.5]]);
  assert.deepEqual(fadedProperties({ id: "b", type: "background" }, 0.5), []);
});
