import assert from "node:assert/strict";
import { test } from "node:test";
import { areaBody, boxOf, type Comparison, comparisons, conditionText, itemsPath } from "../src/ask/query.ts";
import type { Field } from "../src/types.ts";

const field = (name: string, type: Field["type"], domain: Field["domain"] = null): Field => ({
  name,
  type,
  domain,
  unit: null,
  title: { vi: name, en: name },
  from_zoom: null,
});
const text = (one: Field, comparison: Comparison, value: string): string | null =>
  conditionText({ field: one, comparison, value });

test("a value is a literal, whatever it holds", () => {
  const name = field("name", "string");
  assert.equal(text(name, "equals", "O'Hara' OR 1=1"), "name = 'O''Hara'' OR 1=1'");
  assert.equal(text(name, "contains", "50%_\\"), "CASEI(ACCENTI(name)) LIKE CASEI(ACCENTI('%50\\%\\_\\\\%'))");
  assert.equal(text(name, "contains", "  "), null);
  assert.equal(text(name, "isEmpty", ""), "name IS NULL");
});

test("numbers and dates are what they are, or no condition", () => {
  assert.equal(text(field("d", "number"), "least", "12,5"), "d >= 12.5");
  assert.equal(text(field("d", "integer"), "most", "100; DROP"), null);
  assert.equal(text(field("d", "date"), "least", "2020-02-01"), "d >= DATE('2020-02-01')");
  assert.equal(text(field("d", "date"), "least", "yesterday"), null);
  assert.equal(text(field("d", "boolean"), "equals", "true"), "d = TRUE");
  assert.deepEqual(comparisons(field("d", "string", [])), ["equals", "isEmpty", "isFilled"]);
});

test("rows of an area, sorted and filtered", () => {
  const box = boxOf([106.72, 10.78], [106.71, 10.77]);
  const path = itemsPath("water_pipe", { box }, { limit: 50, sort: { field: "diameter_mm", descending: true } });
  const asked = new URL(path, "http://x").searchParams;
  assert.equal(asked.get("bbox"), "106.71000000,10.77000000,106.72000000,10.78000000");
  assert.equal(asked.get("sortby"), "-diameter_mm");
  assert.equal(asked.get("filter"), null);
  const ring: [number, number][] = [[106.7, 10.7], [106.8, 10.7], [106.8, 10.8]];
  const conditions = [{ field: field("material", "string"), comparison: "equals" as const, value: "PVC" }];
  assert.equal(
    new URL(itemsPath("a", { ring }, { limit: 50, conditions }), "http://x").searchParams.get("filter"),
    "S_INTERSECTS(geometry, POLYGON((106.70000000 10.70000000, 106.80000000 10.70000000, 106.80000000 10.80000000, " +
      "106.70000000 10.70000000))) AND material = 'PVC'",
  );
  assert.deepEqual(areaBody({ ring }), { geometry: { type: "Polygon", coordinates: [[...ring, ring[0]]] } });
});
