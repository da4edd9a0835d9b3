import assert from "node:assert/strict";
import { test } from "node:test";
import { tolerance } from "../src/ask/beneath.ts";

test("a click means four pixels, but never half a street nor nothing", () => {
  // at zoom 18 a pixel of a 512 tile is 0.2986 m at the equator
  assert.ok(Math.abs(tolerance(18, 0) - 4 * 0.298582) < 1e-4);
  assert.ok(tolerance(18, 60) < tolerance(18, 0) * 0.51);
  assert.equal(tolerance(12, 10.7), 10);
  assert.equal(tolerance(22, 10.7), 0.3);
});
