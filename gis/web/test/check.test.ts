import assert from "node:assert/strict";
import { test } from "node:test";
import { condition, DEFAULTS, listPath, namedFeatures, readFilters, writeFilters } from "../src/check/query.ts";

test("filters and the open finding come back from a link", () => {
  const filters = {
    severity: "E" as const,
    state: null,
    rule: "NET-01",
    sheet: "C-48-34-(120-a-1)",
    owner: "sawaco",
    inView: true,
    about: { layer: "water_pipe", fid: "12" },
    restricted: true,
  };
  assert.deepEqual(readFilters(writeFilters(filters, "77")), { filters, finding: "77" });
  assert.equal(writeFilters(DEFAULTS, null), "");
  assert.deepEqual(readFilters(""), { filters: DEFAULTS, finding: null });
  const { filters: odd, finding } = readFilters("l=X&s=%00&a=../1&f=1;DROP&v=2");
  assert.deepEqual([odd, finding], [DEFAULTS, null]);
});

test("the condition holds values as literals", () => {
  assert.equal(condition(DEFAULTS), "state = 'open'");
  assert.equal(condition({ ...DEFAULTS, state: null }), "");
  assert.equal(condition({ ...DEFAULTS, rule: "x' OR 'a'='a" }), "state = 'open' AND rule = 'x'' OR ''a''=''a'");
  assert.equal(condition({ ...DEFAULTS, rule: "NET-01", sheet: "" }, true), "state = 'open'");
  assert.equal(
    condition({ ...DEFAULTS, state: null, about: { layer: "water_pipe", fid: "1" } }),
    `features LIKE '%"layer":"water\\_pipe","fid":1,%'`,
  );
  const path = listPath({ ...DEFAULTS, inView: true }, [1, 2, 3, 4], 50);
  assert.equal(new URL(path, "http://x").searchParams.get("bbox"), "1.0000000,2.0000000,3.0000000,4.0000000");
});

test("named features are taken only when they are what they should be", () => {
  const good = { layer: "water_pipe", fid: 3, asset_id: "<img src=x onerror=alert(1)>" };
  const text = JSON.stringify([good, { layer: "../x", fid: 1, asset_id: "a" }, { layer: "a", fid: "1" }, null]);
  assert.deepEqual(namedFeatures(text), [good]);
  for (const odd of ["{", "{}", null, undefined, 7]) assert.deepEqual(namedFeatures(odd), []);
});
