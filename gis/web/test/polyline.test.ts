import assert from "node:assert/strict";
import { test } from "node:test";
import type { Position } from "../src/crs.ts";
import { readPlaces, writePlaces } from "../src/polyline.ts";

test("places come back from a link to the seventh decimal", () => {
  const places: Position[] = [
    [106.7218123, 10.7780456],
    [106.7218124, 10.7780455],
    [-179.9999999, -89.9999999],
    [180, 90],
    [0, 0],
  ];
  assert.deepEqual(readPlaces(writePlaces(places)), places);
  assert.deepEqual(readPlaces(""), []);
});

test("a drawn line is short, and needs no escaping", () => {
  const places = Array.from({ length: 50 }, (_, n): Position => [106.7 + n * 0.0004, 10.77 + (n % 7) * 0.0003]);
  const text = writePlaces(places);
  assert.ok(text.length < 400, String(text.length));
  assert.equal(encodeURIComponent(text), text);
});

test("what is no line of places is refused", () => {
  for (const text of ["A", "<script>", "-", "A".repeat(3), "_________________A", "AA".repeat(201), "é"]) {
    assert.equal(readPlaces(text), null, text);
  }
});
