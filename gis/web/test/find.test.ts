import assert from "node:assert/strict";
import { test } from "node:test";
import { grouped, readResults, withPlace } from "../src/find/results.ts";

const row = (kind: string, title: string, more: object = {}): object => ({
  kind,
  title,
  subtitle: { vi: "", en: "" },
  layer: null,
  fid: null,
  point: [106.7, 10.8],
  bbox: [106.7, 10.8, 106.7, 10.8],
  ...more,
});

test("only results that can be shown and gone to are taken", () => {
  const found = readResults({
    results: [
      row("parcel", "12 / 45", { layer: "cadastre_parcel", fid: 7 }),
      row("comet", "of a later server"),
      row("street", "nowhere", { point: null, bbox: null }),
      row("street", "not a number", { point: [106.7, null], bbox: [1, 2, 3, NaN] }),
      { kind: "place", point: [1, 2] },
      null,
      "text",
    ],
  });
  assert.deepEqual(
    found.map(({ kind, title, fid }) => [kind, title, fid]),
    [
      ["parcel", "12 / 45", 7],
      ["other", "of a later server", null],
    ],
  );
  for (const answer of [null, {}, [], { results: "no" }]) assert.deepEqual(readResults(answer), []);
});

test("results stand by kind, the kind of the best first", () => {
  const found = readResults({
    results: [row("street", "A"), row("parcel", "B"), row("street", "C"), row("ward", "D"), row("parcel", "E")],
  });
  assert.deepEqual(
    grouped(found).map(({ kind, results }) => [kind, results.map(({ title }) => title)]),
    [
      ["street", ["A", "C"]],
      ["parcel", ["B", "E"]],
      ["ward", ["D"]],
    ],
  );
});

test("a place that was typed comes first, and once", () => {
  const server = readResults({
    results: [row("coordinates", "10.8, 106.7"), row("coordinates", "in another system", { point: [107, 11] })],
  });
  const found = withPlace([106.7, 10.8], "10.8 106.7", server);
  assert.deepEqual(
    found.map(({ title }) => title),
    ["10.8 106.7", "in another system"],
  );
  assert.deepEqual(withPlace(null, "", server), server);
});
